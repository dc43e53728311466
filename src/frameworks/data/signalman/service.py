"""Fan-out: one hub of watched tenants, a bounded buffer for each subscriber."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from frameworks.data.signalman.domain import LASTING, Change, TooManySubscriptions, Wish
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Fault, Unavailable
from frameworks.kit.log import get

RECENT = 2048

log = get("signalman")

Seed = Callable[[], Awaitable[Iterable[Change]]]


class LiveState(Protocol):
    """What is live now, from history."""

    async def changes(self, tenant: UUID, metadata: Any) -> Iterable[Change]:
        """The tenant's state as changes, asked for with the caller's own credential."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A change on its way to one subscriber; `dropped` counts what it has lost so far."""

    change: Change
    snapshot: bool
    dropped: int


class Subscriber:
    """One open subscription."""

    def __init__(self, wish: Wish, size: int) -> None:
        self.wish = wish
        self.dropped = 0
        self._waiting: deque[tuple[Change, bool]] = deque()
        self._size = size
        self._arrived = asyncio.Event()
        self._closed = False

    def offer(self, change: Change, *, snapshot: bool = False) -> None:
        """Queue a change; when the buffer is full the oldest makes room."""
        if not self.wish.wants(change):
            return
        if len(self._waiting) >= self._size:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((change, snapshot))
        self._arrived.set()

    def close(self) -> None:
        """End the subscription after what is queued."""
        self._closed = True
        self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[Pushed]:
        while True:
            while self._waiting:
                change, snapshot = self._waiting.popleft()
                yield Pushed(change, snapshot, self.dropped)
            if self._closed:
                return
            self._arrived.clear()
            await self._arrived.wait()


class Watched:
    """A tenant with subscribers: its last states, and the events it has seen lately."""

    def __init__(self, remembered: int) -> None:
        self.subscribers: set[Subscriber] = set()
        self.joining = 0
        self.seeding: asyncio.Task[None] | None = None
        self.idle_since = 0.0
        self._remembered = remembered
        self._last: OrderedDict[tuple[str, bytes], Change] = OrderedDict()
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def remember(self, change: Change) -> None:
        """Keep the change if it is the newest word on its subject."""
        if change.type not in LASTING:
            return
        key = change.type, change.subject
        known = self._last.get(key)
        if known is not None and known.occurred_at > change.occurred_at:
            return
        self._last[key] = change
        self._last.move_to_end(key)
        if len(self._last) > self._remembered:
            self._last.popitem(last=False)

    def is_new(self, change: Change) -> bool:
        """Whether this event has not been pushed lately."""
        if change.event_id in self._seen:
            return False
        self._seen[change.event_id] = None
        if len(self._seen) > RECENT:
            self._seen.popitem(last=False)
        return True

    def states(self) -> list[Change]:
        """The last states, oldest first."""
        return sorted(self._last.values(), key=lambda change: change.occurred_at)


class Hub:
    """Every subscription of this process."""

    def __init__(
        self, clock: Clock, *, buffer: int, per_tenant: int, remembered: int, linger: timedelta
    ) -> None:
        self._clock = clock
        self._buffer = buffer
        self._per_tenant = per_tenant
        self._remembered = remembered
        self._linger = linger.total_seconds()
        self._tenants: dict[UUID, Watched] = {}
        self._closed = False

    def watches(self, tenant: UUID) -> bool:
        """Whether changes of this tenant are of use here."""
        return tenant in self._tenants

    @property
    def open(self) -> int:
        """Subscriptions open now."""
        return sum(len(watched.subscribers) for watched in self._tenants.values())

    async def join(self, tenant: UUID, wish: Wish, seed: Seed) -> Subscriber:
        """Open a subscription, its snapshot queued; raises TooManySubscriptions."""
        if self._closed:
            raise Unavailable("Signalman is stopping.")
        self._forget_idle()
        watched = self._tenants.setdefault(tenant, Watched(self._remembered))
        if len(watched.subscribers) + watched.joining >= self._per_tenant:
            raise TooManySubscriptions(
                "Close a subscription before you open another.", limit=self._per_tenant
            )
        watched.joining += 1
        try:
            await self._seeded(watched, seed)
        finally:
            watched.joining -= 1
        subscriber = Subscriber(wish, self._buffer)
        for change in watched.states()[-self._buffer :]:
            subscriber.offer(change, snapshot=True)
        watched.subscribers.add(subscriber)
        return subscriber

    async def _seeded(self, watched: Watched, seed: Seed) -> None:
        if watched.seeding is None:
            watched.seeding = asyncio.create_task(self._seed(watched, seed))
        await asyncio.shield(watched.seeding)

    def leave(self, tenant: UUID, subscriber: Subscriber) -> None:
        """Close a subscription; the tenant's states linger for its next page."""
        watched = self._tenants.get(tenant)
        if watched is not None:
            watched.subscribers.discard(subscriber)
            watched.idle_since = self._clock.monotonic()

    def push(self, tenant: UUID, changes: Iterable[Change]) -> int:
        """Hand changes to the tenant's subscribers; how many changes were new."""
        watched = self._tenants.get(tenant)
        if watched is None:
            return 0
        pushed = 0
        for change in changes:
            if watched.is_new(change):
                pushed += 1
                watched.remember(change)
                for subscriber in watched.subscribers:
                    subscriber.offer(change)
        self._forget_idle()
        return pushed

    def close(self) -> None:
        """End every subscription, and open no more."""
        self._closed = True
        for watched in self._tenants.values():
            if watched.seeding is not None:
                watched.seeding.cancel()
            for subscriber in watched.subscribers:
                subscriber.close()

    def _forget_idle(self) -> None:
        limit = self._clock.monotonic() - self._linger
        for tenant in [
            tenant
            for tenant, w in self._tenants.items()
            if not w.subscribers and not w.joining and w.idle_since < limit
        ]:
            del self._tenants[tenant]

    async def _seed(self, watched: Watched, seed: Seed) -> None:
        """Fill the snapshot from history; when that fails, the next subscriber tries again."""
        try:
            for change in await seed():
                watched.remember(change)
        except Fault as fault:
            watched.seeding = None
            log.warning("snapshot.missed", reason=fault.message, code=fault.code)
