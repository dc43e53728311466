"""Schema versions side by side: what a writer of the version before wrote is read as it was meant, by every reader."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fixtures_events import fill, frozen_class, frozen_events, moved, payloads
from fixtures_periscope import Periscope, Story, new_story

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.framing import frame
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.contracts.topics import EVENT_TYPES, SCHEMA_VERSION
from frameworks.data.periscope.consumers.reading import decode
from frameworks.data.periscope.service.ingest import Arrived, Source
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.data.periscope.store.tables import declared
from frameworks.data.signalman.consumers import changes_in
from frameworks.data.signalman.service.tail import Raw
from frameworks.engines.clickhouse import ClickHouse
from frameworks.kit.analytics import Analytics, Scope, connect
from frameworks.kit.analytics.migrations import HISTORY, of_package
from frameworks.kit.clock import SystemClock, from_micros, micros

PACKAGE = "frameworks.data.periscope"
BEFORE = SCHEMA_VERSION - 1
TABLES = {
    "stream-ingest": "stream_events",
    "stream-lifecycle": "stream_events",
    "stream-buffer": "stream_events",
    "track-list": "stream_events",
    "stream-view": "stream_views",
    "user-connection": "connection_events",
    "stream-metrics": "stream_health",
    "node-lifecycle": "node_metrics",
    "load-balancing": "routing_events",
    "push-lifecycle": "push_events",
    "recording-lifecycle": "artifact_events",
    "stream-metrics-detailed": "stream_metrics_detailed",
    "client-sample": "client_samples",
    "storage-sample": "storage_samples",
    "service": "service_events",
    "player-boot": "player_boots",
    "player-session": "player_sessions",
    "api-requests": "api_requests",
}
NEW = sorted(TABLES.keys() - frozen_events(BEFORE).keys())
MOMENTS = {"started_at", "ended_at", "expires_at"}


def rows_of(store: Analytics, table: str, tenant: UUID, event: bytes) -> Any:
    """The row of one event, as readers see it."""
    sql = f"SELECT * FROM periscope.{table}_v WHERE event_id = {{event:UUID}}"
    return store.query(sql, {"event": str(UUID(bytes=event))}, Scope.tenant(tenant))


def test_every_type_has_a_table_and_every_payload_a_type() -> None:
    assert TABLES.keys() == EVENT_TYPES.keys()
    assert {field.name for field in payloads(Event.DESCRIPTOR)} == {t.field for t in EVENT_TYPES.values()}


@pytest.mark.parametrize("kind", NEW)
async def test_every_value_of_an_event_is_found_in_its_row(periscope: Periscope, kind: str) -> None:
    story = new_story()
    event = story.event(kind, 1)
    fill(getattr(event, EVENT_TYPES[kind].field))
    await periscope.take([event])
    (row,) = await rows_of(periscope.analytics, TABLES[kind], story.tenant, event.event_id)
    assert (row["stream_id"], row["occurred_at"]) == (story.stream, from_micros(event.occurred_at))
    assert (row["node_id"], row["cluster_id"]) == (event.node_id, event.cluster_id)
    for name, value in said(getattr(event, EVENT_TYPES[kind].field)):
        assert row[name] == (from_micros(value) if name in MOMENTS else value), name
    assert not await rows_of(periscope.analytics, "unclaimed_events", story.tenant, event.event_id)


def said(message: Any) -> Iterator[tuple[str, Any]]:
    """Column → value, places laid open."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.name == "place":
            yield from said(value)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield field.name, dict(value)
        elif field.message_type is not None:
            yield field.name, [dict(said(each)) for each in value]
        else:
            yield field.name, list(value) if field.is_repeated else value


def told_before(at: int) -> list[bytes]:
    """An event of every type of the version before, moved to `at`."""
    read = frozen_class(BEFORE)
    return [moved(raw, read.FromString(raw).occurred_at, at) for raw in frozen_events(BEFORE).values()]


def record_of(raws: Iterable[bytes]) -> Arrived:
    """A log record of these events."""
    decoded = decode([b"".join(frame(raw) for raw in raws)])
    return Arrived(decoded, [Source({"tenant_id": "t"}, "analytics_events/0/1")])


async def test_the_version_before_and_this_one_are_stored_together(periscope: Periscope) -> None:
    now = micros(SystemClock().now())
    old = [Event.FromString(raw) for raw in told_before(now)]
    story = Story(UUID(bytes=old[0].tenant_id), new_story().stream, now)
    new = [story.event(kind, 0) for kind in NEW]
    for event in new:
        fill(getattr(event, EVENT_TYPES[event.type].field))
    mixed = [
        raw for pair in zip(told_before(now), map(Event.SerializeToString, new), strict=True) for raw in pair
    ]
    taken = await periscope.ingest.take([record_of(mixed)])
    assert (taken.stored, taken.buried) == (len(mixed), 0)
    for event in (*old, *new):
        (row,) = await rows_of(periscope.analytics, TABLES[event.type], story.tenant, event.event_id)
        assert row["occurred_at"] == from_micros(now)


async def test_an_old_store_is_brought_forward_with_its_rows(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path / "data")
    await server.start()
    store = await connect(server.url)
    for statement in ("CREATE DATABASE frameworks", "CREATE DATABASE periscope", HISTORY):
        await store.command(statement)
    for migration in of_package(PACKAGE)[:2]:
        for statement in migration.statements():
            await store.command(statement)
        entry = (PACKAGE, migration.number, migration.name, migration.digest)
        await store.insert_rows("frameworks.migrations", ["package", "number", "name", "digest"], [entry])
    now = micros(SystemClock().now())
    old = told_before(now)
    facts = ClickHouseFacts(store, SCHEMA_TEXT)
    await store.insert_protobuf(
        "periscope.arrivals",
        message="Event",
        schema_text=SCHEMA_TEXT,
        payload=b"".join(frame(raw) for raw in old),
    )
    store.declare(*declared())
    await store.migrate(PACKAGE)
    await store.check_declared("periscope")
    story = new_story(UUID(bytes=Event.FromString(old[0]).tenant_id))
    new = story.event("push-lifecycle", 0)
    fill(new.push_lifecycle)
    for raw in (*old, new.SerializeToString()):
        await facts.insert(Event.FromString(raw).type, [frame(raw)])
    for event in (*map(Event.FromString, old), new):
        (row,) = await rows_of(store, TABLES[event.type], story.tenant, event.event_id)
        assert row["event_id"] == UUID(bytes=event.event_id)
    await store.close()
    await server.stop()


def test_a_watcher_hears_of_both_versions() -> None:
    now = micros(SystemClock().now())
    old = told_before(now)
    tenant = UUID(bytes=Event.FromString(old[0]).tenant_id)
    new = [new_story(tenant).event(kind, 0).SerializeToString() for kind in NEW]
    value = b"".join(frame(raw) for raw in (*old, *new))
    heard = changes_in(Raw(tenant, 0, 1, value))
    assert [change.event for _, change in heard] == [*old, *new]
    assert [change.type for _, change in heard] == [Event.FromString(raw).type for raw in (*old, *new)]


def test_a_watcher_keeps_silent_about_types_it_does_not_know() -> None:
    story = new_story()
    known = story.event("push-lifecycle", 0).SerializeToString()
    value = frame(story.event("stream-gossip", 0).SerializeToString()) + frame(known)
    assert [change.event for _, change in changes_in(Raw(story.tenant, 0, 1, value))] == [known]
