"""The record: every step of a broadcast is history, once, and is pushed to whoever looks."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fixtures_platform import Platform, Stream, Tenant, eventually, push
from flow_processes import everywhere
from flow_socket import Pushed, subscribed
from flow_stores import count, dirty, event_ids, eventlog, logged, rows, state
from flow_viewer import Viewer

from frameworks.contracts.pb.events_v1_pb2 import Event, EventBatch, StreamMetrics
from frameworks.contracts.topics import ANALYTICS_EVENTS
from frameworks.kit.clock import SystemClock, micros
from frameworks.kit.eventlog import Outgoing

STREAM_EVENTS = "subscription { liveStreamEvents { streamId type status bufferState source } }"
CONNECTIONS = "subscription { liveConnectionEvents { streamId eventType sessionId connectionAddr } }"
METRICS = 'subscription { liveViewerMetrics(streamId: "%s") { action bitrateKbps healthScore viewers } }'
TRACKS = 'subscription { liveTrackListUpdates(streamId: "%s") { totalTracks primaryWidth } }'
HEALTH = "subscription { liveSystemHealth { node status } }"
FIREHOSE = "subscription { liveFirehose { type channel } }"

HISTORY = """
    query($id: ID!, $range: TimeRangeInput!) { analytics {
      lifecycle {
        streamEventsConnection(streamId: $id, timeRange: $range) { totalCount nodes { eventId type status } }
        bufferEventsConnection(streamId: $id, timeRange: $range) { totalCount nodes { eventId bufferState } }
        trackListConnection(streamId: $id, timeRange: $range) { totalCount nodes { id trackCount } }
        connectionEventsConnection(streamId: $id, timeRange: $range) {
          totalCount nodes { eventId sessionId eventType connectionAddr } }
        viewerSessionsConnection(streamId: $id, timeRange: $range) {
          totalCount nodes { sessionId durationSeconds bytesUp } }
      }
      health {
        streamHealthConnection(streamId: $id, timeRange: $range) { totalCount nodes { id bitrate } }
        streamHealthSummary(streamId: $id, timeRange: $range) { sampleCount avgFps }
      }
      usage { streaming { streamAnalyticsSummary(streamId: $id, timeRange: $range) {
        rangeTotalViews rangeTotalSessions rangeUniqueViewers rangeViewerHours rangeEgressGb
      } } }
    } }
"""
ROUTING = """
    query($id: ID) { analytics { infra {
      routingEventsConnection(streamId: $id) { totalCount nodes { status selectedNode } }
      nodeMetricsConnection { totalCount }
    } } }
"""

pytestmark = everywhere


def around_now() -> dict[str, str]:
    """A range that holds the test, and does not move with the clock."""
    now = datetime.now(UTC)
    return {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(hours=1)).isoformat()}


async def broadcast(platform: Platform, stream: Stream) -> None:
    """Push, watch a while, leave, stop; returns when the node has said the last word."""
    encoder = await push(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)

    async def measured() -> bool:
        return await count(platform, "stream_health", "stream_id = {s:UUID}", s=stream.stream_id) >= 2

    async with Viewer(platform, stream.playback_id) as viewer:
        await viewer.progress()
        await eventually(measured, what="metrics in the history")
    await encoder.stop()

    async def over() -> bool:
        left = "stream_id = {s:UUID} AND action = 'disconnect'"
        gone = await count(platform, "connection_events", left, s=stream.stream_id)
        return gone == 1 and (await state(platform, stream.stream_id)).get("state") == "ended"

    await eventually(over, within=40.0, what="the end of the broadcast in the history")


async def history(tenant: Tenant, stream: Stream, when: dict[str, str]) -> Any:
    """Everything the owner reads of a stream."""
    return (await tenant.graphql(HISTORY, id=stream.id, range=when))["analytics"]


@dataclass(frozen=True)
class OnRecord:
    """A broadcast that is over, and what the sockets said of it."""

    tenant: Tenant
    operator: Tenant
    stream: Stream
    pushed: Pushed
    system: Pushed


@pytest.fixture(scope="module")
async def on_record(platform: Platform) -> OnRecord:
    """One broadcast for all tests here, followed by its owner and by the operator."""
    tenant, operator = await platform.tenant(), await platform.tenant(operator=True)
    stream = await tenant.stream()
    owner_sees = {
        "streams": STREAM_EVENTS,
        "connections": CONNECTIONS,
        "metrics": METRICS % stream.stream_id,
        "tracks": TRACKS % stream.stream_id,
    }
    async with (
        subscribed(tenant, **owner_sees) as pushed,
        subscribed(operator, nodes=HEALTH, all=FIREHOSE) as system,
    ):
        await broadcast(platform, stream)

        async def told() -> bool:
            return bool(system.of("nodes")) and len(pushed.of("connections")) == 2

        await eventually(told, what="the last pushes")
    return OnRecord(tenant, operator, stream, pushed, system)


async def test_every_step_is_pushed_to_whoever_looks(on_record: OnRecord) -> None:
    pushed, system = on_record.pushed, on_record.system
    assert pushed.errors == system.errors == []
    kinds = [event["type"] for event in pushed.of("streams")]
    assert {"STREAM_SOURCE", "STREAM_START", "TRACK_LIST_UPDATE", "BUFFER_UPDATE", "STREAM_END"} <= set(kinds)
    assert {event["streamId"] for event in pushed.of("streams")} == {on_record.stream.stream_id}
    assert {event["source"] for event in pushed.of("streams")} == {"LIVE"}
    assert [event["eventType"] for event in pushed.of("connections")] == ["connect", "disconnect"]
    assert [event["connectionAddr"] for event in pushed.of("connections")] == [None, None]
    assert any(row["action"] == "metrics" and row["bitrateKbps"] for row in pushed.of("metrics"))
    assert pushed.of("tracks")[-1] == {"totalTracks": 2, "primaryWidth": 640}
    assert system.of("nodes")[-1]["status"] == "HEALTHY"
    assert "load-balancing" in {row["type"] for row in system.of("all")}


async def test_every_step_is_history(platform: Platform, on_record: OnRecord) -> None:
    stream = on_record.stream
    found = await history(on_record.tenant, stream, around_now())
    lifecycle, health = found["lifecycle"], found["health"]

    async def stored(table: str) -> int:
        return await count(platform, table, "stream_id = {s:UUID}", s=stream.stream_id)

    assert lifecycle["streamEventsConnection"]["totalCount"] == await stored("stream_events")
    assert lifecycle["connectionEventsConnection"]["totalCount"] == await stored("connection_events") == 2
    assert health["streamHealthConnection"]["totalCount"] == await stored("stream_health") >= 2
    assert await stored("stream_views") >= 1
    (session,) = lifecycle["viewerSessionsConnection"]["nodes"]
    assert session["bytesUp"] > 0
    types = {row["type"] for row in lifecycle["streamEventsConnection"]["nodes"]}
    assert {"STREAM_SOURCE", "STREAM_START", "STREAM_END"} <= types
    infra = (await on_record.operator.graphql(ROUTING, id=stream.stream_id))["analytics"]["infra"]
    assert "redirect" in {row["status"] for row in infra["routingEventsConnection"]["nodes"]}
    assert infra["nodeMetricsConnection"]["totalCount"] > 0


async def test_the_present_is_reduced_from_the_events(platform: Platform, on_record: OnRecord) -> None:
    reduced = await state(platform, on_record.stream.stream_id)
    assert (reduced["state"], reduced["claim_epoch"]) == ("ended", 1)
    assert reduced["down_bytes"] > 0


async def test_every_event_is_there_once(platform: Platform, on_record: OnRecord) -> None:
    await assert_each_once(platform, on_record.tenant)


async def test_a_stranger_reads_nothing_of_it(
    platform: Platform, tenant: Tenant, on_record: OnRecord
) -> None:
    stream = on_record.stream
    found = await history(tenant, stream, around_now())
    assert found["lifecycle"]["streamEventsConnection"]["totalCount"] == 0
    assert found["health"]["streamHealthConnection"]["totalCount"] == 0
    owners = await rows(
        platform,
        "SELECT DISTINCT toString(tenant_id) AS t FROM periscope.stream_events_v WHERE stream_id = {s:UUID}",
        s=stream.stream_id,
    )
    assert [row["t"] for row in owners] == [on_record.tenant.tenant_id]


async def test_a_replay_of_the_topic_changes_no_answer(platform: Platform, on_record: OnRecord) -> None:
    tenant, stream, when = on_record.tenant, on_record.stream, around_now()
    await rolled_up(platform, tenant)
    before, reduced = await history(tenant, stream, when), await state(platform, stream.stream_id)
    await replay(platform)
    await rolled_up(platform, tenant)
    assert await history(tenant, stream, when) == before
    assert await state(platform, stream.stream_id) == reduced
    await assert_each_once(platform, tenant)


async def assert_each_once(platform: Platform, tenant: Tenant) -> None:
    """What is in the topic is in the history, each event id once."""
    ids = await event_ids(platform, tenant.tenant_id)
    assert [event for event, times in Counter(ids).items() if times > 1] == []
    assert {event.event_id for event in await logged(platform, tenant.tenant_id)} == {
        each.bytes for each in ids
    }


async def rolled_up(platform: Platform, tenant: Tenant) -> None:
    """Wait until no bucket of the tenant has to be recomputed."""

    async def clean() -> bool:
        return await dirty(platform, tenant.tenant_id) == 0

    await eventually(clean, within=60.0, what="roll-up")


async def replay(platform: Platform) -> None:
    """Append the whole topic to itself, and wait until all of it was read again."""
    marker = uuid4()
    async with eventlog(platform) as log:
        again = [
            Outgoing(record.topic, record.partition, record.value, record.headers)
            async for record in log.replay(ANALYTICS_EVENTS)
        ]
        ends = [mark(marker.bytes, number) for number in range(len({record.partition for record in again}))]
        partitions = sorted({record.partition for record in again})
        await log.publish(again)
        await log.publish(
            [
                Outgoing(ANALYTICS_EVENTS, partition, end, {"tenant_id": str(marker)})
                for partition, end in zip(partitions, ends, strict=True)
            ]
        )

    async def read_again() -> bool:
        found = await count(platform, "stream_health", "tenant_id = {t:UUID}", t=str(marker))
        return found == len(partitions)

    await eventually(read_again, within=60.0, what="the replay read to its end")


def mark(tenant: bytes, number: int) -> bytes:
    """A batch of a tenant that does not exist: when it is stored, all before it is."""
    event = Event(
        event_id=uuid4().bytes,
        type="stream-metrics",
        occurred_at=micros(SystemClock().now()) + number,
        schema_version=1,
        tenant_id=tenant,
        stream_id=uuid4().bytes,
        node_id="node-1",
        cluster_id="default",
        source="helmsman",
        stream_metrics=StreamMetrics(bitrate_kbps=1),
    )
    return EventBatch(events=[event]).SerializeToString()
