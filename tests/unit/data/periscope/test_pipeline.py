"""The pipeline's status: what does not answer is named with what to do, the rest is told all the same."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from frameworks.contracts.flow import PLACES, remedy
from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.flow import message, report_of
from frameworks.data.periscope.service.patience import Patience
from frameworks.data.periscope.service.pipeline import COUNTED, FRESH, Pipeline
from frameworks.data.periscope.service.processes import (
    FORGOTTEN,
    MOST,
    Depth,
    Looped,
    Processes,
    Reader,
    Report,
)
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable

APP = Report(
    id="here/app/1",
    process="app",
    modules=("decklog", "periscope-ingest", "signalman", "helmsman"),
    status="ok",
    rates={"stored": 12.5},
    levels={"node_answers": 1.0},
)
READER = Reader(topic="analytics_events", group="periscope-ingest", running=True)


class StoreDown(Unavailable):
    """An engine that is away."""

    code = "analytics.away"


@dataclass
class Shelf:
    """PostgreSQL in memory; away while `away`."""

    kept: dict[str, Report] = field(default_factory=dict)
    away: bool = False

    async def keep(self, report: Report) -> None:
        """Replace what this process said before."""
        if self.away:
            raise Unavailable("away")
        self.kept[report.id] = report

    async def all(self, since: int) -> Sequence[Report]:
        """The reports since then."""
        if self.away:
            raise Unavailable("away")
        return [report for report in self.kept.values() if report.reported_at > since]


@dataclass
class Engines:
    """ClickHouse, PostgreSQL and the log, each with an answer or a fault."""

    rates: Any = ((), 0)
    dirty: Any = (0, 0)
    letters: Any = 0
    current: Any = (1, 2)
    asked: int = 0

    async def pipeline(self) -> Any:
        """Rates and unclaimed events."""
        self.asked += 1
        return _or_raise(self.rates)

    async def waiting(self) -> Any:
        """Dirty buckets."""
        return _or_raise(self.dirty)

    async def dead_letters(self) -> Any:
        """Dead letters."""
        return _or_raise(self.letters)

    async def totals(self) -> Any:
        """Live streams and open sessions."""
        return _or_raise(self.current)


def _or_raise(found: Any) -> Any:
    if isinstance(found, Exception):
        raise found
    return found


@dataclass
class World:
    """A pipeline over fakes."""

    clock: FakeClock = field(default_factory=FakeClock)
    shelf: Shelf = field(default_factory=Shelf)
    engines: Engines = field(default_factory=Engines)

    def __post_init__(self) -> None:
        """Wire them."""
        self.processes = Processes(self.shelf, self.clock)
        engines = self.engines
        self.pipeline = Pipeline(self.processes, engines, engines, engines, engines, self.clock)

    async def troubles(self) -> Mapping[str, str]:
        """By place and code, what is said to be wrong."""
        status = await self.pipeline.status()
        return {f"{trouble.place} {trouble.code}": trouble.message for trouble in status.troubles}


@pytest.fixture
async def world() -> World:
    """One process reports, all is well."""
    made = World()
    await made.processes.report(APP)
    return made


async def test_nothing_is_wrong_when_everything_flows(world: World) -> None:
    assert await world.troubles() == {}
    status = await world.pipeline.status()
    assert [engine.up for engine in status.engines] == [True, True, True]
    assert (status.counts.live_streams, status.counts.open_sessions) == (1, 2)


async def test_a_store_that_is_away_is_named_and_the_rest_is_told(world: World) -> None:
    await world.pipeline.status()
    world.engines.rates = StoreDown("Connection refused.")
    world.engines.letters = 3
    await world.clock.advance(COUNTED)
    await world.processes.report(APP)
    status = await world.pipeline.status()
    assert (status.counts.dead_letters, status.counts.live_streams) == (3, 1)
    worst = status.troubles[0]
    assert (worst.place, worst.code, worst.broken) == ("clickhouse", "analytics.away", True)
    assert worst.message == "ClickHouse does not answer: Connection refused."
    assert "frameworks logs clickhouse" in worst.remedy
    assert {engine.name: engine.up for engine in status.engines} == {
        "clickhouse": False,
        "eventlog": True,
        "postgresql": True,
    }


async def test_a_waiting_reader_says_why_in_words_though_postgresql_is_away(world: World) -> None:
    world.shelf.away = True
    world.engines.current = Unavailable("The database is not available now.")
    waits = msgspec.structs.replace(
        READER,
        running=False,
        last_error="sql.unavailable",
        reason="The database is not available now.",
        lag=9,
    )
    await world.processes.report(msgspec.structs.replace(APP, readers=(waits,)))
    found = await world.troubles()
    assert found["postgresql unavailable"] == "PostgreSQL does not answer: The database is not available now."
    assert found["ingest sql.unavailable"].endswith("waits: The database is not available now.")


async def test_readers_of_one_group_are_put_together(world: World) -> None:
    one = msgspec.structs.replace(READER, lag=5, worst_lag=4, worst_partition=2, per_second=1.5)
    two = msgspec.structs.replace(READER, lag=30_000, worst_lag=20_000, worst_partition=7, per_second=2.0)
    for number, reader in enumerate((one, two)):
        await world.processes.report(msgspec.structs.replace(APP, id=f"{number}", readers=(reader,)))
    (topic,) = (await world.pipeline.status()).topics
    assert (topic.lag, topic.worst_lag, topic.worst_partition, topic.per_second) == (30_005, 20_000, 7, 3.5)
    assert set(await world.troubles()) == {"ingest flow.behind"}


async def test_a_process_that_falls_silent_is_missed_unless_another_does_its_work(world: World) -> None:
    await world.processes.report(msgspec.structs.replace(APP, id="old", process="data", modules=("decklog",)))
    await world.processes.report(
        msgspec.structs.replace(APP, id="gone", process="foghorn", modules=("foghorn",))
    )
    await world.clock.advance(20.0)
    await world.processes.report(APP)
    found = await world.troubles()
    assert set(found) == {"control flow.silent"}
    assert found["control flow.silent"].startswith("The process foghorn has not reported for 20 s")


async def test_a_platform_without_a_reader_is_told_so(world: World) -> None:
    world.shelf.kept.clear()
    alone = World()
    await alone.processes.report(msgspec.structs.replace(APP, modules=("decklog", "signalman")))
    assert await alone.troubles() == {
        "ingest flow.silent": "No process reports that it runs periscope-ingest."
    }


async def test_failing_loops_silent_nodes_and_full_edge_logs_are_told_at_their_box(world: World) -> None:
    report = msgspec.structs.replace(
        APP,
        status="failing",
        loops=(Looped("signalman", "follow", "failing", 3, "The event log does not answer."),),
        levels={"node_answers": 0.0},
        nodes=(Depth("node-1", 60, 100), Depth("node-2", 20, 100), Depth("node-3", 1, 100)),
    )
    await world.processes.report(report)
    status = await world.pipeline.status()
    assert [(t.place, t.code, t.broken) for t in status.troubles] == [
        ("signalman", "flow.loop_failing", True),
        ("node", "flow.node_silent", True),
        ("node", "flow.edge_log", True),
        ("node", "flow.edge_log", False),
    ]


async def test_what_is_left_lying_is_a_warning(world: World) -> None:
    world.engines.letters, world.engines.rates, world.engines.dirty = 4, ((), 5), (6, 1)
    assert set(await world.troubles()) == {
        "eventlog flow.dead_letters",
        "ingest flow.unclaimed",
        "clickhouse flow.roll_up_behind",
    }
    assert not any(trouble.broken for trouble in (await world.pipeline.status()).troubles)


async def test_however_many_ask_the_stores_are_counted_now_and_then(world: World) -> None:
    for _ in range(5):
        await world.pipeline.status()
        await world.clock.advance(FRESH)
    assert world.engines.asked == 1
    await world.clock.advance(COUNTED)
    await world.pipeline.status()
    assert world.engines.asked == 2


async def test_reports_are_shared_and_survive_without_the_share(world: World) -> None:
    other = Processes(world.shelf, world.clock)
    assert [report.id for report in await other.all()] == [APP.id]
    world.shelf.away = True
    assert [report.id for report in await world.processes.all()] == [APP.id]
    assert await other.all() == []


async def test_a_question_that_ignores_its_end_keeps_nobody_waiting() -> None:
    patience, go, asked = Patience(), asyncio.Event(), []

    async def stubborn() -> None:
        asked.append(True)
        try:
            await go.wait()
        except asyncio.CancelledError:
            await go.wait()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await patience.ask("postgresql", stubborn, 0.01)
    assert len(asked) == 1
    go.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await patience.ask("postgresql", stubborn, 5.0)
    assert len(asked) == 2


async def test_a_process_is_forgotten_after_a_while_and_their_number_is_bounded(world: World) -> None:
    world.shelf.away = True
    for number in range(MOST + 5):
        await world.processes.report(Report(id=f"p{number}", process="p"))
    assert len(await world.processes.all()) == MOST
    await world.clock.advance(FORGOTTEN / 1_000_000)
    assert await world.processes.all() == []


async def test_a_report_survives_the_wire() -> None:
    told = pb.ProcessReport(
        id="x",
        process="app",
        modules=["decklog"],
        status="ok",
        readers=[pb.TopicStatus(topic="t", group="g", lag=2**40, running=True, per_second=1.5)],
        rates={"stored": 3.0},
        nodes=[pb.NodeDepth(node="n", bytes=2**40, limit=2**41)],
    )
    found = report_of(told)
    assert (found.readers[0].lag, found.nodes[0].bytes, found.rates) == (2**40, 2**40, {"stored": 3.0})
    world = World()
    await world.processes.report(found)
    sent = message(await world.pipeline.status())
    assert sent.processes[0].readers[0] == told.readers[0]
    assert sent.topics[0].lag == 2**40
    assert sent.engines[0].up


def test_every_box_has_a_remedy_for_what_can_break_there() -> None:
    codes = (
        "eventlog.away",
        "analytics.away",
        "analytics.slow",
        "sql.unavailable",
        "periscope.schema_behind",
    )
    assert all(remedy(code) for code in codes)
    assert remedy("nobody.knows") == ""
    assert set(PLACES.values()) <= {"decklog", "ingest", "signalman", "node", "control"}
