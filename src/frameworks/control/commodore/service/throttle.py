"""Rate limits by key: a fixed window each, bounded in memory; the one counted longest ago is forgotten first."""

from collections import OrderedDict
from datetime import timedelta

from frameworks.kit.clock import Clock
from frameworks.kit.errors import Limited

WINDOW = timedelta(minutes=15)


class TooOften(Limited):
    """More attempts than are allowed; `retry_after` says when to come back."""

    code = "commodore.too_often"


class Throttle:
    """At most `most` attempts per key and window."""

    def __init__(self, clock: Clock, most: int, *, window: timedelta = WINDOW, size: int = 50_000) -> None:
        self._clock = clock
        self._most = most
        self._window = window.total_seconds()
        self._size = size
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, key: str) -> None:
        """Count an attempt; raises TooOften."""
        now = self._clock.monotonic()
        since, count = self._counts.get(key, (now, 0))
        if now - since >= self._window:
            since, count = now, 0
        if count >= self._most:
            wait = round(self._window - (now - since))
            raise TooOften("Too many attempts. Wait a little.", retry_after=wait)
        self._counts[key] = (since, count + 1)
        self._counts.move_to_end(key)
        while len(self._counts) > self._size:
            self._counts.popitem(last=False)
