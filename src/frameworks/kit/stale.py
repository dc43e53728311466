"""The last known answer of a peer: fresh for a while, then asked again, and served stale while the peer is away."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from frameworks.kit.clock import Clock
from frameworks.kit.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds an answer counts as fresh, and seconds it may be served when its source is away."""

    fresh: float
    stale: float


class StaleCache(Generic[K, V]):
    """Answers by key, bounded; one load per key at a time; a refusal of the source is passed on, never hidden."""

    def __init__(
        self, load: Callable[[K], Awaitable[V]], clock: Clock, ages: Ages, *, size: int = 10_000
    ) -> None:
        self._load = load
        self._clock = clock
        self._ages = ages
        self._size = size
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Lock] = {}
        self._drops = 0

    async def get(self, key: K, *, stale: float | None = None) -> V:
        """The answer; while the source is away the last one, if younger than `stale`; else raises Unavailable."""
        found = self._younger(key, self._ages.fresh)
        if found is not None:
            return found[1]
        lock = self._loading.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                found = self._younger(key, self._ages.fresh)
                return found[1] if found is not None else await self._refresh(key, stale)
        finally:
            if not lock.locked():
                self._loading.pop(key, None)

    def drop(self, key: K) -> None:
        """Forget an answer that is known to have changed."""
        self._known.pop(key, None)
        self._drops += 1

    async def _refresh(self, key: K, stale: float | None) -> V:
        drops = self._drops
        try:
            value = await self._load(key)
        except Unavailable:
            found = self._younger(key, self._ages.stale if stale is None else stale)
            if found is None:
                raise
            return found[1]
        if drops != self._drops:
            # It may have been asked for before the change that somebody dropped answers for.
            return value
        self._known[key] = (self._clock.monotonic(), value)
        self._known.move_to_end(key)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return value

    def _younger(self, key: K, age: float) -> tuple[float, V] | None:
        found = self._known.get(key)
        return found if found is not None and self._clock.monotonic() - found[0] <= age else None
