"""Claim: every dashboard over one tenant's 30 days is answered within 150 ms (p95) out of 20 M facts of 200 tenants,
and takes no more than 1.5 times the processor time of the same question out of 2 M facts of 20: it grows with the
tenant's rows, not the table's.

The facts are `bench/running/month.py`: 100,000 of each tenant, the same mix. Five-minute buckets are made by
Periscope's own statements. A dashboard is everything one page or one operation of the API asks, through Periscope's
use cases. Two embedded engines at once, asked in turns by one caller after both have come to rest; what is compared
is the least processor time of an engine for an answer, which other work on the machine hardly changes.

    nice python bench/dashboards.py [directory]

With a directory, both stores are kept there and found again (for two hours, when the first facts expire).
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import uvloop
from running import month
from running.resting import rest

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


async def fill(store: Analytics, tenants: int, begin: int) -> None:
    """Facts of the tenants, and everything made of them."""
    began = time.perf_counter()
    for start in range(0, tenants, FEW):
        for _, sql in month.inserts(start, FEW, begin // SECOND):
            await store.command(sql)
    written = time.perf_counter() - began
    for kind in READ:
        await roll_up(store, kind, begin)
    rolled = time.perf_counter() - began - written
    print(f"{tenants} tenants: written in {written:.0f} s, rolled up in {rolled:.0f} s", flush=True)


async def roll_up(store: Analytics, kind: Kind, begin: int) -> None:
    """Everything of one kind, two days at a time: the engine's memory is bounded."""
    for first in range(begin // DAY * DAY, begin + month.DAYS * DAY, 2 * DAY):
        last = min(first + 2 * DAY, begin // DAY * DAY + (month.DAYS + 1) * DAY)
        for table, sql in STATEMENTS[kind].items():
            await store.command(statement(sql, table, everything(kind, None, first, last)))


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two stores: what it is asked, and its engine's process."""

    asking: Asking
    pid: int

    def processor_ms(self) -> float:
        """Processor time of the engine so far, to the nanosecond (`MAKE_PROCESS_CPUCLOCK` of Linux)."""
        return 1000 * time.clock_gettime(~self.pid << 3 | 2)


@dataclass(slots=True)
class Measured:
    """Milliseconds of each answer to one dashboard: on the clock, and of the engine's processors."""

    took: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        """All but one in twenty were quicker."""
        return sorted(self.took)[-(-95 * len(self.took) // 100) - 1]


async def measure(few: Side, many: Side) -> dict[str, tuple[Measured, Measured]]:
    """Each dashboard of both, in turns."""
    found = {}
    asked = zip(few.asking.dashboards().items(), many.asking.dashboards().values(), strict=True)
    for (name, of_few), of_many in asked:
        pair = (Measured(), Measured())
        for round_ in range(WARM + ROUNDS):
            for side, ask, measured in zip((few, many), (of_few, of_many), pair, strict=True):
                before, began = side.processor_ms(), time.perf_counter()
                await ask()
                if round_ >= WARM:
                    measured.took.append(1000 * (time.perf_counter() - began))
                    measured.spent.append(side.processor_ms() - before)
        found[name] = pair
    return found


@asynccontextmanager
async def opened(place: Path, tenants: int, begin: int) -> AsyncIterator[Side]:
    """A store with the month of so many tenants, at rest; written unless it is there."""
    engine = ClickHouse(place)
    async with AsyncExitStack() as stack:
        await engine.start()
        stack.push_async_callback(engine.stop)
        store = await analytics.connect(engine.url)
        stack.push_async_callback(store.close)
        store.declare(*declared())
        await store.migrate(PACKAGE)
        if not (place / "filled").exists():
            await fill(store, tenants, begin)
            (place / "filled").touch()
        await rest(store)
        yield Side(await asked_by(store, begin), engine.process.pid or 0)


async def asked_by(store: Analytics, begin: int) -> Asking:
    """One tenant, the same in both stores, and its month."""
    params: dict[str, object] = {"tenant": 7}
    answers = [await store.query(sql, params, Scope.public()) for sql in (month.TENANT, month.STREAM)]
    tenant, stream = map(month.uuid_of, answers)
    until = begin + month.DAYS * DAY
    history = History(ClickHouseHistory(store))
    return Asking(history, tenant, Asked(begin, until), Asked(begin, until, stream=stream))


def beginning(place: Path) -> int:
    """When the month began that the stores in this place hold."""
    place.mkdir(parents=True, exist_ok=True)
    noted = place / "begin"
    if not noted.exists():
        noted.write_text(str(micros(SystemClock().now()) - month.DAYS * DAY + 2 * 3600 * SECOND))
    return int(noted.read_text())


async def main(kept: str = "") -> int:
    """Print both figures of each dashboard; exit code 1 when the claim does not hold."""
    log.setup("ERROR")
    async with AsyncExitStack() as stack:
        place = Path(kept or stack.enter_context(tempfile.TemporaryDirectory()))
        begin = beginning(place)
        few, many = [
            await stack.enter_async_context(opened(place / str(tenants), tenants, begin))
            for tenants in (FEW, MANY)
        ]
        return report(await measure(few, many))


def report(found: dict[str, tuple[Measured, Measured]]) -> int:
    """Print what was found; 1 when the claim does not hold."""
    held = True
    print(
        f"{'dashboard':<32} {'2 M p50':>8} {'p95':>6} {'cpu':>6} {'20 M p50':>9} {'p95':>6} {'cpu':>6} {'growth':>7}"
    )
    for name, (few, many) in found.items():
        growth = min(many.spent) / min(few.spent)
        good = many.p95 <= LIMIT_MS and growth <= GROWTH
        held = held and good
        print(
            f"{name:<32} {statistics.median(few.took):8.0f} {few.p95:6.0f} {min(few.spent):6.1f}"
            f" {statistics.median(many.took):9.0f} {many.p95:6.0f} {min(many.spent):6.1f} {growth:7.2f}"
            f"{'' if good else '  <-'}"
        )
    few_ms, many_ms = (sum(min(pair[side].spent) for pair in found.values()) for side in (0, 1))
    load = psutil.getloadavg()[0]
    print(
        f"processor time of all: {few_ms:.0f} and {many_ms:.0f} ms, {many_ms / few_ms:.2f}; load {load:.1f}"
    )
    print(
        f"claim: p95 at most {LIMIT_MS:.0f} ms each, growth at most {GROWTH}: {'holds' if held else 'FAILS'}"
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main(*sys.argv[1:2])))
