"""Whatever is dropped, restarted or lost: a client that comes back has every change once and in order, or a snapshot.

Two replicas read one log in orders of their own. Clients of both kinds, reading and sockets, come and go between
them with the position they have, lose what they had not taken yet, and do not read for a while. Replicas restart,
history lags behind, the log loses its oldest records or is made anew.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from uuid import UUID

from fixtures_signalman import MemoryLog, Replica, event, number_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from frameworks.data.signalman.api.following import Feed
from frameworks.data.signalman.api.messages import change_frame
from frameworks.data.signalman.consumers import changes_in
from frameworks.data.signalman.domain import positions
from frameworks.data.signalman.domain.changes import LASTING, Change, wish
from frameworks.data.signalman.service.reader import Mark, Reader
from frameworks.data.signalman.service.tail import Raw
from frameworks.data.signalman.service.watched import Bounds, Watched
from frameworks.kit.clock import FakeClock

TENANTS = [UUID(int=1), UUID(int=2)]
STREAMS = [UUID(int=100 + n) for n in range(3)]
KINDS = ["stream-lifecycle", "user-connection", "stream-ingest"]
BOUNDS = Bounds(changes=6, octets=1 << 20, remembered=50, tail=1 << 20, per_tenant=50)
BACKLOG = 8
LAG = 3
CHANNELS = frozenset({"streams", "analytics"})
WISH = wish(sorted(CHANNELS), "", (), hidden=frozenset())
TURNS = 40
"""Turns of the loop after which nothing is under way any more."""


@dataclass(frozen=True)
class Fact:
    """An event as it was published."""

    number: int
    tenant: UUID
    stream: UUID
    kind: str
    partition: int
    place: int
    epoch: int


@dataclass
class World:
    """The log, what was published, history, and two replicas."""

    log: MemoryLog = field(default_factory=MemoryLog)
    clock: FakeClock = field(default_factory=FakeClock)
    facts: list[Fact] = field(default_factory=list)
    lag: int = 0
    replicas: list[Replica] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replicas = [self.replica(), self.replica()]

    def replica(self) -> Replica:
        """A Signalman that has just started."""
        return Replica(self.log, self.clock, BOUNDS, backlog=BACKLOG, encode=change_frame)

    def publish(self, tenant: int, stream: int, kinds: list[int]) -> None:
        """One record; a stream's events always share a partition."""
        mine, which, partition = TENANTS[tenant], STREAMS[stream], stream % self.log.partitions
        events = []
        for index, kind in enumerate(kinds):
            number = len(self.facts) + 1
            events.append(event(number, mine, which, KINDS[kind]))
            place = positions.key(self.log.end, index)
            self.facts.append(Fact(number, mine, which, KINDS[kind], partition, place, self.log.epoch))
        self.log.append(partition, mine, events)
        self.lag = min(self.lag + len(kinds), LAG)

    async def history(self, tenant: UUID) -> list[Change]:
        """What Periscope says, a little late."""
        known = self.facts[: len(self.facts) - self.lag]
        last = {(f.kind, f.stream): f for f in known if f.tenant == tenant and f.kind in LASTING}
        return [_change(fact) for fact in last.values()]

    def truth(self, tenant: UUID) -> dict[tuple[str, UUID], int]:
        """How things are."""
        mine = (fact for fact in self.facts if fact.tenant == tenant and fact.kind in LASTING)
        return {(fact.kind, fact.stream): fact.number for fact in mine}


def _change(fact: Fact) -> Change:
    record = MemoryLog().append(0, fact.tenant, [event(fact.number, fact.tenant, fact.stream, fact.kind)])
    return changes_in(Raw(fact.tenant, 0, 0, record.value))[0][1]


@dataclass
class Client:
    """A client: what it believes, the last position it was given, and what it got since its last snapshot."""

    world: World
    tenant: UUID
    position: str = ""
    state: dict[tuple[str, UUID], int] = field(default_factory=dict)
    got: list[int] = field(default_factory=list)
    since: str = ""
    replica: int = -1
    snapshots: int = 0

    def begins(self) -> None:
        """A snapshot starts."""
        self.state.clear()
        self.got.clear()
        self.since = ""
        self.snapshots += 1

    def learns(self, number: int, position: str, *, snapshot: bool) -> None:
        """A state or a change."""
        fact = self.world.facts[number - 1]
        assert fact.tenant == self.tenant, "another tenant's event"
        if not snapshot:
            self.got.append(number)
        if fact.kind in LASTING:
            key = fact.kind, fact.stream
            self.state[key] = max(number, self.state.get(key, 0))
        self.position = position or self.position

    def ends(self, position: str) -> None:
        """A snapshot is whole."""
        self.position = self.since = position

    def check(self, *, final: bool) -> None:
        """Everything since the snapshot, once, in the order of its partition."""
        sealed = positions.seal(str(self.world.log.epoch), self.world.log.partitions, self.tenant)
        start = positions.read(self.since, sealed, self.world.log.partitions)
        if start is None:
            return
        for partition, place in enumerate(start):
            expected = [
                fact.number
                for fact in self.world.facts
                if fact.tenant == self.tenant
                and fact.epoch == self.world.log.epoch
                and fact.partition == partition
                and fact.place >= place
            ]
            got = [number for number in self.got if self.world.facts[number - 1].partition == partition]
            assert got == expected[: len(got)]
            assert not final or got == expected


@dataclass
class ReadingClient(Client):
    """As Bridge: reads frames from a stream."""

    reader: Reader | None = None
    frames: AsyncIterator[Any] | None = None
    pending: "asyncio.Task[Any] | None" = None

    async def connect(self, replica: int) -> None:
        """Open where it was left."""
        hub = self.world.replicas[replica].hub
        if self.reader is not None or not hub.epoch:
            return
        self.replica = replica
        self.reader = await hub.join(self.tenant, WISH, self._history, self.position)
        self.frames = aiter(self.reader)

    async def _history(self) -> list[Change]:
        return await self.world.history(self.tenant)

    async def take(self, count: int) -> None:
        """Read a few frames, if there are any."""
        for _ in range(count):
            if self.frames is None:
                return
            if self.pending is None:
                self.pending = asyncio.ensure_future(anext(self.frames))
            await turns()
            if not self.pending.done():
                return
            pushed, self.pending = self.pending.result(), None
            match pushed.mark:
                case Mark.SNAPSHOT_STARTED:
                    self.begins()
                case Mark.SNAPSHOT_FINISHED:
                    self.ends(pushed.position)
                case Mark.CHANGE:
                    self.learns(number_of(pushed.change), pushed.position, snapshot=pushed.snapshot)
                case _:
                    self.position = pushed.position

    async def drop(self) -> None:
        """The connection breaks."""
        if self.reader is None:
            return
        if self.pending is not None:
            self.pending.cancel()
            await asyncio.wait({self.pending})
            self.pending = None
        self.world.replicas[self.replica].hub.leave(self.reader)
        self.reader = self.frames = None


@dataclass
class SocketClient(Client):
    """As a browser: messages are in flight until they are taken."""

    feed: Feed | None = None
    watched: Watched | None = None
    flight: deque[dict[str, Any]] = field(default_factory=deque)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def connect(self, replica: int) -> None:
        """Open where it was left."""
        hub = self.world.replicas[replica].hub
        if self.feed is not None or not hub.epoch:
            return
        self.replica = replica
        self.watched = hub.hold(self.tenant)
        self.feed = Feed(hub, self.watched, self, lambda: self.world.history(self.tenant))
        self.begin(partial(self.feed.subscribe, CHANNELS, self.position))
        await turns()

    def send(self, frames: bytes) -> None:
        """What a lane or the feed writes."""
        self.flight.extend(unframed(frames))

    def begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Background work of the feed."""
        task = asyncio.ensure_future(cast("Coroutine[Any, Any, None]", work()))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def stall(self) -> None:
        """Do not read for a while."""
        if self.feed is not None:
            self.feed.pause()

    async def take(self, count: int) -> None:
        """Take a few messages; the buffer has room again."""
        if self.feed is not None:
            self.feed.resume()
        await turns()
        for _ in range(min(count, len(self.flight))):
            self._hear(self.flight.popleft())

    def _hear(self, told: dict[str, Any]) -> None:
        match told["type"]:
            case "snapshot_started":
                self.begins()
            case "snapshot_finished":
                self.ends(told["position"])
            case "resumed" | "subscription_confirmed":
                pass
            case "position":
                self.position = told["position"]
            case _:
                number = UUID(told["event_id"]).int
                self.learns(number, told.get("position", ""), snapshot=told.get("snapshot", False))

    async def drop(self) -> None:
        """The connection breaks: what was in flight is lost."""
        if self.feed is None:
            return
        assert self.watched is not None
        for task in tuple(self.tasks):
            task.cancel()
            await asyncio.wait({task})
        self.feed.close()
        self.world.replicas[self.replica].hub.release(self.watched)
        self.feed = self.watched = None
        self.flight.clear()


def unframed(frames: bytes) -> list[dict[str, Any]]:
    """The messages of unmasked text frames."""
    found = []
    while frames:
        size, head = frames[1], 2
        if size == 126:
            size, head = int.from_bytes(frames[2:4], "big"), 4
        found.append(json.loads(frames[head : head + size]))
        frames = frames[head + size :]
    return found


async def turns() -> None:
    """Let everything that can go on do so."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


WHO = st.integers(0, 4)
WHERE = st.integers(0, 1)
RECORD = st.lists(st.integers(0, 2), min_size=1, max_size=3)
FREQUENT = (
    st.tuples(st.just("publish"), WHERE, st.integers(0, 2), RECORD),
    st.tuples(st.just("read"), WHERE, st.integers(1, 9), st.lists(WHERE, max_size=2)),
    st.tuples(st.just("connect"), WHO, WHERE),
    st.tuples(st.just("take"), WHO, st.integers(1, 12)),
)
NOW_AND_THEN = (
    st.tuples(st.just("drop"), WHO),
    st.tuples(st.just("stall"), WHO),
    st.tuples(st.just("look"), WHERE),
)
RARE = (
    st.tuples(st.just("restart"), WHERE),
    st.tuples(st.just("catch up")),
    st.tuples(st.just("lose"), st.integers(0, 4)),
    st.tuples(st.just("make anew")),
)
STEPS = st.integers(0, 19).flatmap(
    lambda n: st.one_of(FREQUENT if n < 14 else NOW_AND_THEN if n < 18 else RARE)
)


async def play(steps: list[tuple[Any, ...]]) -> list[Client]:
    """Do all of it, then let everything settle."""
    world = World()
    clients: list[Any] = [
        ReadingClient(world, TENANTS[0]),
        SocketClient(world, TENANTS[0]),
        ReadingClient(world, TENANTS[1]),
        SocketClient(world, TENANTS[1]),
        SocketClient(world, TENANTS[0]),
    ]
    try:
        await all_look(world)
        for who, client in enumerate(clients):
            await client.connect(who % 2)
        for step in steps:
            await perform(world, clients, step)
            for client in clients:
                client.check(final=False)
        await settle(world, clients)
    finally:
        for client in clients:
            await client.drop()
    return clients


async def perform(world: World, clients: list[Any], step: tuple[Any, ...]) -> None:
    """One step."""
    match step:
        case ("publish", int(tenant), int(stream), list(kinds)):
            world.publish(tenant, stream, kinds)
        case ("read", int(replica), int(count), list(order)):
            await world.replicas[replica].read(count, order)
        case ("connect", int(who), int(replica)):
            await clients[who].connect(replica)
        case ("take", int(who), int(count)):
            await clients[who].take(count)
        case ("drop", int(who)):
            await clients[who].drop()
        case ("stall", int(who)):
            if isinstance(clients[who], SocketClient):
                clients[who].stall()
        case ("look", int(replica)):
            await world.replicas[replica].look()
        case ("restart", int(replica)):
            for client in clients:
                if client.replica == replica:
                    await client.drop()
            world.replicas[replica].hub.close()
            world.replicas[replica] = world.replica()
        case ("catch up",):
            world.lag = 0
        case ("lose", int(keep)):
            world.lag = 0
            world.log.drop(keep)
            await all_look(world)
        case ("make anew",):
            world.lag = 0
            world.log.make_anew()
            await all_look(world)


async def all_look(world: World) -> None:
    """Every replica notices what became of the log before it goes on."""
    for replica in world.replicas:
        await replica.look()


async def settle(world: World, clients: list[Any]) -> None:
    """Everybody is connected and has read everything: then everybody knows the truth."""
    for replica in world.replicas:
        await replica.catch_up()
    for client in clients:
        await client.connect(0)
        await client.take(200)
        client.check(final=True)
        assert client.state == world.truth(client.tenant)


PUBLISH = ("publish", 0, 0, [0, 1])
IN_THE_MIDDLE_OF_A_RECORD = [PUBLISH, ("read", 0, 1, []), ("take", 0, 3), ("drop", 0), ("connect", 0, 0)]
FULL_WITH_FRAMES_WAITING = [("take", 1, 9), PUBLISH, ("read", 1, 9, []), ("stall", 1)]
HAS_WHAT_WAITS_IN_THE_LANE = [
    *(("drop", 4), ("connect", 4, 1), ("take", 4, 9), ("take", 1, 9), ("stall", 4)),
    *(PUBLISH, ("read", 1, 9, []), ("take", 4, 9)),
]
LOST_WHAT_WAS_READ_AND_READ_AGAIN = [
    *([("publish", 1, 0, [1])] * 3 + [PUBLISH, ("read", 1, 4, []), ("publish", 1, 0, [0])]),
    *(("lose", 4), ("take", 4, 7)),
]
OTHER_REPLICA_OTHER_ORDER = [
    *(("publish", 0, 1, [0]), ("publish", 0, 0, [0]), ("read", 0, 1, [1]), ("take", 0, 9), ("drop", 0)),
    *(("read", 1, 9, [0]), ("connect", 0, 1), ("take", 0, 2), ("drop", 0), ("connect", 0, 1), ("take", 0, 9)),
]


@given(st.lists(STEPS, min_size=10, max_size=80))
@example(IN_THE_MIDDLE_OF_A_RECORD)
@example(FULL_WITH_FRAMES_WAITING)
@example(HAS_WHAT_WAITS_IN_THE_LANE)
@example(LOST_WHAT_WAS_READ_AND_READ_AGAIN)
@example(OTHER_REPLICA_OTHER_ORDER)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_client_that_comes_back_misses_nothing(steps: list[tuple[Any, ...]]) -> None:
    with asyncio.Runner() as runner:
        runner.run(play(steps))


def test_the_model_resumes_without_a_snapshot_after_a_restart() -> None:
    steps: list[tuple[Any, ...]] = [PUBLISH, ("read", 0, 4, []), ("read", 1, 4, [])]
    steps += [("take", 0, 9), ("take", 1, 9), PUBLISH, ("restart", 0), PUBLISH]
    with asyncio.Runner() as runner:
        clients = runner.run(play(steps))
    assert {client.snapshots for client in clients} == {1}
