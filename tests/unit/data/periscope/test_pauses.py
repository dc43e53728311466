"""A dependency that is down pauses the partition: nothing is lost, nothing buried, and the reason has a name."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from frameworks.contracts.framing import frame
from frameworks.contracts.metrics import periscope as metrics
from frameworks.contracts.pb.events_v1_pb2 import Event, StreamMetrics
from frameworks.data.periscope.consumers import Batching, Consumer
from frameworks.data.periscope.domain import Mark
from frameworks.data.periscope.service.ingest import Ingest, Letter, NoState
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.kit.analytics import Analytics, AnalyticsAway, BadQuery, BadRows, away
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Fault
from frameworks.kit.eventlog import EventLog, Record, Subscription

OUTCOMES = {
    "analytics.read_only": away(242, ""),
    "analytics.no_space": away(75, "errno: 28, strerror: No space left on device"),
    "analytics.no_memory": away(241, ""),
    "analytics.too_many_parts": away(252, ""),
    "analytics.away": away(None, ""),
    "periscope.schema_behind": BadQuery("", clickhouse_code=60),
}


@dataclass
class Engine:
    """An analytics engine with a fault, or with rows that it refuses whatever they are."""

    fault: Fault | None = None
    refuses_all: bool = False
    inserts: list[bytes] = field(default_factory=list)

    async def insert_protobuf(self, table: str, *, payload: bytes, **more: object) -> None:
        """Insert, or say why not."""
        if self.fault is not None:
            raise self.fault
        if self.refuses_all:
            raise BadRows("", clickhouse_code=1)
        self.inserts.append(payload)


@dataclass
class Log:
    """One topic with one partition."""

    records: list[Record]
    committed: int = -1
    letters: list[Letter] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    partitions = frozenset({0})

    @asynccontextmanager
    async def subscribe(self, topic: str, *, group: str) -> AsyncIterator["Log"]:
        """The one reader."""
        yield self

    async def fetch(self, most: int, timeout: float) -> list[Record]:
        """Everything at once, then nothing for ever."""
        if not self.records:
            await asyncio.Event().wait()
        taken, self.records = self.records[:most], self.records[most:]
        return taken

    async def commit(self, records: Sequence[Record]) -> None:
        """Remember how far."""
        self.committed = records[-1].offset

    async def lags(self) -> Mapping[int, int]:
        """Nothing waits."""
        return {}

    async def mark(self, dirty: Collection[Mark]) -> None:
        """Marks come after facts."""
        self.marks += dirty

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Dead letters."""
        self.letters += letters


def record(offset: int, value: bytes | None = None) -> Record:
    """A record of one event."""
    event = Event(
        event_id=bytes(15) + b"%c" % offset,
        type="stream-metrics",
        occurred_at=1_790_000_000_000_000,
        schema_version=1,
        tenant_id=bytes(16),
        stream_id=bytes(16),
        node_id="n",
        stream_metrics=StreamMetrics(viewers=1),
    )
    content = frame(event.SerializeToString()) if value is None else value
    return Record("analytics_events", 0, offset, content, {"tenant_id": "t"}, 0)


@asynccontextmanager
async def consuming(engine: Engine, log: Log) -> AsyncIterator[tuple[Consumer, FakeClock]]:
    """A consumer at work on these."""
    clock = FakeClock()
    facts = ClickHouseFacts(cast(Analytics, engine), "")
    consumer = Consumer(cast(EventLog, log), Ingest(facts, log, NoState(), log), clock, Batching())
    running = asyncio.create_task(consumer.run())
    await settle()
    yield consumer, clock
    running.cancel()
    await asyncio.wait({running})


async def settle() -> None:
    """Let everything that can run do so."""
    for _ in range(50):
        await asyncio.sleep(0)


def paused(reason: str) -> float:
    """How often ingestion waited for that reason."""
    found: Any = metrics.PAUSES.labels(reason)
    return float(found._value.get())


@pytest.mark.parametrize("reason", OUTCOMES)
async def test_a_refusing_engine_pauses_the_partition_under_its_name(reason: str) -> None:
    engine, log, before = Engine(OUTCOMES[reason]), Log([record(1), record(2)]), paused(reason)
    async with consuming(engine, log) as (consumer, clock):
        assert consumer.last_error == reason
        assert paused(reason) == before + 1
        await clock.advance(60)
        await settle()
        assert (log.committed, log.letters, log.marks) == (-1, [], [])
        engine.fault = None
        await clock.advance(60)
        await settle()
        assert (consumer.last_error, log.committed, log.letters) == ("", 2, [])
        assert engine.inserts == [record(1).value + record(2).value]
        assert log.marks


async def test_an_engine_that_refuses_even_nothing_buries_nobody() -> None:
    engine, log = Engine(refuses_all=True), Log([record(1)])
    async with consuming(engine, log) as (consumer, clock):
        assert consumer.last_error == "periscope.schema_behind"
        await clock.advance(60)
        await settle()
        assert (log.committed, log.letters) == (-1, [])


async def test_a_full_log_of_dead_letters_pauses_instead_of_losing_the_letter() -> None:
    class Full(Log):
        async def bury(self, letters: Sequence[Letter]) -> None:
            """There is no room."""
            raise AnalyticsAway("full")

    engine, log = Engine(), Full([record(1, b"junk")])
    async with consuming(engine, log) as (consumer, _):
        assert consumer.last_error
        assert log.committed == -1


async def test_poison_is_buried_whole_and_the_partition_goes_on() -> None:
    engine, log = Engine(), Log([record(1), record(2, b"\x12\x03abc"), record(3, b"\xff"), record(4)])
    async with consuming(engine, log) as (consumer, _):
        assert (consumer.last_error, log.committed) == ("", 4)
        assert [(letter.frame, letter.origin) for letter in log.letters] == [
            (b"\x12\x03abc", "analytics_events/0/2"),
            (b"\xff", "analytics_events/0/3"),
        ]
        assert all(letter.headers == {"tenant_id": "t"} for letter in log.letters)
        assert engine.inserts == [record(1).value + record(4).value]


async def test_an_event_that_is_laid_out_otherwise_is_stored_and_marked_all_the_same() -> None:
    plain, log, engine = record(1), Log([]), Engine()
    body = plain.value[2:]
    moved = frame(body[18:] + body[:18])
    log.records = [record(1, moved)]
    async with consuming(engine, log):
        assert engine.inserts == [moved]
        assert [mark.subject for mark in log.marks] == ["00000000-0000-0000-0000-000000000000"]


async def test_an_id_that_is_none_is_poison() -> None:
    bad = Event(type="user-connection", tenant_id=b"short", stream_id=bytes(16)).SerializeToString()
    log, engine = Log([record(1, frame(bad))]), Engine()
    async with consuming(engine, log):
        assert [letter.frame for letter in log.letters] == [frame(bad)]
        assert log.committed == 1


async def test_events_of_no_known_type_are_stored_and_counted() -> None:
    event = Event.FromString(record(1).value[2:])
    event.type = "stream-gossip"
    log, engine = Log([record(1, frame(event.SerializeToString()))]), Engine()
    async with consuming(engine, log) as (consumer, _):
        (facts,) = consumer.facts().values()
        assert cast(Mapping[str, object], facts)["unclaimed"] == 1
        assert log.committed == 1


def test_a_log_and_a_subscription_are_what_they_are_used_as() -> None:
    assert {"fetch", "commit", "lags", "partitions"} <= set(dir(Log)) & set(dir(Subscription))
