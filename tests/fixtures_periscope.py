"""Periscope on the session's real engines: its schema once, a tenant per test."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.framing import frame
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.data.periscope.consumers.reading import decode
from frameworks.data.periscope.service.closing import Closer
from frameworks.data.periscope.service.history import History
from frameworks.data.periscope.service.ingest import Arrived, Ingest, Letter, Source, Taken
from frameworks.data.periscope.service.now import Present
from frameworks.data.periscope.service.roll_up import RollUp
from frameworks.data.periscope.store.closing import ClickHouseSessions
from frameworks.data.periscope.store.current import PostgresState, PostgresTurns
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.data.periscope.store.history import ClickHouseHistory
from frameworks.data.periscope.store.live import PostgresLive
from frameworks.data.periscope.store.marks import ClickHouseMarks
from frameworks.data.periscope.store.roll_ups import ClickHouseRollUps
from frameworks.data.periscope.store.tables import declared
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit.analytics import Analytics
from frameworks.kit.clock import SystemClock, micros, random_text, uuid7
from frameworks.kit.sql import Database, connect

PACKAGE = "frameworks.data.periscope"
SILENT_AFTER = timedelta(hours=4)


@dataclass(slots=True)
class BuriedHere:
    """A dead-letter topic in memory."""

    letters: list[Letter] = field(default_factory=list)

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Keep them."""
        self.letters += letters


@dataclass(slots=True)
class Periscope:
    """Everything of Periscope that a test may want to touch."""

    analytics: Analytics
    database: Database
    facts: ClickHouseFacts
    state: PostgresState
    marks: ClickHouseMarks
    roll_ups: ClickHouseRollUps
    closer: Closer
    past: ClickHouseHistory
    live: PostgresLive
    buried: BuriedHere
    ingest: Ingest
    roll_up: RollUp
    history: History
    present: Present

    async def take(self, *batches: Iterable[Event]) -> Taken:
        """Ingest records, one a batch of events."""
        return await self.ingest.take([arrived(events) for events in batches])


def arrived(events: Iterable[Event], origin: str = "analytics_events/0/1") -> Arrived:
    """A record of these events as the consumer hands it over."""
    value = b"".join(frame(event.SerializeToString()) for event in events)
    return Arrived(decode([value]), [Source({"tenant_id": "t"}, origin)])


@dataclass(frozen=True, slots=True)
class Story:
    """Events of one stream, told from a start that lies in the last hour."""

    tenant: UUID
    stream: UUID
    start: int

    def event(
        self, kind: str, second: float, *, epoch: int = 1, node: str = "node-1", **payload: Any
    ) -> Event:
        """One event of the stream, `second` seconds after the start."""
        return Event(
            event_id=uuid7().bytes,
            type=kind,
            occurred_at=self.start + int(second * 1_000_000),
            schema_version=1,
            tenant_id=self.tenant.bytes,
            stream_id=b"" if kind == "node-lifecycle" else self.stream.bytes,
            node_id=node,
            cluster_id="default",
            region="local",
            source="helmsman",
            claim_epoch=epoch,
            **payload,
        )


def new_story(tenant: UUID | None = None) -> Story:
    """A story of a stream of its own; it starts at a full ten minutes, an hour or so ago."""
    ago = datetime.now(UTC) - timedelta(hours=1)
    return Story(tenant or uuid7(), uuid7(), micros(ago) // 600_000_000 * 600_000_000)


@pytest.fixture(scope="session")
async def periscope_database(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    """Periscope's schema in a database of the session."""
    name = "periscope_" + random_text(10, "abcdefghijklmnopqrstuvwxyz")
    owner = await asyncpg.connect(postgres.url)
    await owner.execute(f"CREATE DATABASE {name}")
    await owner.close()
    database = await connect(urlunsplit(urlsplit(postgres.url)._replace(path="/" + name)), PACKAGE, size=4)
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def periscope_analytics(analytics: Analytics) -> Analytics:
    """The session's engine with Periscope's tables."""
    analytics.declare(*declared())
    await analytics.migrate(PACKAGE)
    return analytics


@pytest.fixture
def periscope(periscope_analytics: Analytics, periscope_database: Database) -> Periscope:
    """Periscope, wired as its module wires it."""
    clock = SystemClock()
    facts = ClickHouseFacts(periscope_analytics, SCHEMA_TEXT)
    state, marks = PostgresState(periscope_database, clock), ClickHouseMarks(periscope_analytics)
    roll_ups = ClickHouseRollUps(periscope_analytics, clock.now, silent_after=SILENT_AFTER)
    roll_up = RollUp(marks, roll_ups, PostgresTurns(periscope_database))
    sessions = ClickHouseSessions(periscope_analytics, clock.now, silent_after=SILENT_AFTER)
    past = ClickHouseHistory(periscope_analytics)
    live, buried = PostgresLive(periscope_database, clock), BuriedHere()
    history = History(past)
    return Periscope(
        analytics=periscope_analytics,
        database=periscope_database,
        facts=facts,
        state=state,
        marks=marks,
        roll_ups=roll_ups,
        closer=Closer(sessions, marks, roll_up, state),
        past=past,
        live=live,
        buried=buried,
        ingest=Ingest(facts, marks, state, buried),
        roll_up=roll_up,
        history=history,
        present=Present(live, past, history, clock),
    )
