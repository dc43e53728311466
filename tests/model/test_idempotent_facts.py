"""However often the platform is killed, replayed and re-batched, facts count once and buckets equal recomputation.

The use cases are the real ones; the engines are models of a few lines each. ADR 0002 says why this must hold.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameworks.contracts.framing import frame, split, unframed
from frameworks.contracts.pb.events_v1_pb2 import Event, StreamLifecycle, StreamMetrics, UserConnection
from frameworks.data.periscope.consumers.reading import decode
from frameworks.data.periscope.domain import (
    BUCKET,
    COARSER,
    SECOND,
    WIDTH,
    Fact,
    Kind,
    Mark,
    SessionChange,
    StreamChange,
    UsageKey,
    coarser,
    facts_of,
    marks,
)
from frameworks.data.periscope.service.ingest import Arrived, Ingest, Letter, Source
from frameworks.data.periscope.service.roll_up import Alone, Dirty, RollUp
from frameworks.data.periscope.store.facts import DOORS

TENANTS = [UUID(int=n) for n in (1, 2)]
STREAMS = [UUID(int=n) for n in (11, 12)]
START = 1_790_000_100 * SECOND


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy."""


class Killed(Exception):
    """The process died here."""


@dataclass
class Fate:
    """What happens at each step: the process dies, or another one takes its turn at rolling up."""

    deaths: frozenset[int] = frozenset()
    turns: frozenset[int] = frozenset()
    step: int = 0

    def strike(self) -> bool:
        """One step later; whether another process has its turn now."""
        self.step += 1
        if self.step in self.deaths:
            raise Killed(self.step)
        return self.step in self.turns


@dataclass
class World:
    """What survives a kill: facts, marks, buckets, state, dead letters."""

    fate: Fate
    facts: dict[bytes, bytes] = field(default_factory=dict)
    marked: dict[Mark, int] = field(default_factory=dict)
    finished: dict[Mark, int] = field(default_factory=dict)
    clock: int = 0
    buckets: dict[Mark, tuple[int, ...]] = field(default_factory=dict)
    streams: dict[tuple[UUID, UUID], StreamChange] = field(default_factory=dict)
    sessions: dict[tuple[UUID, UUID, str, str], dict[bool, int]] = field(default_factory=dict)
    meanwhile: Callable[[], None] = lambda: None

    def door(self, kind: str) -> str:
        """As the engine has them."""
        return DOORS[kind]

    async def insert(self, kind: str, frames: Sequence[bytes]) -> None:
        """Facts are found once by event id; a kill may come before or after the write."""
        await self._step()
        for framed in (framed for part in frames for framed in split(part)):
            raw = unframed(framed)
            event = Event.FromString(raw)
            assert self.door(event.type) == self.door(kind)
            self.facts[event.event_id] = raw
        await self._step()

    async def probe(self, kind: str) -> None:
        """Always well."""

    async def mark(self, dirty: Collection[Mark]) -> None:
        """One insert, at the engine's clock."""
        await self._step()
        self.clock += 1
        self.marked |= dict.fromkeys(dirty, self.clock)
        await self._step()

    @property
    def dirty(self) -> list[Mark]:
        """What was marked at or after its last recomputation began."""
        return [mark for mark, at in self.marked.items() if at >= self.finished.get(mark, 0)]

    async def mark_usage(self, used: Sequence[UsageKey]) -> None:
        """One transaction; windows of usage have a model of their own."""

    async def reduce(self, streams: Sequence[StreamChange], sessions: Sequence[SessionChange]) -> None:
        """One transaction."""
        await self._step()
        for change in streams:
            key = change.tenant, change.stream
            if key not in self.streams or self.streams[key].version < change.version:
                self.streams[key] = change
        for session in sessions:
            ends = self.sessions.setdefault(
                (session.tenant, session.stream, session.node, session.session), {}
            )
            earlier = ends.get(session.opened, session.at)
            ends[session.opened] = (min if session.opened else max)(earlier, session.at)
        await self._step()

    async def _step(self) -> None:
        """A step of ingestion, between whose halves another process may roll up."""
        if self.fate.strike():
            spared, self.fate = self.fate, Fate()
            await RollUp(self, self, Alone()).run()
            self.fate = spared

    async def bury(self, letters: Sequence[Letter]) -> None:
        """There is nothing to bury here."""
        raise AssertionError(letters)

    async def oldest(self, kinds: Collection[Kind], limit: int) -> Dirty:
        """Marks, and the time they are read."""
        self.fate.strike()
        self.clock += 1
        return Dirty([mark for mark in self.dirty if mark.kind in kinds][:limit], self.clock)

    async def recompute(self, kind: Kind, dirty: Sequence[Mark]) -> None:
        """From the facts there are, hours and days from buckets; more may arrive before the marks are cleared."""
        self.fate.strike()
        for mark in dirty:
            self.buckets[mark] = (
                self._widened(mark) if kind in FINER else computed(mark, self.facts.values(), WIDTH[kind])
            )
        self.fate.strike()
        self.meanwhile()

    def _widened(self, mark: Mark) -> tuple[int, ...]:
        """The sums of the finer buckets inside."""
        inside = [
            found
            for finer, found in self.buckets.items()
            if (finer.kind, finer.tenant, finer.subject) == (FINER[mark.kind], mark.tenant, mark.subject)
            and mark.bucket <= finer.bucket < mark.bucket + WIDTH[mark.kind]
        ]
        return tuple(map(sum, zip(*inside, strict=True)))

    async def done(self, marks: Sequence[Mark], read_at: int) -> None:
        """These wait no longer, unless they were marked at `read_at` or later."""
        self.fate.strike()
        self.finished |= dict.fromkeys(marks, read_at)


FINER = {coarse: fine for fine, coarse in COARSER.items()}
BASE = {kind: FINER.get(FINER.get(kind, kind), FINER.get(kind, kind)) for kind in Kind}
"""The five-minute kind that a kind is made of."""


def computed(mark: Mark, facts: Iterable[bytes], width: int) -> tuple[int, ...]:
    """A roll-up with a sum, a count and an overlap, as the real ones have."""
    count = total = overlap = 0
    kind, end = BASE[mark.kind], mark.bucket + width
    for raw in facts:
        event = Event.FromString(raw)
        if event.tenant_id != mark.tenant.bytes or str(UUID(bytes=event.stream_id)) != mark.subject:
            continue
        inside = mark.bucket <= event.occurred_at < end
        if kind is Kind.HEALTH and event.type == "stream-metrics" and inside:
            count, total = count + 1, total + event.stream_metrics.bitrate_kbps
        if kind is Kind.VIEWERS and event.user_connection.action == "disconnect":
            began = event.occurred_at - event.user_connection.seconds * SECOND
            count += inside
            overlap += max(0, min(event.occurred_at, end) - max(began, mark.bucket))
        if kind is Kind.LIFECYCLE and event.type == "stream-lifecycle" and inside:
            count += 1
    return count, total, overlap


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of two tenants' streams over half an hour."""
    events = []
    for number in range(draw(st.integers(1, 25))):
        event = Event(
            event_id=UUID(int=1000 + number).bytes,
            occurred_at=START + draw(st.integers(0, 1800)) * SECOND,
            tenant_id=draw(st.sampled_from(TENANTS)).bytes,
            stream_id=draw(st.sampled_from(STREAMS)).bytes,
            node_id="n",
            claim_epoch=draw(st.integers(1, 3)),
        )
        fill(draw, event, number)
        events.append(event)
    return events


def fill(draw: st.DrawFn, event: Event, number: int) -> None:
    """Give the event a type and what belongs to it."""
    event.type = draw(st.sampled_from(["stream-metrics", "stream-lifecycle", "user-connection"]))
    if event.type == "stream-metrics":
        event.stream_metrics.CopyFrom(StreamMetrics(bitrate_kbps=number + 1))
    elif event.type == "stream-lifecycle":
        state = draw(st.sampled_from(["live", "ended"]))
        event.stream_lifecycle.CopyFrom(StreamLifecycle(state=state, duration_ms=1000 * number))
    else:
        opened = draw(st.booleans())
        event.user_connection.CopyFrom(
            UserConnection(
                action="connect" if opened else "disconnect",
                session_id=f"s{draw(st.integers(0, 3))}",
                seconds=draw(st.integers(0, 900)),
            )
        )


def records(draw: st.DrawFn, events: Sequence[Event]) -> list[bytes]:
    """The events in order, cut into records at random."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(events) - 1)), max_size=6)) | {0, len(events)})
    framed = [frame(event.SerializeToString()) for event in events]
    return [b"".join(framed[a:b]) for a, b in pairwise(cuts)]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Event], list[list[bytes]], Fate]:
    """A history, several replays of it from zero in different batches, and what happens meanwhile."""
    events = draw(histories())
    replays = [records(draw, events) for _ in range(draw(st.integers(1, 3)))]
    steps = st.frozensets(st.integers(1, 60), max_size=8)
    return events, replays, Fate(draw(steps), draw(steps))


async def live(world: World, log: Sequence[bytes], at_once: int) -> None:
    """A consumer that starts where it committed, and dies and comes back until it is through."""
    committed = 0
    while committed < len(log):
        values = log[committed : committed + at_once]
        batch = [Arrived(decode(values), [Source({}, "0")] * len(values))]
        try:
            await Ingest(world, world, world, world).take(batch)
            committed += len(values)
            await RollUp(world, world, Alone()).run()
        except Killed:
            continue


async def settle(world: World) -> None:
    """Roll up until nothing is dirty."""
    while world.dirty:
        try:
            await RollUp(world, world, Alone()).run()
        except Killed:
            continue


@settings(UNHURRIED, max_examples=150)
@given(runs(), st.integers(1, 4))
def test_kills_replays_and_new_batches_leave_no_trace(
    run: tuple[list[Event], list[list[bytes]], Fate], at_once: int
) -> None:
    events, replays, fate = run
    world = World(fate)
    for log in replays:
        asyncio.run(live(world, log, at_once))
    asyncio.run(settle(world))
    calm = World(Fate())
    asyncio.run(live(calm, replays[0], 1000))
    asyncio.run(settle(calm))
    assert world.facts == calm.facts == {event.event_id: event.SerializeToString() for event in events}
    assert world.buckets == calm.buckets
    assert world.buckets == {
        mark: computed(mark, world.facts.values(), WIDTH[mark.kind]) for mark in touched(events)
    }
    assert (world.streams, world.sessions) == (calm.streams, calm.sessions)


@settings(UNHURRIED, max_examples=50)
@given(histories(), histories())
def test_a_fact_that_arrives_during_a_roll_up_is_rolled_up_next(
    first: list[Event], second: list[Event]
) -> None:
    for number, event in enumerate(second):
        event.event_id = UUID(int=5000 + number).bytes
    world = World(Fate())
    late = b"".join(frame(event.SerializeToString()) for event in second)
    asyncio.run(Ingest(world, world, world, world).take([arrived(first)]))

    def once() -> None:
        world.meanwhile = lambda: None
        world.facts |= {event.event_id: event.SerializeToString() for event in second}
        world.marked |= dict.fromkeys(marks(facts_of(decode([late]).spans)), world.clock + 1)
        world.clock += 1

    world.meanwhile = once
    asyncio.run(settle(world))
    asyncio.run(settle(world))
    assert world.buckets == {
        mark: computed(mark, world.facts.values(), WIDTH[mark.kind]) for mark in touched([*first, *second])
    }


def arrived(events: Sequence[Event]) -> Arrived:
    """One record of these events."""
    value = b"".join(frame(event.SerializeToString()) for event in events)
    return Arrived(decode([value]), [Source({}, "0")])


def touched(events: Sequence[Event]) -> set[Mark]:
    """The buckets these events belong to."""
    value = b"".join(frame(event.SerializeToString()) for event in events)
    buckets = marks(facts_of(decode([value]).spans))
    hours = coarser(buckets)
    return buckets | hours | coarser(hours)


@UNHURRIED
@given(histories(), st.randoms(use_true_random=False))
def test_state_does_not_depend_on_order_or_repetition(events: list[Event], chance: random.Random) -> None:
    shuffled = [*events, *events]
    chance.shuffle(shuffled)
    one, other = World(Fate()), World(Fate())
    asyncio.run(Ingest(one, one, one, one).take([arrived(sorted(events, key=lambda e: e.occurred_at))]))
    for event in shuffled:
        asyncio.run(Ingest(other, other, other, other).take([arrived([event])]))
    assert (one.streams, one.sessions) == (other.streams, other.sessions)


@UNHURRIED
@given(st.integers(0, 10 * BUCKET), st.integers(0, 3 * BUCKET))
def test_a_fact_marks_every_bucket_it_lasted_in_and_no_other(at: int, lasted: int) -> None:
    fact = Fact(TENANTS[0], "user-connection", "s", at + 4 * BUCKET, lasted)
    whole = {mark for mark in marks([fact]) if mark.kind is Kind.SESSIONS}
    found = sorted(mark.bucket for mark in marks([fact]) - whole)
    assert [mark.bucket for mark in whole] == found[-1:]
    assert found[-1] <= fact.occurred_at < found[-1] + BUCKET
    assert found[0] <= fact.occurred_at - lasted < found[0] + BUCKET
    assert found == list(range(found[0], found[-1] + 1, BUCKET))


@UNHURRIED
@given(histories())
def test_a_record_is_the_concatenation_of_its_frames(events: list[Event]) -> None:
    value = b"".join(frame(event.SerializeToString()) for event in events)
    assert b"".join(split(value)) == value
    assert [unframed(framed) for framed in split(value)] == [event.SerializeToString() for event in events]
    decoded = decode([value])
    assert not decoded.bad
    parts = {kind: split(bytes(part.frames)) for kind, part in decoded.parts.items()}
    assert sorted(framed for part in parts.values() for framed in part) == sorted(split(value))
    assert all(Event.FromString(unframed(f)).type == kind for kind, part in parts.items() for f in part)


@UNHURRIED
@given(histories())
def test_a_scan_marks_what_reading_every_event_would(events: list[Event]) -> None:
    value = b"".join(frame(event.SerializeToString()) for event in events)
    every = set()
    for event in events:
        lasted = event.stream_lifecycle.duration_ms * 1000 or event.user_connection.seconds * SECOND
        stream = str(UUID(bytes=event.stream_id))
        every.add(Fact(UUID(bytes=event.tenant_id), event.type, stream, event.occurred_at, lasted))
    assert marks(facts_of(decode([value]).spans)) == marks(every)
