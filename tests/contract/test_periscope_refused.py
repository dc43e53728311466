"""A real analytics engine that refuses: ingestion waits under the reason's name, and all of it arrives once after."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from fixtures_clickhouse import LIMITS
from fixtures_periscope import PACKAGE, BuriedHere, Story, new_story
from fixtures_platform import eventually

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.framing import frame
from frameworks.contracts.metrics import periscope as metrics
from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.data.periscope.consumers import Batching, Consumer
from frameworks.data.periscope.service.ingest import Ingest, NoState
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.data.periscope.store.marks import ClickHouseMarks
from frameworks.data.periscope.store.tables import declared
from frameworks.engines.clickhouse import ClickHouse
from frameworks.kit.analytics import Analytics, Scope, connect
from frameworks.kit.clock import SystemClock, random_text
from frameworks.kit.eventlog import EventLog, Outgoing

CLOCK = SystemClock()
RECORDS, EVENTS = 6, 5
Turn = Callable[["Engine"], Awaitable[None]]


@dataclass
class Engine:
    """An engine of this file's own, which its tests may harm."""

    server: ClickHouse
    analytics: Analytics
    facts: ClickHouseFacts
    buried: BuriedHere = field(default_factory=BuriedHere)

    async def set(self, setting: str) -> None:
        """Change how the tables of measurements are kept."""
        await self.analytics.command(f"ALTER TABLE periscope.stream_health MODIFY SETTING {setting}")

    async def ids(self, story: Story) -> list[Any]:
        """What history has of a story."""
        sql = "SELECT event_id FROM periscope.stream_health_v ORDER BY occurred_at"
        rows = await self.analytics.query(sql, {}, Scope.tenant(story.tenant))
        return [row["event_id"].bytes for row in rows]


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """The embedded engine with Periscope's tables."""
    server = ClickHouse(tmp_path_factory.mktemp("refusing"), options=LIMITS)
    await server.start()
    analytics = await connect(server.url)
    analytics.declare(*declared())
    await analytics.migrate(PACKAGE)
    yield Engine(server, analytics, ClickHouseFacts(analytics, SCHEMA_TEXT))
    await analytics.close()
    await server.stop()


def table(setting: str) -> Turn:
    """A setting of a table."""
    return lambda engine: engine.set(setting)


def files(most: int) -> Turn:
    """How large a file the engine may write, as a full disk would have it."""

    async def limit(engine: Engine) -> None:
        assert engine.server.process.pid is not None
        resource.prlimit(engine.server.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    return limit


REFUSALS: dict[str, tuple[Turn, Turn, str]] = {
    "a table that is read only": (
        table("table_readonly = 1"),
        table("table_readonly = 0"),
        "analytics.read_only",
    ),
    "a disk with less room than is to stay free": (
        table("min_free_disk_bytes_to_perform_insert = 1000000000000000"),
        table("min_free_disk_bytes_to_perform_insert = 0"),
        "analytics.no_space",
    ),
    "no room for a single file": (files(0), files(resource.RLIM_INFINITY), "analytics.no_space"),
    "merges that are behind": (
        table("parts_to_throw_insert = 1"),
        table("parts_to_throw_insert = 3000"),
        "analytics.too_many_parts",
    ),
}


def told(story: Story, first: int) -> list[ev.Event]:
    """A few measurements."""
    metrics_of = [ev.StreamMetrics(bitrate_kbps=first + number) for number in range(EVENTS)]
    return [
        story.event("stream-metrics", first + number, stream_metrics=said)
        for number, said in enumerate(metrics_of)
    ]


async def publish(log: EventLog, topic: str, story: Story) -> list[bytes]:
    """Put records of a story into the log; the ids of its events, in order."""
    events = [told(story, number * EVENTS) for number in range(RECORDS)]
    values = [b"".join(frame(event.SerializeToString()) for event in batch) for batch in events]
    await log.publish([Outgoing(topic, 0, value, {"tenant_id": str(story.tenant)}) for value in values])
    return [event.event_id for batch in events for event in batch]


@asynccontextmanager
async def consuming(log: EventLog, topic: str, engine: Engine) -> AsyncIterator[Consumer]:
    """Periscope at work on a topic."""
    ingest = Ingest(engine.facts, ClickHouseMarks(engine.analytics), NoState(), engine.buried)
    consumer = Consumer(log, ingest, CLOCK, Batching(wait=0.1), topic)
    running = asyncio.create_task(consumer.run())
    yield consumer
    running.cancel()
    await asyncio.wait({running})


def paused(reason: str) -> float:
    """How often ingestion waited for that reason."""
    found: Any = metrics.PAUSES.labels(reason)
    return float(found._value.get())


@pytest.mark.parametrize("name", REFUSALS)
async def test_nothing_is_lost_buried_or_doubled_while_the_engine_refuses(
    engine: Engine, event_log: EventLog, name: str
) -> None:
    harm, heal, reason = REFUSALS[name]
    topic, before, story = f"refused_{random_text(8)}", new_story(), new_story()
    await event_log.ensure(topic, partitions=1)
    async with consuming(event_log, topic, engine) as consumer:
        await publish(event_log, topic, before)
        await eventually(lambda: _reads(consumer), what="the engine stores")
        assert await engine.ids(before)
        waits = paused(reason)
        await harm(engine)
        try:
            sent = await publish(event_log, topic, story)
            await eventually(
                lambda: _waits(consumer, reason, waits + 2), what=f"ingestion waits for {reason}"
            )
            assert consumer.last_error == reason
            assert await engine.ids(story) == []
            assert await _waiting(consumer) == RECORDS
        finally:
            await heal(engine)
        await eventually(lambda: _reads(consumer), what="ingestion goes on")
        assert await engine.ids(story) == sent
        assert engine.buried.letters == []


async def _waits(consumer: Consumer, reason: str, times: float) -> bool:
    return consumer.last_error == reason and paused(reason) >= times


async def _reads(consumer: Consumer) -> bool:
    return not consumer.last_error and await _waiting(consumer) == 0


async def _waiting(consumer: Consumer) -> int:
    """Records that are not committed."""
    await consumer.measure()
    (facts,) = consumer.facts().values()
    return int(cast("dict[str, Any]", facts)["lag"]) if cast("dict[str, Any]", facts)["partitions"] else -1


async def test_whoever_may_only_read_is_told_so(engine: Engine, event_log: EventLog) -> None:
    """As an account with `readonly` in its profile: every request of it says so."""
    story, reason, topic = new_story(), "analytics.read_only", f"refused_{random_text(8)}"
    await event_log.ensure(topic, partitions=1)
    reader = await connect(engine.server.url)
    reader._client.set_client_setting("readonly", "1")
    theirs = Engine(engine.server, reader, ClickHouseFacts(reader, SCHEMA_TEXT))
    waits = paused(reason)
    sent = await publish(event_log, topic, story)
    async with consuming(event_log, topic, theirs) as consumer:
        await eventually(lambda: _waits(consumer, reason, waits + 1), what="ingestion waits")
        assert (await engine.ids(story), theirs.buried.letters) == ([], [])
        reader._client.set_client_setting("readonly", "0")
        await eventually(lambda: _reads(consumer), what="ingestion goes on")
    await reader.close()
    assert (await engine.ids(story), theirs.buried.letters) == (sent, [])
