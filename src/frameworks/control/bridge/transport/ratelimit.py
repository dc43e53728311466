"""Token buckets by caller: so many operations a minute, with room for a burst."""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

from frameworks.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Rate:
    """Operations a minute, and how many at once after a pause."""

    per_minute: int
    burst: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may pass, and what to tell the caller of its budget."""

    passes: bool
    limit: int
    remaining: int
    retry_after: int
    """Seconds until the next call passes; 0 when it does now."""
    reset: int
    """Seconds until the bucket is full."""

    def headers(self) -> dict[str, str]:
        """The budget as response headers."""
        values = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }
        return values if self.passes else values | {"Retry-After": str(self.retry_after)}


class Buckets:
    """Buckets for up to `size` callers; the least recently seen is forgotten first."""

    def __init__(self, rate: Rate, clock: Clock, *, size: int = 20_000) -> None:
        self._rate = rate
        self._clock = clock
        self._size = size
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, cost: float = 1.0) -> Verdict:
        """Count one call of `caller`."""
        now = self._clock.monotonic()
        per_second = self._rate.per_minute / 60
        level, seen = self._levels.pop(caller, (float(self._rate.burst), now))
        level = min(self._rate.burst, level + (now - seen) * per_second)
        passes = level >= cost
        level -= cost if passes else 0
        self._levels[caller] = (level, now)
        if len(self._levels) > self._size:
            self._levels.popitem(last=False)
        return Verdict(
            passes=passes,
            limit=self._rate.per_minute,
            remaining=int(level),
            retry_after=0 if passes else max(1, ceil((cost - level) / per_second)),
            reset=ceil((self._rate.burst - level) / per_second),
        )
