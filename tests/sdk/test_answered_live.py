"""Live changes: the published SDK's subscriptions, while an encoder, viewers and nodes act."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from fixtures_answered import Client, Follow, Made, answers, client_of, make_stream, watch
from fixtures_edge import Edge
from fixtures_platform import Encoder, Platform, Tenant, eventually, push

from frameworks.contracts.pb import events_v1_pb2 as events


@dataclass
class Stage:
    """A tenant with a stream nobody has published to, and how to start its encoder."""

    platform: Platform
    tenant: Tenant
    stream: Made
    fw: Client

    async def publish(self, *extra: str) -> Encoder:
        """Start the encoder; returns once the stream can be watched."""
        encoder = await push(f"{self.platform.rtmp_url}/{self.stream.key}", extra=extra)
        await self.platform.live(self.stream.playback_id)
        return encoder


@pytest.fixture
async def stage(platform: Platform, tenant: Tenant) -> AsyncIterator[Stage]:
    """A fresh tenant and stream for each subscription."""
    fw = client_of(tenant, platform)
    yield Stage(platform, tenant, await make_stream(platform, tenant, "On stage"), fw)
    await fw.aclose()


@answers("LiveStreamEvents", "LiveTrackListUpdates")
async def test_starts_ends_and_tracks_arrive_as_they_happen(stage: Stage, follow: Follow) -> None:
    encoder = await stage.publish()
    happened = await follow(stage.fw.live_stream_events(stage.stream.id))
    tracks = await follow(stage.fw.live_track_list_updates(stage.stream.id))
    # How things are comes in no order: the stream's tracks may be told before its state.
    now = (await happened.first(lambda r: r.live_stream_events.status is not None)).live_stream_events
    assert (now.stream_id, now.status.value) == (stage.stream.id, "LIVE")
    await encoder.stop()
    ended = (
        await happened.first(lambda r: r.live_stream_events.type_.value == "STREAM_END")
    ).live_stream_events
    encoder = await stage.publish("-s", "426x240")
    started = await happened.first(
        lambda r: (
            r.live_stream_events.type_.value == "STREAM_START"
            and r.live_stream_events.timestamp > ended.timestamp
        )
    )
    assert started.live_stream_events.stream is not None
    assert started.live_stream_events.stream.name == "On stage"
    found = await tracks.first(lambda r: r.live_track_list_updates.primary_width == 426)
    assert found.live_track_list_updates.audio_track_count == 1
    await encoder.stop()


@answers("LiveConnectionEvents", "LiveViewerMetrics")
async def test_viewers_arrive_and_leave_as_they_do(stage: Stage, follow: Follow) -> None:
    encoder = await stage.publish()
    coming = await follow(stage.fw.live_connection_events(stage.stream.id))
    viewing = await follow(stage.fw.live_viewer_metrics(stage.stream.id))
    measured = (await viewing.first(bool)).live_viewer_metrics
    assert (measured.action, measured.session_id) == ("metrics", None)
    viewer = await watch(stage.platform, stage.stream.playback_id)
    came = (
        await coming.first(lambda r: r.live_connection_events.event_type == "connect")
    ).live_connection_events
    assert (came.stream_id, came.node_id) == (stage.stream.id, "node-1")
    metered = await viewing.first(lambda r: r.live_viewer_metrics.action == "connect")
    assert metered.live_viewer_metrics.session_id == came.session_id
    await viewer.leave()
    left = await coming.first(lambda r: r.live_connection_events.event_type == "disconnect")
    assert left.live_connection_events.session_id == came.session_id
    assert left.live_connection_events.bytes_transferred >= viewer.received > 0
    await encoder.stop()


@answers("LiveSystemHealth")
async def test_a_tenants_nodes_are_seen_as_they_measure(stage: Stage, follow: Follow) -> None:
    edge = await Edge.join(stage.platform, stage.tenant)
    measured = await follow(stage.fw.live_system_health())
    healthy = events.NodeLifecycle(state="up", cpu_permille=250)

    async def told() -> bool:
        await edge.publish(edge.event("node-lifecycle", healthy))
        return bool(measured.results)

    await eventually(told, every=0.5, what="the first measurement")
    seen = measured.results[0].live_system_health
    assert (seen.node, seen.cpu_tenths, seen.is_healthy) == (edge.node_id, 250, True)
    busy = events.NodeLifecycle(state="degraded", cpu_permille=990)
    await edge.publish(edge.event("node-lifecycle", busy))
    found = await measured.first(lambda r: r.live_system_health.cpu_tenths == 990)
    assert not found.live_system_health.is_healthy


def _is(kind: str, result: Any) -> bool:
    return bool(result.live_firehose.type_ == kind)


@answers("LiveFirehose")
async def test_the_firehose_carries_every_sort_of_change_of_the_tenant_alone(
    platform: Platform, stage: Stage, follow: Follow
) -> None:
    encoder = await stage.publish()
    everything = await follow(stage.fw.live_firehose())
    await everything.first(bool)
    other = await platform.tenant()
    elsewhere = await Edge.join(platform, other)
    edge = await Edge.join(platform, stage.tenant)
    await elsewhere.publish(elsewhere.event("node-lifecycle", events.NodeLifecycle(state="up")))
    await edge.publish(edge.event("node-lifecycle", events.NodeLifecycle(state="up")))
    viewer = await watch(platform, stage.stream.playback_id)
    for kind in ("node-lifecycle", "stream-lifecycle", "stream-metrics", "user-connection"):
        await everything.first(partial(_is, kind))
    await viewer.leave()
    await encoder.stop()
    seen = [r.live_firehose for r in everything.results]
    assert {r.stream_event.stream_id for r in seen if r.stream_event} == {stage.stream.id}
    assert {r.system_health_event.node_id for r in seen if r.system_health_event} == {edge.node_id}
