"""Time, randomness and ids: the only place that reads a clock or draws a random number."""

import asyncio
import heapq
import os
import random
import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What services ask of time; `SystemClock` in production, `FakeClock` in tests."""

    def now(self) -> datetime:
        """The wall time, UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The wall time, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


class FakeClock:
    """A clock that moves only when told; sleepers wake in order of their instant."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def now(self) -> datetime:
        """The fake wall time."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds since the fake start."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved past the instant."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._order, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward, letting every sleeper due on the way run."""
        target = self._elapsed + seconds
        await asyncio.sleep(0)
        while self._sleepers and self._sleepers[0][0] <= target:
            self._elapsed, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            for _ in range(5):
                await asyncio.sleep(0)
        self._elapsed = target


def micros(instant: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    """The UTC instant `value` microseconds after the epoch, exactly."""
    return _EPOCH + timedelta(microseconds=value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


_48_BITS = (1 << 48) - 1
_VERSION_7 = 0x7 << 76 | 0b10 << 62
_FREE = ((1 << 12) - 1) << 64 | (1 << 62) - 1
"""The bits of an id that are neither its time nor its version and variant."""


def uuid7(at: datetime | None = None) -> uuid.UUID:
    """A time-ordered UUID (RFC 9562 §5.7)."""
    ms = micros(at) // 1000 if at else time.time_ns() // 1_000_000
    drawn = int.from_bytes(os.urandom(10), "big")
    return uuid.UUID(int=(ms & _48_BITS) << 80 | drawn & _FREE | _VERSION_7)


def random_bytes(count: int) -> bytes:
    """Bytes fit for secrets."""
    return os.urandom(count)


def random_hex(digits: int) -> str:
    """Hex digits that nobody else has, for names: guessable, so not for secrets, but drawn without a system call."""
    return random.randbytes((digits + 1) // 2).hex()[:digits]


def random_text(length: int, alphabet: str = "abcdefghijklmnopqrstuvwxyz0123456789") -> str:
    """`length` characters of `alphabet` (256 at most), each as likely as any other: fit for secrets."""
    # Bytes from the last, incomplete run of the alphabet would favour its beginning.
    fair = 256 - 256 % len(alphabet)
    text = ""
    while len(text) < length:
        drawn = os.urandom(2 * length)
        text += "".join([alphabet[byte % len(alphabet)] for byte in drawn if byte < fair])
    return text[:length]


def jitter(seconds: float, share: float = 0.5) -> float:
    """`seconds` less a random part of at most `share`, so that retries spread."""
    return seconds * (1 - share * secrets.randbelow(1000) / 1000)
