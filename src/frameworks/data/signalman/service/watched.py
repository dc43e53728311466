"""A tenant that someone follows: how things are, the last changes, and who is to be told."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from frameworks.data.signalman.domain import positions
from frameworks.data.signalman.domain.changes import LASTING, Change
from frameworks.data.signalman.service.lanes import Lane
from frameworks.data.signalman.service.ring import Entry, Ring
from frameworks.data.signalman.service.tail import Raw

RECENT = 2048
"""Events whose repetition is recognised."""

Encode = Callable[[UUID, Change, str], bytes]
"""The socket frame of a change at a position."""
Decode = Callable[[Raw], Sequence[tuple[int, Change]]]
"""The events of a record that are the tenant's and of a known type, each with its index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is kept."""

    changes: int = 2048
    octets: int = 4 << 20
    remembered: int = 2000
    tail: int = 16 << 20
    per_tenant: int = 200
    linger: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How things are at `position`; not `complete` when history was away or there is too much of it."""

    reason: str
    complete: bool
    states: list[Change]
    position: str


class Follower(Protocol):
    """One who reads the ring at a pace of its own."""

    def offer(self, entry: Entry, number: int) -> None:
        """Change `number` has arrived."""

    def beat(self, now: datetime, vector: Sequence[int]) -> None:
        """Time passes: the log was read up to `vector`."""

    def close(self) -> None:
        """End after what is queued."""


class Watched:
    """One tenant."""

    def __init__(self, tenant: UUID, sealed: str, floor: Sequence[int], bounds: Bounds) -> None:
        self.tenant = tenant
        self.ring = Ring(sealed, floor, changes=bounds.changes, octets=bounds.octets)
        self.followers: set[Follower] = set()
        self.lanes: dict[frozenset[str], Lane] = {}
        self.holders = 0
        """Who keeps this tenant watched: sockets and subscriptions, those that are opening included."""
        self.subscriptions = 0
        self.idle_since = 0.0
        self.seeding: asyncio.Task[bool] | None = None
        self._vector = list(floor)
        self._parts = [positions.part(place) for place in floor]
        self._observed: OrderedDict[tuple[str, bytes], Change] = OrderedDict()
        self._seeded: dict[tuple[str, bytes], Change] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._remembered = bounds.remembered
        self._complete = False
        self._forgot = False

    @property
    def position(self) -> str:
        """How far this replica has followed the tenant."""
        return f"{self.ring.sealed}-{'.'.join(self._parts)}"

    @property
    def vector(self) -> Sequence[int]:
        """The same as numbers."""
        return self._vector

    def take(self, raw: Raw, events: Iterable[tuple[int, Change]], encode: Encode | None = None) -> int:
        """The tenant's next record; how many of its events were new. Sockets are told if there is an encoder."""
        new = [(index, change) for index, change in events if self._is_new(change)]
        for left, (index, change) in zip(range(len(new) - 1, -1, -1), new, strict=True):
            after = positions.key(raw.offset, index + 1) if left else positions.key(raw.offset + 1)
            self._move(raw.partition, after)
            entry = Entry(change, raw.partition, positions.key(raw.offset, index), self.position)
            self._tell(entry, encode)
        self._move(raw.partition, positions.key(raw.offset + 1))
        return len(new)

    def advance(self, vector: Sequence[int]) -> None:
        """Nothing of this tenant came before `vector` that was not taken."""
        for partition, place in enumerate(vector):
            if place > self._vector[partition]:
                self._move(partition, place)

    def restart(self, sealed: str, floor: Sequence[int]) -> None:
        """What was known is not to be relied upon any more: everybody needs a snapshot."""
        self.ring.sealed = sealed
        self.ring.restart(floor)
        self._vector = list(floor)
        self._parts = [positions.part(place) for place in floor]
        self._observed.clear()
        self._seeded.clear()
        self._seen.clear()
        self._complete = self._forgot = False
        self.seeding = None
        for lane in list(self.lanes.values()):
            lane.void()

    def seed(self, changes: Iterable[Change]) -> None:
        """History's word; what was observed here is newer."""
        self._seeded = {(change.type, change.subject): change for change in changes}
        self._complete = len(self._seeded) <= self._remembered
        for key in list(self._seeded)[self._remembered :]:
            del self._seeded[key]

    def snapshot(self, reason: str) -> Snapshot:
        """How things are, oldest first."""
        known = self._seeded | self._observed
        states = sorted(known.values(), key=lambda change: change.occurred_at)
        return Snapshot(reason, self._complete and not self._forgot, states, self.position)

    def lane(self, channels: frozenset[str]) -> Lane:
        """The lane of those who follow exactly these channels."""
        found = self.lanes.get(channels)
        if found is None:
            found = self.lanes[channels] = Lane(channels, self.ring)
        return found

    def flush(self) -> None:
        """Write what waits for sockets."""
        for lane in list(self.lanes.values()):
            lane.flush()

    def _tell(self, entry: Entry, encode: Encode | None) -> None:
        number = self.ring.next
        self.ring.add(entry)
        self._remember(entry.change)
        for follower in tuple(self.followers):
            follower.offer(entry, number)
        frame = b""
        for lane in tuple(self.lanes.values()):
            if encode is not None and lane.members and entry.change.channel in lane.channels:
                frame = frame or encode(self.tenant, entry.change, entry.position)
                lane.add(frame, number)

    def _move(self, partition: int, place: int) -> None:
        self._vector[partition] = place
        self._parts[partition] = positions.part(place)

    def _remember(self, change: Change) -> None:
        """Keep the change if it is the newest word on its subject."""
        if change.type not in LASTING:
            return
        key = change.type, change.subject
        known = self._observed.get(key)
        if known is not None and known.occurred_at > change.occurred_at:
            return
        self._observed[key] = change
        self._observed.move_to_end(key)
        if len(self._observed) > self._remembered:
            self._observed.popitem(last=False)
            self._forgot = True

    def _is_new(self, change: Change) -> bool:
        """Whether this event has not been pushed lately."""
        if change.event_id in self._seen:
            return False
        self._seen[change.event_id] = None
        if len(self._seen) > RECENT:
            self._seen.popitem(last=False)
        return True
