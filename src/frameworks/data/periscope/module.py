"""Wiring of Periscope: `periscope-ingest` writes history, `periscope-query` answers from it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.data.periscope.api.health import HealthApi
from frameworks.data.periscope.api.infrastructure import InfrastructureApi
from frameworks.data.periscope.api.lifecycle import LifecycleApi
from frameworks.data.periscope.api.messages import SERVICE
from frameworks.data.periscope.api.now import NowApi
from frameworks.data.periscope.api.usage import UsageApi
from frameworks.data.periscope.config import Settings
from frameworks.data.periscope.consumers import Consumer
from frameworks.data.periscope.jobs import report_forever, roll_up_forever, sweep_forever
from frameworks.data.periscope.peers import DeadLetters, LogReading
from frameworks.data.periscope.service.history import History
from frameworks.data.periscope.service.ingest import Ingest
from frameworks.data.periscope.service.now import Present
from frameworks.data.periscope.service.pipeline import Pipeline
from frameworks.data.periscope.service.roll_up import RollUp
from frameworks.data.periscope.store.buckets import ClickHouseBuckets
from frameworks.data.periscope.store.current import PostgresMarks, PostgresReaders, PostgresState
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.data.periscope.store.history import ClickHouseHistory
from frameworks.data.periscope.store.live import PostgresLive
from frameworks.data.periscope.store.tables import declared
from frameworks.kit.analytics import Analytics
from frameworks.kit.clock import random_text
from frameworks.kit.module import Host, Module

PACKAGE = "frameworks.data.periscope"
INGEST_NAME, QUERY_NAME = "periscope-ingest", "periscope-query"


async def _analytics(host: Host) -> Analytics:
    analytics = await host.analytics()
    analytics.declare(*declared())
    await analytics.migrate(PACKAGE)
    return analytics


@asynccontextmanager
async def start_ingest(host: Host) -> AsyncIterator[None]:
    """Consume events, keep buckets up to date."""
    settings = host.settings(Settings)
    analytics, database, log = await _analytics(host), await host.database(PACKAGE), await host.eventlog()
    state = PostgresState(database, host.clock)
    ingest = Ingest(ClickHouseFacts(analytics, SCHEMA_TEXT), state, DeadLetters(log))
    consumer = Consumer(log, ingest, host.clock, records=settings.batch_records, wait=settings.batch_wait)
    roll_up = RollUp(PostgresMarks(database), ClickHouseBuckets(analytics))
    host.spawn("consume", consumer.run, module=INGEST_NAME)
    host.spawn(
        "roll-up",
        lambda: roll_up_forever(roll_up, host.clock, settings.roll_up_every),
        module=INGEST_NAME,
    )
    host.spawn("sweep", lambda: sweep_forever(state, host.clock, settings.sessions_kept), module=INGEST_NAME)
    readers = PostgresReaders(database, host.clock, random_text(12))
    host.spawn("report", lambda: report_forever(readers, consumer, host.clock), module=INGEST_NAME)
    host.expose("ingest", lambda: {"last_error": consumer.last_error})
    yield


@asynccontextmanager
async def start_query(host: Host) -> AsyncIterator[None]:
    """Answer calls."""
    analytics, database, log = await _analytics(host), await host.database(PACKAGE), await host.eventlog()
    past, live = ClickHouseHistory(analytics), PostgresLive(database, host.clock)
    history = History(past)
    readers = PostgresReaders(database, host.clock, "")
    present = Present(live, past, history, host.clock)
    pipeline = Pipeline(readers, LogReading(log), past, PostgresMarks(database), live)
    servicers = (
        NowApi(present, history, pipeline, host.clock),
        LifecycleApi(history, host.clock),
        HealthApi(history, host.clock),
        UsageApi(history, host.clock),
        InfrastructureApi(history, host.clock),
    )
    for servicer in servicers:
        host.serve_rpc(SERVICE, servicer, service="periscope")
    yield


INGEST = Module(INGEST_NAME, start_ingest, after=frozenset({"decklog"}), settings=(Settings,))
QUERY = Module(QUERY_NAME, start_query, after=frozenset({"decklog", INGEST_NAME}), settings=(Settings,))
MODULES = (INGEST, QUERY)
