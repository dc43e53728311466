"""Proof of work (ALTCHA, SHA-256 scheme): issued and signed here, solved once, checked without asking anybody."""

import base64
import binascii
import json
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs

import msgspec
from altcha import v1 as altcha

from frameworks.control.commodore.domain.accounts import BadProof
from frameworks.kit.clock import Clock, from_micros, random_bytes

LONGEST_PROOF = 2_000
_REFUSAL = "The proof that you are not a robot did not work. Reload the page and try again."


class Spent(Protocol):
    """Where answered challenges are remembered until they expire."""

    async def system_spend_proof(self, challenge: str, expires_at: datetime) -> bool:
        """Whether this challenge was not answered before."""


class _Solution(msgspec.Struct):
    algorithm: str
    challenge: str
    number: int
    salt: str
    signature: str


class Proofs:
    """Challenges a browser solves with plain SHA-256, so that it needs no secure context."""

    def __init__(self, store: Spent, key: bytes, clock: Clock, *, lifetime: timedelta, work: int) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._lifetime = lifetime
        self._work = work

    def issue(self) -> str:
        """A challenge as the widget reads it, JSON."""
        challenge = altcha.create_challenge(
            altcha.ChallengeOptions(
                algorithm="SHA-256",
                max_number=self._work,
                hmac_key=self._key,
                salt=random_bytes(12).hex(),
                number=int.from_bytes(random_bytes(8)) % (self._work + 1),
                expires=self._clock.now() + self._lifetime,
            )
        )
        return json.dumps(challenge.to_dict())

    async def check(self, proof: str) -> None:
        """Accept a solution of one of our challenges, once; raises BadProof."""
        solution = _read(proof)
        good, _ = altcha.verify_solution(msgspec.to_builtins(solution), self._key, check_expires=False)
        if not good:
            raise BadProof(_REFUSAL)
        expires = _expiry(solution.salt)
        if expires <= self._clock.now() or not await self._store.system_spend_proof(
            solution.challenge, expires
        ):
            raise BadProof(_REFUSAL)


def _read(proof: str) -> _Solution:
    if len(proof) > LONGEST_PROOF:
        raise BadProof(_REFUSAL)
    try:
        solution = msgspec.json.decode(base64.b64decode(proof, validate=True), type=_Solution)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise BadProof(_REFUSAL) from error
    if solution.algorithm != "SHA-256":
        raise BadProof(_REFUSAL)
    return solution


def _expiry(salt: str) -> datetime:
    """When a challenge expires; its salt is covered by the signature, so it says what we wrote."""
    values = parse_qs(salt.partition("?")[2]).get("expires", [""])
    if not values[0].isdecimal():
        raise BadProof(_REFUSAL)
    return from_micros(int(values[0]) * 1_000_000)
