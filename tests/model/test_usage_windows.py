"""However late facts come and wherever processes die, a window and its corrections add up to what its facts say.

The use case is the real one; engine, ledger, outbox and log are models of a few lines each. A turn's writes happen
together when it ends well, or not at all.
"""

import asyncio
import copy
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameworks.contracts.topics import PARTITIONS
from frameworks.data.periscope.domain import BUCKET, SECOND, Fact, NodeHeard, UsageKey, usage_keys
from frameworks.data.periscope.service.usage_windows import (
    LONGEST_WAIT,
    Amounts,
    Cluster,
    Completed,
    Heard,
    Said,
    Series,
    Source,
    UsageWindows,
    Waiting,
    WindowSaid,
    horizon,
    stored_until,
)
from frameworks.kit.clock import FakeClock, from_micros, micros
from frameworks.kit.errors import Unavailable

START = 1_790_000_100 * SECOND
TENANTS = [UUID(int=n) for n in (1, 2)]
CLUSTERS = ["eu", "us"]
SETTLEMENT, PATIENCE = 120 * SECOND, 600 * SECOND
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Killed(Exception):
    """The process died here."""


@dataclass(frozen=True)
class Session:
    """A fact: a viewer's session, or a number of API calls."""

    name: int
    tenant: UUID
    cluster: str
    ended: int
    seconds: int
    egress: int

    @property
    def fact(self) -> Fact:
        """As ingestion marks it."""
        return Fact(self.tenant, "user-connection", "s", self.ended, self.seconds * SECOND, self.cluster)

    def inside(self, at: int) -> dict[str, int]:
        """What falls into the window: by overlap, the last bit to the last window."""
        began = self.ended - self.seconds * SECOND
        first, last = max(began, at), min(self.ended, at + BUCKET)
        if began == self.ended:
            return {"egress_bytes": self.egress} if at <= self.ended < at + BUCKET else {}
        if last <= first:
            return {}
        whole = self.ended - began
        share = {
            meter: total * (last - began) // whole - total * (first - began) // whole
            for meter, total in (("egress_bytes", self.egress), ("viewer_seconds", self.seconds))
        }
        return {**share, "peak_viewers": 1}


def computed(key: UsageKey, facts: Collection[Session]) -> dict[str, int]:
    """A sum and a maximum, as the real meters have."""
    total: dict[str, int] = defaultdict(int)
    for session in facts:
        if (session.tenant, session.cluster) == (key.tenant, key.cluster):
            for meter, amount in session.inside(key.at).items():
                total[meter] += amount
    return {meter: amount for meter, amount in total.items() if amount}


@dataclass
class State:
    """What survives a kill."""

    waiting: dict[UsageKey, int] = field(default_factory=dict)
    said: dict[UsageKey, Said] = field(default_factory=dict)
    sequences: dict[Series, int] = field(default_factory=dict)
    clusters: dict[str, tuple[int, int]] = field(default_factory=dict)
    outbox: list[WindowSaid | Completed] = field(default_factory=list)
    turn: int = 0


@dataclass
class World:
    """Facts, the ledger and the log, and where things go wrong."""

    deaths: frozenset[int]
    others: frozenset[int]
    late: dict[int, Session]
    clock: FakeClock = field(default_factory=lambda: FakeClock(from_micros(START)))
    facts: dict[int, Session] = field(default_factory=dict)
    state: State = field(default_factory=State)
    log: list[WindowSaid | Completed] = field(default_factory=list)
    locked: bool = False
    away: str = ""
    step: int = 0

    def publisher(self) -> UsageWindows:
        """One replica."""
        settled, patience = timedelta(microseconds=SETTLEMENT), timedelta(microseconds=PATIENCE)
        return UsageWindows(self, self, self.clock, ["log"], settlement=settled, patience=patience)

    async def strike(self) -> None:
        """Between two steps: a fact arrives, another replica tries, or the process dies."""
        self.step += 1
        if (session := self.late.pop(self.step, None)) is not None:
            self.arrive(session)
        if self.step in self.others:
            await self.publisher().run()
        if self.step in self.deaths:
            raise Killed(self.step)

    def arrive(self, session: Session) -> None:
        """Stored and marked, once more when it comes again."""
        self.facts[session.name] = session
        for key in usage_keys([session.fact]):
            self.state.clusters.setdefault(key.cluster, (micros(self.clock.now()) // BUCKET * BUCKET, 0))
            self.state.waiting[key] = self.state.waiting.get(key, 0) + 1

    async def clusters(self) -> Sequence[str]:
        """Every cluster heard of."""
        return sorted(self.state.clusters)

    async def measure(self, keys: Sequence[UsageKey]) -> Mapping[UsageKey, Amounts]:
        """From the facts there are; more may arrive right before and after."""
        if keys[0].cluster == self.away:
            raise Unavailable("Its engine is away.")
        await self.strike()
        found = {key: computed(key, self.facts.values()) for key in keys}
        await self.strike()
        return {key: amounts for key, amounts in found.items() if amounts}

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["ModelTurn | None"]:
        """A lock, and writes that happen together when it ends well."""
        if self.locked:
            yield None
            return
        self.locked = True
        try:
            turn = ModelTurn(self, self.state.turn + 1)
            await self.strike()
            yield turn
            await self.strike()
            for write in turn.writes:
                write(self.state)
            self.state.turn = turn.number
        finally:
            self.locked = False

    async def deliver(self) -> None:
        """At least once, in order."""
        while self.state.outbox:
            await self.strike()
            self.log.append(self.state.outbox[0])
            await self.strike()
            del self.state.outbox[0]


@dataclass
class ModelTurn:
    """A transaction: sees its own writes."""

    world: World
    number: int
    writes: list[Callable[[State], None]] = field(default_factory=list)

    def seen(self) -> State:
        """The state with what this turn wrote."""
        whole = self.world.state
        state = State(**{name: copy.copy(getattr(whole, name)) for name in State.__dataclass_fields__})
        for write in self.writes:
            write(state)
        return state

    async def reached(self) -> Mapping[Source, int]:
        """The log is stored up to now."""
        return {("log", number): micros(self.world.clock.now()) for number in range(PARTITIONS)}

    async def cluster(self, name: str, stored: int) -> Cluster:
        """The cluster as it is now."""
        until, sequence = self.seen().clusters[name]
        return Cluster(name, until, sequence, ())

    async def waiting(self, cluster: str, until: int, limit: int) -> Sequence[Waiting]:
        """The oldest that may be said."""
        marks = self.seen().waiting.items()
        found = [Waiting(k, n) for k, n in marks if k.cluster == cluster and k.at + BUCKET <= until]
        return sorted(found, key=lambda entry: (entry.key.at, entry.key.tenant))[:limit]

    async def said(self, keys: Collection[UsageKey]) -> Mapping[UsageKey, Said]:
        """What was said of these."""
        return {key: said for key, said in self.seen().said.items() if key in keys}

    async def sequences(self, series: Collection[Series]) -> Mapping[Series, int]:
        """The last of each."""
        return {one: last for one, last in self.seen().sequences.items() if one in series}

    async def counted(self, cluster: str, since: int, until: int) -> Mapping[int, int]:
        """Tenants by window."""
        found: dict[int, int] = defaultdict(int)
        for key in self.seen().said:
            if key.cluster == cluster and since <= key.at < until:
                found[key.at] += 1
        return found

    async def say(self, windows: Sequence[WindowSaid]) -> None:
        """Remembered and put into the outbox together."""

        def write(state: State) -> None:
            for window in windows:
                known = state.said.get(window.key, Said())
                total = defaultdict(int, known.amounts)
                for meter, amount in window.amounts.items():
                    total[meter] += amount
                state.said[window.key] = Said(dict(total), known.records + 1)
                state.sequences[window.key.tenant, window.key.cluster] = window.sequence
                state.outbox.append(window)

        self.writes.append(write)
        await self.world.strike()

    async def complete(self, markers: Sequence[Completed]) -> None:
        """Likewise."""

        def write(state: State) -> None:
            for marker in markers:
                state.clusters[marker.cluster] = (marker.at + BUCKET, marker.sequence)
                state.outbox.append(marker)

        self.writes.append(write)
        await self.world.strike()

    async def clear(self, done: Sequence[Waiting]) -> None:
        """Only what was not marked again."""

        def write(state: State) -> None:
            for entry in done:
                if state.waiting.get(entry.key) == entry.generation:
                    del state.waiting[entry.key]

        self.writes.append(write)
        await self.world.strike()

    async def forget(self, cluster: str, *, waiting_before: int, said_before: int) -> int:
        """Nothing here is old."""
        return 0


def read(log: Sequence[WindowSaid | Completed]) -> dict[UsageKey, dict[str, int]]:
    """As billing reads: repetitions are dropped, gaps and changed records are errors."""
    known: dict[str, WindowSaid | Completed] = {}
    sums: dict[UsageKey, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    sequences: dict[Series, int] = defaultdict(int)
    complete: dict[str, Completed] = {}
    for record in log:
        if record.record_id in known:
            assert known[record.record_id] == record
            continue
        known[record.record_id] = record
        if isinstance(record, Completed):
            last = complete.get(record.cluster)
            assert last is None or (record.at, record.sequence) == (last.at + BUCKET, last.sequence + 1)
            complete[record.cluster] = record
            assert record.windows == len(
                {k for k in sums if (k.cluster, k.at) == (record.cluster, record.at)}
            )
            continue
        key = record.key
        sequences[key.tenant, key.cluster] += 1
        assert record.sequence == sequences[key.tenant, key.cluster]
        if key.cluster in complete and key.at <= complete[key.cluster].at:
            assert record.correction
        for meter, amount in record.amounts.items():
            sums[key][meter] += amount
    return {key: {m: n for m, n in found.items() if n} for key, found in sums.items() if any(found.values())}


@st.composite
def sessions(draw: st.DrawFn, name: int) -> Session:
    """Up to an hour long, ended within two hours."""
    return Session(
        name,
        draw(st.sampled_from(TENANTS)),
        draw(st.sampled_from(CLUSTERS)),
        START + draw(st.integers(-3600, 3600)) * SECOND + draw(st.sampled_from([0, 1, 999_999])),
        draw(st.sampled_from([0, 1, 300, 301]) | st.integers(0, 3600)),
        draw(st.integers(0, 10**12)),
    )


async def live(world: World, arrivals: Sequence[Session]) -> None:
    """Facts arrive, time passes, publishers run and die; then everything settles."""
    for session in [*arrivals, None]:
        if session is not None:
            world.arrive(session)
        await world.clock.advance(200)
        try:
            await world.publisher().run()
            await world.deliver()
        except Killed:
            continue
    for session in world.late.values():
        world.arrive(session)
    world.deaths, world.others, world.late = frozenset(), frozenset(), {}
    await world.clock.advance(3 * 3600)
    await world.publisher().run()
    await world.deliver()


def recomputed(facts: Collection[Session]) -> dict[UsageKey, dict[str, int]]:
    """From the facts alone."""
    keys = usage_keys(session.fact for session in facts)
    return {key: amounts for key in keys if (amounts := computed(key, facts))}


@settings(UNHURRIED, max_examples=200)
@given(st.data())
def test_windows_and_corrections_add_up_whatever_dies_and_however_late(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    drawn = [data.draw(sessions(name)) for name in range(count)]
    arrivals = [*drawn[: count // 2 + 1], *data.draw(st.lists(st.sampled_from(drawn), max_size=8))]
    steps = st.frozensets(st.integers(1, 120), max_size=10)
    moments = data.draw(st.lists(st.integers(1, 120), unique=True, min_size=count, max_size=count))
    late = dict(zip(moments, drawn, strict=True))
    world = World(data.draw(steps), data.draw(steps), dict(late))
    asyncio.run(live(world, arrivals))
    assert read(world.log) == recomputed(world.facts.values())
    assert not world.state.waiting
    said = len(world.log)
    for session in drawn:
        world.arrive(session)
    asyncio.run(live(world, []))
    repeated = [record for record in world.log[said:] if isinstance(record, WindowSaid)]
    assert repeated == [], "a replay said something new"


STEPS = range(1, 40)
"""More steps than there are from the first publisher to the one that finds nothing new."""


def same_window(name: int) -> Session:
    """A session in the first window of one tenant."""
    return Session(name, TENANTS[0], "eu", START + 100 * SECOND, 60 + name, 600 + name)


@pytest.mark.parametrize("step", STEPS)
async def test_a_fact_that_arrives_between_any_two_steps_is_said_once(step: int) -> None:
    world = World(frozenset(), frozenset(), {step: same_window(1)})
    await live(world, [same_window(0)] * 4)
    assert read(world.log) == recomputed([same_window(0), same_window(1)])


@pytest.mark.parametrize("step", STEPS)
async def test_a_death_between_any_two_steps_leaves_no_trace(step: int) -> None:
    world = World(frozenset({step}), frozenset(), {})
    await live(world, [same_window(0), *[same_window(1)] * 3])
    assert read(world.log) == recomputed([same_window(0), same_window(1)])


@pytest.mark.parametrize("step", STEPS)
async def test_another_publisher_between_any_two_steps_says_nothing_twice(step: int) -> None:
    world = World(frozenset(), frozenset({step, step + 1}), {})
    await live(world, [same_window(0), *[same_window(1)] * 3])
    assert read(world.log) == recomputed([same_window(0), same_window(1)])


async def test_an_engine_that_is_away_stops_its_cluster_only() -> None:
    world = World(frozenset(), frozenset(), {})
    sessions = [
        Session(n, TENANTS[0], cluster, START + 60 * SECOND, 60, 600) for n, cluster in enumerate(CLUSTERS)
    ]
    for session in sessions:
        world.arrive(session)
    await world.clock.advance(500)
    world.away = "eu"
    with pytest.raises(Unavailable):
        await world.publisher().run()
    await world.deliver()
    assert set(read(world.log)) == {UsageKey(TENANTS[0], "us", START)}
    assert {record.cluster for record in world.log if isinstance(record, Completed)} == {"us"}
    world.away = ""
    await world.publisher().run()
    await world.deliver()
    assert read(world.log) == recomputed(sessions)


def heard(node: str, at: int, seen: int) -> Heard:
    """A node, in seconds after the start."""
    return Heard(NodeHeard("eu", node, START + at * SECOND), START + seen * SECOND)


def until(stored: Mapping[int, int], nodes: Sequence[Heard], now: int = 100_000) -> int:
    """The horizon in seconds after the start."""
    reached = {("log", number): START + at * SECOND for number, at in stored.items()}
    sources = [("log", number) for number in range(PARTITIONS)]
    whole = stored_until(reached, sources, START + now * SECOND)
    found = horizon(whole, nodes, settlement=SETTLEMENT, patience=PATIENCE)
    return (found - START) // SECOND if found else 0


EVERYWHERE = dict.fromkeys(range(PARTITIONS), 1000)


def test_a_window_is_complete_when_the_slowest_partition_has_settled() -> None:
    assert until(EVERYWHERE, []) == 600
    assert until({**EVERYWHERE, 3: 719}, []) == 300
    assert until({**EVERYWHERE, 3: 720}, []) == 600


def test_a_partition_nobody_heard_of_completes_nothing() -> None:
    assert until(dict.fromkeys(range(1, PARTITIONS), 1000), []) == 0


def test_a_node_that_is_behind_is_waited_for_while_it_is_heard_of() -> None:
    assert until(EVERYWHERE, [heard("a", 950, 990), heard("b", 599, 990)]) == 300
    assert until(EVERYWHERE, [heard("b", 599, 400)]) == 300
    assert until(EVERYWHERE, [heard("b", 599, 399)]) == 600


def test_a_node_whose_clock_is_hours_wrong_is_not_waited_for() -> None:
    late = 1000 - LONGEST_WAIT // SECOND
    assert until(EVERYWHERE, [heard("a", late, 990)]) < 0
    assert until(EVERYWHERE, [heard("a", late - 1, 990)]) == 600


@UNHURRIED
@given(st.dictionaries(st.integers(0, PARTITIONS - 1), st.integers(1, 5000)), st.integers(1, 9000))
def test_the_horizon_is_a_window_end_that_everything_has_passed(stored: dict[int, int], now: int) -> None:
    at = until({**EVERYWHERE, **stored}, [heard("a", 700, 1000)], now)
    assert at == 0 or (START + at * SECOND) % BUCKET == 0
    assert at + SETTLEMENT // SECOND <= max(min(now, *{**EVERYWHERE, **stored}.values()), 120)
