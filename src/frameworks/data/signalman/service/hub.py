"""The hub: every watched tenant of this replica, fed by the log, joined by subscribers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from frameworks.contracts.metrics import signalman as metrics
from frameworks.data.signalman.domain import positions
from frameworks.data.signalman.domain.changes import Change, TooManySubscriptions, Wish
from frameworks.data.signalman.domain.positions import Vector
from frameworks.data.signalman.service.reader import Opening, Reader
from frameworks.data.signalman.service.ring import Cursor
from frameworks.data.signalman.service.tail import Raw, Tail
from frameworks.data.signalman.service.watched import Bounds, Decode, Encode, Snapshot, Watched
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Fault, Unavailable
from frameworks.kit.identity import Principal
from frameworks.kit.log import get

log = get("signalman")

Seed = Callable[[], Awaitable[Iterable[Change]]]

SUBSCRIBED, TOO_OLD, UNKNOWN, GAP = "subscribed", "too_old", "unknown_position", "gap"
"""Why a subscriber is given a snapshot."""
REACH_WITHIN = 5.0
SEEDINGS = 3
"""Times history is asked for one snapshot while the log begins anew."""


class LiveState(Protocol):
    """What is live now, from history."""

    async def changes(self, tenant: UUID, metadata: Any) -> Iterable[Change]:
        """The tenant's state as changes, asked for with the caller's own credential."""


@dataclass(frozen=True, slots=True)
class Known:
    """Who a socket is: what its credential says, as a token that peers accept, and the credential itself."""

    principal: Principal
    token: str
    secret: str

    @property
    def is_renewable(self) -> bool:
        """Whether the credential outlives the token."""
        return self.token != self.secret


class Hub:
    """Every subscription of this replica."""

    def __init__(
        self,
        clock: Clock,
        bounds: Bounds,
        *,
        decode: Decode,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        encode: Encode | None = None,
    ) -> None:
        self._clock = clock
        self._bounds = bounds
        self._decode, self._encode, self._ends = decode, encode, ends
        self._tail = Tail(bounds.tail)
        self._tenants: dict[UUID, Watched] = {}
        self._dirty: set[Watched] = set()
        self._vector: list[int] = []
        self._epoch = ""
        self._begun = asyncio.Event()
        self._closed = False

    @property
    def epoch(self) -> str:
        """The epoch of the log that is followed; empty before there is one."""
        return self._epoch

    @property
    def wanted(self) -> dict[int, int]:
        """Per partition: the next offset to be handed in."""
        return {partition: positions.offset_of(place) for partition, place in enumerate(self._vector)}

    @property
    def open(self) -> int:
        """Subscriptions open now."""
        return sum(len(watched.followers) for watched in self._tenants.values())

    def watches(self, tenant: UUID) -> bool:
        """Whether changes of this tenant are of use here."""
        return tenant in self._tenants

    def begin(self, epoch: str, first: Mapping[int, int]) -> None:
        """Follow the log from `first`; what was known before is void, whoever is here gets a snapshot."""
        self._epoch = epoch
        self._vector = [positions.key(first[partition]) for partition in sorted(first)]
        self._tail.begin(self._vector)
        for watched in self._tenants.values():
            watched.restart(self._seal(watched.tenant), self._vector)
        self._begun.set()
        self._wake()

    def take(self, raw: Raw) -> int:
        """The next record of its partition; how many changes were new to someone."""
        if positions.key(raw.offset) < self._vector[raw.partition]:
            return 0
        self._tail.add(raw)
        watched = self._tenants.get(raw.tenant)
        new = watched.take(raw, self._decode(raw), self._encode) if watched is not None else 0
        self._vector[raw.partition] = positions.key(raw.offset + 1)
        if new and watched is not None:
            self._flush_soon(watched)
        return new

    def passed(self, partition: int, offset: int) -> None:
        """A record that is nobody's."""
        self._vector[partition] = positions.key(offset + 1)

    def reached(self, ends: Mapping[int, int]) -> None:
        """The log holds nothing before `ends` that was not handed in; idle subscribers learn the position."""
        for partition, end in ends.items():
            self._vector[partition] = max(self._vector[partition], positions.key(end))
        for watched in self._tenants.values():
            watched.advance(self._vector)
        self._forget_idle()
        self._wake()

    async def join(
        self, tenant: UUID, wish: Wish, seed: Seed, position: str = "", expires: datetime | None = None
    ) -> Reader:
        """Open a subscription where `position` left off, else with a snapshot; raises TooManySubscriptions."""
        await self.begun()
        watched = self.hold(tenant)
        try:
            self._count(watched)
            opening = await self.enter(watched, wish, seed, position)
        except BaseException:
            self._uncount(watched)
            raise
        reader = Reader(watched, opening, lambda: self.again(watched, wish, seed), expires)
        watched.followers.add(reader)
        if self._closed:
            reader.close()
        return reader

    def leave(self, reader: Reader) -> None:
        """Close a subscription; the tenant's states linger for its next page."""
        reader.watched.followers.discard(reader)
        self._uncount(reader.watched)

    async def begun(self) -> None:
        """Return once the log was reached for the first time; raises Unavailable when that takes too long."""
        try:
            async with asyncio.timeout(REACH_WITHIN):
                await self._begun.wait()
        except TimeoutError as error:
            raise Unavailable("Signalman has not reached the event log yet.") from error

    def hold(self, tenant: UUID) -> Watched:
        """Keep a tenant watched until it is released, once the log was reached."""
        if self._closed:
            raise Unavailable("Signalman is stopping.")
        self._forget_idle()
        watched = self._tenants.get(tenant) or self._watch(tenant)
        watched.holders += 1
        return watched

    def release(self, watched: Watched) -> None:
        """The counterpart of `hold`."""
        watched.holders -= 1
        watched.idle_since = self._clock.monotonic()

    async def enter(self, watched: Watched, wish: Wish, seed: Seed, position: str) -> Opening:
        """Go on at `position` if nothing since then is lost, else begin with a snapshot."""
        known, reason = await self._resumable(watched, position)
        if known is None:
            return await self.again(watched, wish, seed, reason)
        metrics.OPENED.labels("resumed").inc()
        cursor = Cursor.resumed(watched.ring, wish, known)
        cursor.reached(watched.vector)
        return Opening(cursor, None, position)

    async def again(self, watched: Watched, wish: Wish, seed: Seed, reason: str = GAP) -> Opening:
        """Begin with a snapshot of now."""
        await self._seeded(watched, seed)
        metrics.OPENED.labels(reason).inc()
        watched.advance(self._vector)
        found = watched.snapshot(reason)
        wanted = [change for change in found.states if wish.wants(change)]
        snapshot = Snapshot(reason, found.complete, wanted, found.position)
        return Opening(Cursor(watched.ring, wish, watched.ring.next), snapshot, found.position)

    def close(self) -> None:
        """End every subscription, and open no more."""
        self._closed = True
        for watched in self._tenants.values():
            if watched.seeding is not None:
                watched.seeding.cancel()
            for follower in tuple(watched.followers):
                follower.close()

    async def _resumable(self, watched: Watched, position: str) -> tuple[Vector | None, str]:
        """The vector to go on from; None, and why not."""
        if not position:
            return None, SUBSCRIBED
        sealed, count = watched.ring.sealed, len(self._vector)
        known = positions.read(position, sealed, count)
        if known is None or not await self._exists(known):
            return None, UNKNOWN
        if sealed != watched.ring.sealed or not watched.ring.covers(known):
            return None, TOO_OLD
        return known, ""

    async def _exists(self, known: Vector) -> bool:
        """Whether the log ever got as far as `known`: another replica may be ahead of this one."""
        if positions.reaches(self._vector, known):
            return True
        try:
            ends = await self._ends()
        except Unavailable:
            return False
        return positions.reaches([positions.key(ends[p]) for p in sorted(ends)], known)

    def _watch(self, tenant: UUID) -> Watched:
        floor, records = self._tail.of(tenant, self._bounds.changes)
        watched = Watched(tenant, self._seal(tenant), floor, self._bounds)
        self._tenants[tenant] = watched
        for raw in records:
            watched.take(raw, self._decode(raw))
        watched.advance(self._vector)
        return watched

    def _count(self, watched: Watched) -> None:
        watched.subscriptions += 1
        if watched.subscriptions > self._bounds.per_tenant:
            raise TooManySubscriptions(
                "Close a subscription before you open another.", limit=self._bounds.per_tenant
            )

    def _uncount(self, watched: Watched) -> None:
        watched.subscriptions -= 1
        self.release(watched)

    async def _seeded(self, watched: Watched, seed: Seed) -> None:
        """History was asked, once for everybody who waits; again if what it said is void by now."""
        for _ in range(SEEDINGS):
            task = watched.seeding
            if task is None:
                task = watched.seeding = asyncio.create_task(self._seed(watched, seed))
            await asyncio.wait({task})
            if task.cancelled():
                raise Unavailable("Signalman is stopping.")
            if watched.seeding is task or not task.result():
                return

    async def _seed(self, watched: Watched, seed: Seed) -> bool:
        """Ask history; when that fails, the next subscriber tries again."""
        mine = asyncio.current_task()
        try:
            changes = await seed()
        except Fault as fault:
            log.warning("snapshot.missed", reason=fault.message, code=fault.code)
            if watched.seeding is mine:
                watched.seeding = None
            return False
        if watched.seeding is mine:
            watched.seed(changes)
        return True

    def _seal(self, tenant: UUID) -> str:
        return positions.seal(self._epoch, len(self._vector), tenant)

    def _flush_soon(self, watched: Watched) -> None:
        if not watched.lanes:
            return
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.add(watched)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for watched in dirty:
            watched.flush()

    def _wake(self) -> None:
        now = self._clock.now()
        for watched in list(self._tenants.values()):
            for follower in tuple(watched.followers):
                follower.beat(now, watched.vector)

    def _forget_idle(self) -> None:
        limit = self._clock.monotonic() - self._bounds.linger.total_seconds()
        for tenant in [t for t, w in self._tenants.items() if not w.holders and w.idle_since < limit]:
            del self._tenants[tenant]
