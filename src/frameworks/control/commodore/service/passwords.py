"""Passwords: argon2id in a bounded pool of threads, as slow for an unknown account as for a known one."""

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from frameworks.kit.clock import random_bytes
from frameworks.kit.errors import Limited

R = TypeVar("R")

WAITING_PER_WORKER = 32


class Busy(Limited):
    """More passwords wait to be checked than can be in reasonable time."""

    code = "commodore.busy"


class Passwords:
    """Makes and checks hashes; close it to end its threads."""

    def __init__(self, *, memory_kib: int, workers: int) -> None:
        self._hasher = PasswordHasher(memory_cost=memory_kib)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._free = workers * WAITING_PER_WORKER
        self._nobody = _unmatchable(self._hasher)

    async def hash(self, password: str) -> str:
        """The hash to keep; raises Busy."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether the password is the one; without a kept hash the answer is no, and takes as long."""
        return await self._run(self._check, kept or self._nobody, password) and kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether a hash was made with other costs than new ones are."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """End the threads once they are done."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _check(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., R], *arguments: str) -> R:
        if self._free == 0:
            raise Busy("Too many people sign in at the moment. Try again.", retry_after=2)
        self._free -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._free += 1


def _unmatchable(hasher: PasswordHasher) -> str:
    """A hash of nothing, with the costs of a real one."""
    salt, digest = (
        base64.b64encode(random_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
