"""Claim: every dashboard over one tenant's 30 days is answered within 150 ms (p95) out of 20 M facts of 200 tenants,
and takes no more than 1.5 times what it takes out of 2 M facts: time grows with the tenant's rows, not the table's.

The facts are `bench/running/month.py`: 100,000 of each tenant, the same mix. Five-minute buckets are made by
Periscope's own statements. A dashboard is everything one page or one operation of the API asks, through Periscope's
use cases. Embedded engine; asked by one caller, after the facts are in and the engine has come to rest.

    nice python bench/dashboards.py
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import uvloop
from running import month

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.domain import DAY, SECOND, Asked, Kind
from frameworks.data.periscope.service.history import Figure, History, Listed
from frameworks.data.periscope.store.choosing import everything
from frameworks.data.periscope.store.history import ClickHouseHistory
from frameworks.data.periscope.store.roll_ups import STATEMENTS, statement
from frameworks.data.periscope.store.tables import declared
from frameworks.engines.clickhouse import ClickHouse
from frameworks.kit import analytics, log
from frameworks.kit.analytics import Analytics, Scope
from frameworks.kit.clock import SystemClock, micros

FEW, MANY = 20, 200
ROUNDS, WARM = 20, 3
LIMIT_MS, GROWTH = 150.0, 1.5
PACKAGE = "frameworks.data.periscope"
PAGE = pb.Page(first=50)

READ = (Kind.HEALTH, Kind.LIFECYCLE, Kind.VIEWERS, Kind.NODES, Kind.VIEWERS_1H, Kind.VIEWERS_1D)
"""The roll-ups dashboards read."""

Dashboard = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Asking:
    """One tenant, its month, and one of its streams."""

    history: History
    tenant: UUID
    month: Asked
    stream: Asked

    def figures(self, *figures: Figure, of: Asked | None = None, **more: object) -> Dashboard:
        """Figures that one page shows together."""

        async def ask() -> None:
            await asyncio.gather(
                *(self.history.many(self.tenant, f, of or self.month, **more) for f in figures)
            )

        return ask

    def page(self, listed: Listed, of: Asked | None = None) -> Dashboard:
        """The first page of a list."""
        return lambda: self.history.page(self.tenant, listed, of or self.month, PAGE)

    def dashboards(self) -> dict[str, Dashboard]:
        """What the console's pages and the API's summaries ask."""
        history, tenant, whole, stream = self.history, self.tenant, self.month, self.stream
        artifact = Asked(whole.from_at, whole.until_at, artifact="artifact-0")
        step = 3600 * SECOND
        lists = {
            **{f"{listed.value}, of a stream": self.page(listed, stream) for listed in OF_STREAM},
            **{listed.value: self.page(listed) for listed in OF_TENANT},
        }
        return {
            "overview": self.figures(Figure.HEALTH, Figure.LIFECYCLE, Figure.VIEWERS, Figure.PEAK),
            "days of the overview": lambda: history.days(tenant, whole),
            "streams by what they brought": lambda: history.summaries(
                tenant, whole, PAGE, by="egress", ascending=False
            ),
            "summary of a stream": lambda: history.summary(tenant, stream),
            "where viewers are": lambda: history.geography(tenant, whole, 10),
            "health of a stream": self.figures(Figure.HEALTH, Figure.LIFECYCLE, of=stream),
            "timeline of a stream": lambda: history.series(tenant, stream, 300),
            "viewers of a stream": lambda: history.viewer_counts(tenant, stream, PAGE, "1h"),
            "delivery to clients": self.figures(Figure.HEALTH, Figure.CONNECTIONS),
            "viewing": self.figures(Figure.VIEWING),
            "viewing by the hour": self.figures(Figure.VIEWING_SERIES, step=step),
            "boots": self.figures(Figure.BOOTS),
            "boots by the hour": self.figures(Figure.BOOT_SERIES, step=step),
            "retention": lambda: history.retention(tenant, artifact),
            "top artifacts": self.figures(Figure.TOP_ASSETS, top=10),
            "api use": self.figures(Figure.API_DAYS, Figure.API_KINDS),
            "routing": self.figures(Figure.ROUTING, Figure.ROUTING_COUNTRIES),
            "nodes": self.figures(Figure.NODES),
            "usage by hour and cluster": self.figures(Figure.USAGE),
            **lists,
        }


OF_STREAM = (Listed.STREAM_EVENTS, Listed.CONNECTION_EVENTS, Listed.STREAM_HEALTH, Listed.STREAM_HEALTH_5M)
OF_TENANT = (
    *(
        Listed.VIEWER_SESSIONS,
        Listed.STREAM_DAYS,
        Listed.TENANT_DAYS,
        Listed.VIEWER_HOURS,
        Listed.CONNECTION_HOURS,
    ),
    *(Listed.QUALITY_DAYS, Listed.GEO_HOURS, Listed.NODE_METRICS_1H, Listed.NODE_PERFORMANCE_5M),
    *(Listed.CLIENT_QOE, Listed.REBUFFERINGS, Listed.ARTIFACT_STATES, Listed.STORAGE_USAGE, Listed.API_USAGE),
    Listed.RETENTION_ASSETS,
)


async def fill(store: Analytics, first: int, tenants: int, begin: int) -> None:
    """Facts of these tenants, and everything made of them."""
    began = time.perf_counter()
    for start in range(first, first + tenants, FEW):
        for _, sql in month.inserts(start, min(FEW, first + tenants - start), begin // SECOND):
            await store.command(sql)
    written = time.perf_counter() - began
    for kind in READ:
        await roll_up(store, kind, begin)
    rolled = time.perf_counter() - began - written
    print(f"{first + tenants} tenants: written in {written:.0f} s, rolled up in {rolled:.0f} s", flush=True)


async def roll_up(store: Analytics, kind: Kind, begin: int) -> None:
    """Everything of one kind, two days at a time: the engine's memory is bounded."""
    for first in range(begin // DAY * DAY, begin + month.DAYS * DAY, 2 * DAY):
        last = min(first + 2 * DAY, begin // DAY * DAY + (month.DAYS + 1) * DAY)
        for table, sql in STATEMENTS[kind].items():
            await store.command(statement(sql, table, everything(kind, None, first, last)))


async def rest(store: Analytics) -> None:
    """Wait until the engine merges nothing."""
    sql = "SELECT count() AS running FROM system.merges"
    for _ in range(120):
        if not (await store.query(sql, {}, Scope.system("waits for merges")))[0]["running"]:
            return
        await asyncio.sleep(1)


@dataclass(frozen=True, slots=True)
class Measured:
    """One dashboard, in milliseconds: median, p95, and processor time, which other work here hardly changes."""

    median: float
    p95: float
    processor: float


def processor_ms() -> float:
    """Processor time of the engine so far."""
    spent = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return 1000 * float(sum(times.user + times.system for times in spent))


async def measure(asking: Asking) -> dict[str, Measured]:
    """Each dashboard."""
    found = {}
    for name, ask in asking.dashboards().items():
        took: list[float] = []
        before = 0.0
        for round_ in range(WARM + ROUNDS):
            before = processor_ms() if round_ == WARM else before
            began = time.perf_counter()
            await ask()
            if round_ >= WARM:
                took.append(1000 * (time.perf_counter() - began))
        spent = (processor_ms() - before) / ROUNDS
        took.sort()
        found[name] = Measured(statistics.median(took), took[-(-95 * ROUNDS // 100) - 1], spent)
    return found


async def asked_by(store: Analytics, number: int, begin: int) -> Asking:
    """A tenant; the later measurement is another's than the first, so that neither has more versions of its rows."""
    params: dict[str, object] = {"tenant": number}
    answers = [await store.query(sql, params, Scope.public()) for sql in (month.TENANT, month.STREAM)]
    tenant, stream = map(month.uuid_of, answers)
    until = begin + month.DAYS * DAY
    history = History(ClickHouseHistory(store))
    return Asking(history, tenant, Asked(begin, until), Asked(begin, until, stream=stream))


async def main() -> int:
    """Print both figures of each dashboard; exit code 1 when the claim does not hold."""
    log.setup("ERROR")
    begin = micros(SystemClock().now()) - month.DAYS * DAY + 2 * 3600 * SECOND
    async with AsyncExitStack() as stack:
        engine = ClickHouse(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "clickhouse")
        await engine.start()
        stack.push_async_callback(engine.stop)
        store = await analytics.connect(engine.url)
        stack.push_async_callback(store.close)
        store.declare(*declared())
        await store.migrate(PACKAGE)
        await fill(store, 0, FEW, begin)
        await rest(store)
        few = await measure(await asked_by(store, 7, begin))
        await fill(store, FEW, MANY - FEW, begin)
        await rest(store)
        many = await measure(await asked_by(store, FEW + 7, begin))
    return report(few, many)


def report(few: dict[str, Measured], many: dict[str, Measured]) -> int:
    """Print what was found; 1 when the claim does not hold."""
    held = True
    print(
        f"{'dashboard':<32} {'2 M p50':>8} {'p95':>6} {'cpu':>5} {'20 M p50':>9} {'p95':>6} {'cpu':>5} {'growth':>7}"
    )
    for name, now in many.items():
        then = few[name]
        growth = now.median / then.median
        good = now.p95 <= LIMIT_MS and growth <= GROWTH
        held = held and good
        print(
            f"{name:<32} {then.median:8.0f} {then.p95:6.0f} {then.processor:5.0f} {now.median:9.0f} {now.p95:6.0f}"
            f" {now.processor:5.0f} {growth:7.2f}{'' if good else '  <-'}"
        )
    total = sum(m.processor for m in many.values()) / sum(m.processor for m in few.values())
    print(f"processor time of all, 20 M to 2 M: {total:.2f}; load {psutil.getloadavg()[0]:.1f}")
    print(
        f"claim: p95 at most {LIMIT_MS:.0f} ms each, growth at most {GROWTH}: {'holds' if held else 'FAILS'}"
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
