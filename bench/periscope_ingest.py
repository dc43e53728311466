"""Claim: Periscope stores 200,000 events a second from the log, at least 0.6 of what inserting the same bytes takes.

The load is `bench/running/load.py`: 10 tenants with 40 streams each, every event type by a published mix, 50 events of
one tenant in a client's batch. The limit, measured in the same run, is the same bytes inserted into the same tables and
nothing else: no log, no marks, no state, events sorted by type beforehand. Embedded engines; the log's server, the
analytics engine, PostgreSQL and Periscope share the machine. Processor time an event is printed too: what the machine
would need when nothing else ran.

    python bench/periscope_ingest.py
"""

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop
from running import load
from running.resting import rest

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.topics import ANALYTICS_EVENTS, PARTITIONS
from frameworks.data.decklog.domain import partition_of
from frameworks.data.periscope.consumers import Batching, Consumer
from frameworks.data.periscope.consumers.reading import decode
from frameworks.data.periscope.service.ingest import Arrived, Ingest, Letter, Taken
from frameworks.data.periscope.store.current import PostgresState
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.data.periscope.store.marks import ClickHouseMarks
from frameworks.data.periscope.store.tables import declared
from frameworks.engines.clickhouse import ClickHouse
from frameworks.engines.nats import Nats
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit import analytics, eventlog, log, sql
from frameworks.kit.analytics import Analytics
from frameworks.kit.clock import SystemClock, micros
from frameworks.kit.eventlog import EventLog, Outgoing

RECORDS, ROUNDS = 6000, 5
RATE, SHARE = 200_000, 0.6
QUIET = 1.0
"""Seconds without a merge before either is measured: each pays for what it wrote, not for what was written before."""
PACKAGE = "frameworks.data.periscope"
CLOCK = SystemClock()
BATCHING = Batching(linger=0.25)


class NoLetters:
    """A dead-letter topic that must stay empty."""

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Nothing may come here."""
        raise AssertionError(letters)


@dataclass(slots=True)
class Counted:
    """The use case, and how many events went through it."""

    ingest: Ingest
    events: int = 0

    def store_of(self, headers: Mapping[str, str]) -> str:
        """Where a record goes."""
        return self.ingest.store_of(headers)

    async def take(self, batch: Sequence[Arrived]) -> Taken:
        """Take and count."""
        taken = await self.ingest.take(batch)
        self.events += taken.stored
        return taken


@dataclass(frozen=True, slots=True)
class Engines:
    """What is measured."""

    eventlog: EventLog
    store: Analytics
    facts: ClickHouseFacts
    ingest: Counted


async def fill(target: EventLog, seed: int) -> list[bytes]:
    """Records in the log."""
    out, values = [], []
    for of, number, kinds, value in load.records(RECORDS, micros(CLOCK.now()), seed):
        tenant, stream = load.tenant(of), load.stream(of, number)
        headers = {
            "tenant_id": str(tenant),
            "event_type": ",".join(kinds),
            "schema_version": "2",
            "source": f"node:node-{number}",
            "source_region": "local",
            "source_cluster_id": "default",
            "received_at": CLOCK.now().isoformat(),
            "trace": "0" * 32,
        }
        values.append(value)
        out.append(Outgoing(ANALYTICS_EVENTS, partition_of(tenant.bytes, stream.bytes), value, headers))
    await target.publish(out)
    return values


async def ingested(engines: Engines) -> float:
    """Events a second from the log into history."""
    consumer = Consumer(engines.eventlog, engines.ingest, CLOCK, BATCHING)
    engines.ingest.events = 0
    began = time.perf_counter()
    running = asyncio.create_task(consumer.run())
    while engines.ingest.events < RECORDS * load.OF_TENANT:
        await asyncio.sleep(0.02)
        if running.done():
            await running
    took = time.perf_counter() - began
    running.cancel()
    await asyncio.wait({running})
    return RECORDS * load.OF_TENANT / took


async def inserted(engines: Engines, values: Sequence[bytes]) -> float:
    """Events a second of bare inserts of the same bytes, as many at once as Periscope gathers."""
    by_type: dict[str, list[bytes]] = {}
    for value in values:
        for kind, part in decode([value]).parts.items():
            by_type.setdefault(kind, []).append(bytes(part.frames))
    times = max(1, -(-sum(map(len, values)) // BATCHING.size), -(-RECORDS // BATCHING.records))
    began = time.perf_counter()
    for turn in range(times):
        pairs = [(kind, parts[turn::times]) for kind, parts in by_type.items()]
        for first in range(0, len(pairs), 2):
            await asyncio.gather(
                *(engines.facts.insert(k, parts) for k, parts in pairs[first : first + 2] if parts)
            )
    return RECORDS * load.OF_TENANT / (time.perf_counter() - began)


def processor() -> dict[str, float]:
    """Processor seconds so far, of this process and of each engine."""
    own = psutil.Process()
    found = {"periscope": sum(own.cpu_times()[:2])}
    for process in own.children(recursive=True):
        name = "clickhouse" if "python" in process.name() else process.name().partition("-")[0]
        found[name] = found.get(name, 0.0) + sum(process.cpu_times()[:2])
    return found


async def measure(engines: Engines) -> tuple[float, float]:
    """Medians of both, taken in turns."""
    through, bare = [], []
    for round_ in range(ROUNDS + 1):
        values = await fill(engines.eventlog, round_)
        await rest(engines.store, QUIET)
        before = processor()
        through_rate = await ingested(engines)
        used = {
            name: (seconds - before.get(name, 0.0)) / (RECORDS * load.OF_TENANT) * 1e6
            for name, seconds in processor().items()
        }
        await rest(engines.store, QUIET)
        rates = through_rate, await inserted(engines, values)
        if round_:
            through.append(rates[0])
            bare.append(rates[1])
            shares = ", ".join(f"{name} {micro:.2f}" for name, micro in sorted(used.items()))
            busy = psutil.getloadavg()[0]
            print(
                f"  {rates[0]:>10,.0f} {rates[1]:>10,.0f}  load {busy:.1f}; µs an event: {shares}", flush=True
            )
    return statistics.median(through), statistics.median(bare)


async def main() -> int:
    """Print both rates and their ratio; exit code 1 when the claim does not hold."""
    log.setup("ERROR")
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clickhouse, postgres, nats = (
            ClickHouse(home / "clickhouse"),
            EmbeddedPostgres(home / "postgres"),
            Nats(home / "nats"),
        )
        for engine in (clickhouse, postgres, nats):
            await engine.start()
            stack.push_async_callback(engine.stop)
        store = await analytics.connect(clickhouse.url)
        stack.push_async_callback(store.close)
        store.declare(*declared())
        await store.migrate(PACKAGE)
        database = await sql.connect(postgres.url, PACKAGE)
        stack.push_async_callback(database.close)
        target = await eventlog.connect(nats.url)
        stack.push_async_callback(target.close)
        await target.ensure(ANALYTICS_EVENTS, partitions=PARTITIONS)
        facts = ClickHouseFacts(store, SCHEMA_TEXT)
        ingest = Ingest(facts, ClickHouseMarks(store), PostgresState(database, CLOCK), NoLetters())
        gc.freeze()  # as every process of ours does once it has started
        through, bare = await measure(Engines(target, store, facts, Counted(ingest)))
    print(f"periscope, log to history {through:>10,.0f} events/s  (claim: at least {RATE:,})")
    print(f"the same bytes, inserted  {bare:>10,.0f} events/s")
    print(f"ratio                     {through / bare:>10.2f}  (claim: at least {SHARE:.2f})")
    return 0 if through >= RATE and through / bare >= SHARE else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
