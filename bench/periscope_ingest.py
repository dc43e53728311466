"""Claim: Periscope ingests at least a third of what the analytics engine takes when the same bytes are just inserted.

A batch is 40 records of 500 events. Ingesting decodes them, inserts facts, marks the buckets that changed and reduces
state; the limit, measured in the same run, is one insert of the same bytes. Embedded engines, one batch in flight.

    python bench/periscope_ingest.py
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.framing import frame
from frameworks.contracts.pb.events_v1_pb2 import Event, StreamMetrics
from frameworks.data.periscope.consumers import decode
from frameworks.data.periscope.service.ingest import Arrived, Ingest, Letter
from frameworks.data.periscope.store.current import PostgresState
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.data.periscope.store.tables import declared
from frameworks.engines.clickhouse import ClickHouse
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit import analytics, sql
from frameworks.kit.clock import SystemClock, micros, uuid7

RECORDS, EVENTS, ROUNDS = 40, 500, 7
SHARE = 1 / 3
PACKAGE = "frameworks.data.periscope"
CLOCK = SystemClock()


class NoLetters:
    """A dead-letter topic that must stay empty."""

    async def bury(self, letters: list[Letter]) -> None:
        """Nothing may come here."""
        raise AssertionError(letters)


def record(number: int) -> bytes:
    """500 measurements of one stream."""
    now = micros(CLOCK.now())
    events = (
        Event(
            event_id=uuid7().bytes,
            type="stream-metrics",
            occurred_at=now + index,
            schema_version=1,
            tenant_id=UUID(int=1 + number % 4).bytes,
            stream_id=UUID(int=100 + number).bytes,
            node_id="node",
            cluster_id="default",
            region="local",
            source="helmsman",
            claim_epoch=1,
            stream_metrics=StreamMetrics(
                bitrate_kbps=3000 + index, fps_milli=30_000, codec="H264", viewers=9, quality_tier="720p"
            ),
        )
        for index in range(EVENTS)
    )
    return b"".join(frame(event.SerializeToString()) for event in events)


async def ingested(ingest: Ingest) -> float:
    """Events a second through Periscope."""
    values = [record(number) for number in range(RECORDS)]
    began = time.perf_counter()
    taken = await ingest.take([Arrived(decode(value), {}, "bench") for value in values])
    assert taken.stored == RECORDS * EVENTS
    return taken.stored / (time.perf_counter() - began)


async def inserted(facts: ClickHouseFacts) -> float:
    """Events a second of a bare insert."""
    values = [record(number) for number in range(RECORDS)]
    began = time.perf_counter()
    await facts.insert(values)
    return RECORDS * EVENTS / (time.perf_counter() - began)


async def measure(store: analytics.Analytics, database: sql.Database) -> tuple[float, float]:
    """Medians of both, taken in turns."""
    facts = ClickHouseFacts(store, SCHEMA_TEXT)
    ingest = Ingest(facts, PostgresState(database, CLOCK), NoLetters())  # type: ignore[arg-type]
    await inserted(facts)
    through, bare = [], []
    for _ in range(ROUNDS):
        through.append(await ingested(ingest))
        bare.append(await inserted(facts))
    return statistics.median(through), statistics.median(bare)


async def main() -> int:
    """Print both rates and their ratio; exit code 1 when the claim does not hold."""
    with tempfile.TemporaryDirectory() as scratch:
        engine, server = (
            ClickHouse(Path(scratch) / "clickhouse"),
            EmbeddedPostgres(Path(scratch) / "postgres"),
        )
        await engine.start()
        await server.start()
        store = await analytics.connect(engine.url)
        store.declare(*declared())
        await store.migrate(PACKAGE)
        database = await sql.connect(server.url, PACKAGE)
        through, bare = await measure(store, database)
        await database.close()
        await store.close()
        await server.stop()
        await engine.stop()
    print(f"periscope       {through:>10,.0f} events/s")
    print(f"a bare insert   {bare:>10,.0f} events/s")
    print(f"ratio           {through / bare:>10.2f}  (claim: at least {SHARE:.2f})")
    return 0 if through / bare >= SHARE else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
