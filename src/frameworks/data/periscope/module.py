"""Wiring of Periscope: `periscope-ingest` writes history, `periscope-query` answers from it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.topics import (
    ANALYTICS_EVENTS,
    SERVICE_EVENTS,
    USAGE_PARTITIONS,
    USAGE_WINDOWS,
)
from frameworks.data.periscope.api.consumption import ConsumptionApi
from frameworks.data.periscope.api.flow import FlowApi
from frameworks.data.periscope.api.health import HealthApi
from frameworks.data.periscope.api.infrastructure import InfrastructureApi
from frameworks.data.periscope.api.lifecycle import LifecycleApi
from frameworks.data.periscope.api.messages import SERVICE
from frameworks.data.periscope.api.now import NowApi
from frameworks.data.periscope.api.usage import UsageApi
from frameworks.data.periscope.api.viewing import ViewingApi
from frameworks.data.periscope.config import Settings
from frameworks.data.periscope.consumers import Batching, Consumer
from frameworks.data.periscope.jobs import (
    close_forever,
    measure_forever,
    roll_up_forever,
    sweep_forever,
    usage_forever,
    watch_forever,
)
from frameworks.data.periscope.peers import DeadLetters, LogReading, UsageTopic
from frameworks.data.periscope.service.by_store import (
    IngestByStore,
    MetersByStore,
    PastByStore,
    Stores,
    WaitingByStore,
)
from frameworks.data.periscope.service.closing import Closer
from frameworks.data.periscope.service.history import History
from frameworks.data.periscope.service.ingest import Ingest, NoState
from frameworks.data.periscope.service.now import Present
from frameworks.data.periscope.service.pipeline import Pipeline
from frameworks.data.periscope.service.processes import Processes
from frameworks.data.periscope.service.roll_up import Alone, RollUp, Turns
from frameworks.data.periscope.service.usage_windows import UsageWindows
from frameworks.data.periscope.store.closing import ClickHouseSessions
from frameworks.data.periscope.store.current import PostgresState, PostgresTurns
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.data.periscope.store.history import ClickHouseHistory
from frameworks.data.periscope.store.live import PostgresLive
from frameworks.data.periscope.store.marks import ClickHouseMarks
from frameworks.data.periscope.store.processes import PostgresProcesses
from frameworks.data.periscope.store.roll_ups import ClickHouseRollUps
from frameworks.data.periscope.store.tables import declared
from frameworks.data.periscope.store.usage_meters import ClickHouseMeters
from frameworks.data.periscope.store.usage_windows import PostgresUsage
from frameworks.kit.analytics import Analytics
from frameworks.kit.clock import random_text
from frameworks.kit.config import BadSetting
from frameworks.kit.eventlog import Retention
from frameworks.kit.log import get
from frameworks.kit.module import Host, Module
from frameworks.kit.outbox import Outbox
from frameworks.kit.sql import Database

PACKAGE = "frameworks.data.periscope"
INGEST_NAME, QUERY_NAME = "periscope-ingest", "periscope-query"


async def _stores(host: Host) -> Stores[Analytics]:
    """The analytics store, and those of clusters that have one of their own; all must answer now."""
    found = {"": await host.analytics(), **await host.cluster_analytics()}
    for analytics in found.values():
        analytics.declare(*declared())
        await analytics.migrate(PACKAGE)
    return Stores(found)


async def _database(host: Host) -> Database | None:
    """The store of current state, or None where this process was given none: then there is history only."""
    try:
        return await host.database(PACKAGE)
    except BadSetting:
        get(INGEST_NAME).warning("state.skipped", reason="FRAMEWORKS_DATABASE is not set")
        return None


@asynccontextmanager
async def start_ingest(host: Host) -> AsyncIterator[None]:
    """Consume events, keep what is computed from them up to date."""
    settings = host.settings(Settings)
    stores, database, log = await _stores(host), await _database(host), await host.eventlog()
    state = PostgresState(database, host.clock) if database else NoState()

    def ingesting(analytics: Analytics) -> Ingest:
        facts, marks = ClickHouseFacts(analytics, SCHEMA_TEXT), ClickHouseMarks(analytics)
        return Ingest(facts, marks, state, DeadLetters(log))

    ingest = IngestByStore(stores.made(ingesting))
    consumers = [Consumer(log, ingest, host.clock, batching(settings), topic) for topic in topics(settings)]
    for consumer in consumers:
        host.spawn(f"consume-{consumer.topic}", consumer.run, module=INGEST_NAME)
    host.spawn("measure", lambda: measure_forever(consumers, host.clock), module=INGEST_NAME)
    for cluster, analytics in stores.items():
        turns = PostgresTurns(database, cluster) if database else Alone()
        _compute(host, analytics, state, turns, f"-{cluster}" if cluster else "")
    if database is not None:
        await _keep_state(host, database, consumers, MetersByStore(stores.made(ClickHouseMeters)))
    host.expose("ingest", lambda: {name: word for c in consumers for name, word in c.facts().items()})
    yield


def topics(settings: Settings) -> tuple[str, ...]:
    """The topics to read: our own, and those that are mirrored from other regions."""
    mirrored = (f"{region}.{ANALYTICS_EVENTS}" for region in settings.mirrored_regions)
    return ANALYTICS_EVENTS, SERVICE_EVENTS, *mirrored


def batching(settings: Settings) -> Batching:
    """How records are gathered."""
    return Batching(
        records=settings.batch_records,
        size=settings.batch_bytes,
        wait=settings.batch_wait.total_seconds(),
        linger=settings.batch_linger.total_seconds(),
    )


def _compute(
    host: Host, analytics: Analytics, state: PostgresState | NoState, turns: Turns, named: str
) -> None:
    """Roll-ups and the ends that nobody told, in one store."""
    settings, marks = host.settings(Settings), ClickHouseMarks(analytics)
    roll_ups = ClickHouseRollUps(analytics, host.clock.now, silent_after=settings.silent_after)
    roll_up = RollUp(marks, roll_ups, turns)
    sessions = ClickHouseSessions(analytics, host.clock.now, silent_after=settings.silent_after)
    closer = Closer(sessions, marks, roll_up, state)
    host.spawn(
        f"roll-up{named}",
        lambda: roll_up_forever(
            roll_up, marks, host.clock, settings.roll_up_every, widen_every=settings.widen_every
        ),
        module=INGEST_NAME,
    )
    host.spawn(
        f"close{named}", lambda: close_forever(closer, host.clock, settings.close_every), module=INGEST_NAME
    )


async def _keep_state(
    host: Host, database: Database, consumers: Sequence[Consumer], meters: MetersByStore
) -> None:
    """Forget old sessions, publish usage."""
    settings = host.settings(Settings)
    instance = random_text(12)
    state = PostgresState(database, host.clock)
    host.spawn("sweep", lambda: sweep_forever(state, host.clock, settings.sessions_kept), module=INGEST_NAME)
    await _publish_usage(host, PostgresUsage(database, host.clock, instance), consumers, meters)


async def _publish_usage(
    host: Host, ledger: PostgresUsage, consumers: Sequence[Consumer], meters: MetersByStore
) -> None:
    """Measure usage windows, and deliver what was said of them to their topic."""
    settings, log = host.settings(Settings), await host.eventlog()
    retention = Retention(max_age=settings.usage_retention)
    await log.ensure(USAGE_WINDOWS, partitions=USAGE_PARTITIONS, retention=retention)
    usage = UsageWindows(
        ledger,
        meters,
        host.clock,
        topics(settings),
        settlement=settings.usage_settlement,
        patience=settings.usage_patience,
    )
    outbox = Outbox(await host.database(PACKAGE), "periscope", clock=host.clock)
    host.spawn(
        "usage",
        lambda: usage_forever(usage, ledger, consumers, host.clock, settings.usage_every),
        module=INGEST_NAME,
    )
    host.spawn("usage-topic", lambda: outbox.drain(UsageTopic(log).deliver), module=INGEST_NAME)


@asynccontextmanager
async def start_query(host: Host) -> AsyncIterator[None]:
    """Answer calls."""
    stores, database, log = await _stores(host), await host.database(PACKAGE), await host.eventlog()
    past, live = PastByStore(stores.made(ClickHouseHistory)), PostgresLive(database, host.clock)
    history = History(past)
    present = Present(live, past, history, host.clock)
    processes = Processes(PostgresProcesses(database), host.clock)
    marks = WaitingByStore(stores.made(ClickHouseMarks))
    pipeline = Pipeline(processes, LogReading(log), past, marks, live, host.clock)
    servicers = (
        NowApi(present, history, host.clock),
        FlowApi(pipeline, processes),
        LifecycleApi(history, host.clock),
        HealthApi(history, host.clock),
        UsageApi(history, host.clock),
        InfrastructureApi(history, host.clock),
        ViewingApi(history, host.clock),
        ConsumptionApi(history, host.clock),
    )
    for servicer in servicers:
        host.serve_rpc(SERVICE, servicer, service="periscope")
    host.spawn("watch", lambda: watch_forever(pipeline, host.clock), module=QUERY_NAME)
    host.expose("pipeline", pipeline.facts)
    yield


INGEST = Module(INGEST_NAME, start_ingest, after=frozenset({"decklog"}), settings=(Settings,))
QUERY = Module(QUERY_NAME, start_query, after=frozenset({"decklog", INGEST_NAME}), settings=(Settings,))
MODULES = (INGEST, QUERY)
