"""A log in memory that can lose records and be made anew, and events of tenants in it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

from frameworks.contracts.framing import frame
from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.topics import ANALYTICS_EVENTS, EVENT_TYPES
from frameworks.data.signalman.consumers import Follower, changes_in
from frameworks.data.signalman.domain.changes import Change
from frameworks.data.signalman.service.hub import Hub
from frameworks.data.signalman.service.watched import Bounds, Encode
from frameworks.kit.clock import Clock
from frameworks.kit.eventlog import EventLog, Extent, Record

STREAM, OTHER = UUID(int=11), UUID(int=12)
DATA: dict[str, dict[str, Any]] = {
    "stream-lifecycle": {"stream_lifecycle": ev.StreamLifecycle(state="live", viewers=3)},
    "user-connection": {"user_connection": ev.UserConnection(action="connect", viewer_hash="hidden")},
    "node-lifecycle": {"node_lifecycle": ev.NodeLifecycle(state="up")},
    "stream-ingest": {"stream_ingest": ev.StreamIngest(protocol="RTMP", key_id=bytes(16))},
}


def event(number: int, tenant: UUID, stream: UUID = STREAM, kind: str = "stream-lifecycle") -> ev.Event:
    """The `number`-th event: its number is its id and its time."""
    found = ev.Event(
        event_id=UUID(int=number).bytes,
        type=kind,
        occurred_at=number,
        tenant_id=tenant.bytes,
        node_id="node-1",
        **DATA[kind],
    )
    if EVENT_TYPES[kind].channel != "system":
        found.stream_id = stream.bytes
    return found


def number_of(change: Change) -> int:
    """Which event this was."""
    return UUID(bytes=change.event_id).int


class MemoryLog:
    """One topic; offsets are one sequence over all partitions, as on NATS."""

    def __init__(self, partitions: int = 2) -> None:
        self.epoch = 0
        self.partitions = partitions
        self.records: list[Record] = []
        self.first = 1
        self.end = 1
        self.is_connected = True

    def append(self, partition: int, tenant: UUID, events: Sequence[ev.Event]) -> Record:
        """Store a record of one tenant's events."""
        value = b"".join(frame(one.SerializeToString()) for one in events)
        record = Record(ANALYTICS_EVENTS, partition, self.end, value, {"tenant_id": str(tenant)}, 0)
        self.records.append(record)
        self.end += 1
        return record

    def drop(self, keep: int) -> None:
        """Lose all but the last `keep` records."""
        self.records = self.records[len(self.records) - min(keep, len(self.records)) :]
        self.first = self.records[0].offset if self.records else self.end

    def make_anew(self) -> None:
        """The topic was deleted and created again."""
        self.epoch += 1
        self.records.clear()
        self.first = self.end = 1

    async def extent(self, _: str) -> Extent:
        """What there is."""
        numbers = range(self.partitions)
        return Extent(str(self.epoch), dict.fromkeys(numbers, self.first), dict.fromkeys(numbers, self.end))

    def connected(self) -> bool:
        """Whether it answers."""
        return self.is_connected

    @asynccontextmanager
    async def subscribe(self, _: str, *, start: Mapping[int, int]) -> AsyncIterator["MemorySubscription"]:
        """Read every partition."""
        yield MemorySubscription(self, start)


class MemorySubscription:
    """Reads in the order of `turns`: partitions by turn, so that two replicas see two orders."""

    def __init__(self, log: MemoryLog, start: Mapping[int, int]) -> None:
        self._log = log
        self._next = dict(start)
        self.turns: Sequence[int] = ()

    async def fetch(self, max_records: int, _: float) -> list[Record]:
        """The next records."""
        found: list[Record] = []
        for partition in (*self.turns, *range(self._log.partitions)):
            for record in self._log.records:
                if len(found) == max_records:
                    return found
                if record.partition == partition and record.offset >= self._next[partition]:
                    found.append(record)
                    self._next[partition] = record.offset + 1
        return found

    async def lags(self) -> dict[int, int]:
        """What is left in each partition."""
        return {
            p: sum(r.partition == p and r.offset >= self._next[p] for r in self._log.records)
            for p in range(self._log.partitions)
        }


class Replica:
    """One Signalman without a transport, fed by hand."""

    def __init__(
        self,
        log: MemoryLog,
        clock: Clock,
        bounds: Bounds,
        *,
        backlog: int = 1000,
        encode: Encode | None = None,
    ) -> None:
        async def ends() -> Mapping[int, int]:
            return (await log.extent("")).end

        self.hub = Hub(clock, bounds, decode=changes_in, ends=ends, encode=encode)
        self.follower = Follower(cast("EventLog", log), self.hub, clock, backlog=backlog)
        self._log = log
        self._subscription: MemorySubscription | None = None

    async def read(self, limit: int = 1000, turns: Sequence[int] = ()) -> None:
        """Take at most `limit` records."""
        if self._subscription is None:
            self.follower.resolve(await self._log.extent(""))
            self._subscription = MemorySubscription(self._log, self.hub.wanted)
        self._subscription.turns = turns
        if not await self.follower.step(cast("Any", self._subscription), limit):
            self._subscription = None

    async def look(self) -> None:
        """What happens every few seconds."""
        if self._subscription is None:
            await self.read(0)
        elif not await self.follower.look(cast("Any", self._subscription)):
            self._subscription = None
            await self.read(0)

    async def catch_up(self) -> None:
        """Everything there is."""
        await self.look()
        await self.read()
        await self.look()
