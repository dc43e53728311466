"""History as another edge reports it: places, losses, stalls and nodes, with the very numbers it sent."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import h3
import pytest
from fixtures_answered import Client, Made, answers, client_of, make_stream
from fixtures_edge import Edge
from fixtures_platform import Platform, Tenant, eventually
from livepeer_frameworks.graphql import TimeRangeInput

from frameworks.contracts.pb import events_v1_pb2 as events

GIGABYTE = 1_000_000_000
BERLIN = events.Place(
    country="DE",
    city="Berlin",
    h3_cell=h3.str_to_int(h3.latlng_to_cell(52.52, 13.4, 5)),
    latitude=52.52,
    longitude=13.4,
)
UTRECHT = events.Place(
    country="NL",
    city="Utrecht",
    h3_cell=h3.str_to_int(h3.latlng_to_cell(52.09, 5.12, 5)),
    latitude=52.09,
    longitude=5.12,
)


@dataclass
class Scene:
    """An edge that carries one stream of a fresh tenant."""

    edge: Edge
    tenant: Tenant
    stream: Made
    fw: Client
    view: str
    ingest: str
    epoch: int

    async def viewed(self, session: str, place: events.Place, *, seconds: int, sent: int) -> None:
        """A viewer came, stayed and left."""
        came = events.UserConnection(
            action="connect", session_id=session, connector="HLS", place=place, viewer_hash=session
        )
        left = events.UserConnection()
        left.CopyFrom(came)
        left.action, left.seconds, left.up_bytes = "disconnect", seconds, sent
        said = [self.edge.event("user-connection", e, stream_id=self.stream.id) for e in (came, left)]
        await self.edge.publish(*said, attribution=self.view)

    async def carried(self, name: str, payload: Any) -> None:
        """Something happened to the stream the edge takes in."""
        event = self.edge.event(name, payload, stream_id=self.stream.id, epoch=self.epoch)
        await self.edge.publish(event, attribution=self.ingest)

    async def measured(self, **facts: Any) -> None:
        """The node was measured."""
        await self.edge.publish(self.edge.event("node-lifecycle", events.NodeLifecycle(state="up", **facts)))


@pytest.fixture(scope="module")
async def scene(platform: Platform) -> AsyncIterator[Scene]:
    """The edge, admitted to take the stream in and to hand it out."""
    tenant = await platform.tenant()
    edge = await Edge.join(platform, tenant, name="Remote")
    stream = await make_stream(platform, tenant, "Remote show")
    admission = await edge.admit(stream.key)
    playback = await edge.resolve(stream.playback_id)
    fw = client_of(tenant, platform)
    yield Scene(edge, tenant, stream, fw, playback.attribution, admission.attribution, admission.claim_epoch)
    await fw.aclose()


def lately() -> TimeRangeInput:
    """The last hour and the coming minute."""
    now = datetime.now(UTC)
    return TimeRangeInput(start=now - timedelta(hours=1), end=now + timedelta(minutes=1))


@answers("GetGeographicDistribution", "GetViewerGeoHourlyConnection", "GetViewerGeographicsConnection")
async def test_viewers_are_placed_where_the_edge_saw_them(scene: Scene) -> None:
    fw, stream = scene.fw, scene.stream

    async def countries() -> dict[str, int]:
        found = await fw.get_geographic_distribution(stream.id, time_range=lately())
        places = found.analytics.usage.streaming.geographic_distribution
        assert places is not None
        return {place.country_code: place.viewer_count for place in places.top_countries}

    async def hours() -> dict[str, float]:
        found = await fw.get_viewer_geo_hourly_connection(time_range=lately())
        rows = [e.node for e in found.analytics.usage.streaming.viewer_geo_hourly_connection.edges]
        return {row.country_code: round(row.egress_gb, 3) for row in rows}

    async def cities() -> set[str | None]:
        found = await fw.get_viewer_geographics_connection(stream_id=stream.id)
        return {e.node.city for e in found.analytics.usage.streaming.viewer_geographics_connection.edges}

    await scene.viewed("first", BERLIN, seconds=60, sent=2 * GIGABYTE)
    await eventually(lambda: _equal(countries(), {"DE": 1}), what="one German viewer")
    await eventually(lambda: _equal(hours(), {"DE": 2.0}), what="two German gigabytes")
    assert await cities() == {"Berlin"}
    await scene.viewed("second", UTRECHT, seconds=30, sent=GIGABYTE)
    await eventually(lambda: _equal(countries(), {"DE": 1, "NL": 1}), what="a Dutch viewer too")
    await eventually(lambda: _equal(hours(), {"DE": 2.0, "NL": 1.0}), what="a Dutch gigabyte too")
    assert await cities() == {"Berlin", "Utrecht"}


@answers("GetRebufferingEventsConnection")
async def test_a_stall_is_listed_while_it_lasts_and_when_it_ends(scene: Scene) -> None:
    async def stalls() -> list[tuple[bool, bool]]:
        found = await scene.fw.get_rebuffering_events_connection(stream_id=scene.stream.id)
        rows = [e.node for e in found.analytics.health.rebuffering_events_connection.edges]
        return [(row.rebuffer_start, row.rebuffer_end) for row in rows]

    assert await stalls() == []
    await scene.carried("stream-buffer", events.StreamBuffer(state="FULL", buffer_ms=4000))
    await scene.carried("stream-buffer", events.StreamBuffer(state="DRY", buffer_ms=0))
    await eventually(lambda: _equal(stalls(), [(True, False)]), what="a stall that lasts")
    await scene.carried("stream-buffer", events.StreamBuffer(state="RECOVER", buffer_ms=900))
    await eventually(lambda: _equal(stalls(), [(False, True)]), what="a stall that ended")


@answers("GetClientQoeConnection", "GetClientQoeSummary")
async def test_losses_and_sessions_are_what_the_edge_measured(scene: Scene) -> None:
    fw, stream = scene.fw, scene.stream

    async def summary() -> tuple[float | None, float]:
        found = (await fw.get_client_qoe_summary(stream.id)).analytics.health.client_qoe_summary
        return found.avg_packet_loss_rate, found.avg_bandwidth_out

    async def buckets() -> list[tuple[int, float | None]]:
        found = await fw.get_client_qoe_connection(stream_id=stream.id)
        rows = [e.node for e in found.analytics.health.client_qoe_connection.edges]
        return [(row.active_sessions, row.packet_loss_rate) for row in rows]

    await scene.carried(
        "stream-metrics",
        events.StreamMetrics(
            viewers=4, packets_sent=1000, packets_lost=10, bandwidth_out_bps=2000, bitrate_kbps=800
        ),
    )
    await eventually(lambda: _equal(summary(), (0.01, 2000.0)), what="one percent lost")
    assert (4, 0.01) in await buckets()
    await scene.carried(
        "stream-metrics",
        events.StreamMetrics(
            viewers=6, packets_sent=1000, packets_lost=30, bandwidth_out_bps=4000, bitrate_kbps=800
        ),
    )
    await eventually(lambda: _equal(summary(), (0.02, 3000.0)), what="two percent lost")
    assert max(sessions for sessions, _ in await buckets()) == 6


@answers(
    "GetNodeMetricsConnection",
    "GetNodeMetricsAggregated",
    "GetNodeMetrics1hConnection",
    "GetNodePerformance5mConnection",
)
async def test_a_node_is_what_it_measured(scene: Scene) -> None:
    fw, node = scene.fw, scene.edge.node_id
    memory = {"memory_used_bytes": 25, "memory_total_bytes": 100}

    async def samples() -> list[float]:
        found = await fw.get_node_metrics_connection(node_id=node)
        rows = [e.node for e in found.analytics.infra.node_metrics_connection.edges]
        return [row.cpu_usage for row in rows]

    async def aggregated() -> list[tuple[float, float, int]]:
        found = await fw.get_node_metrics_aggregated(node_id=node)
        rows = found.analytics.infra.node_metrics_aggregated
        return [(row.avg_cpu, row.avg_memory, row.sample_count) for row in rows]

    async def hour() -> float:
        found = await fw.get_node_metrics_1_h_connection(node_id=node)
        return max(
            (e.node.peak_cpu for e in found.analytics.infra.node_metrics_1_h_connection.edges), default=0
        )

    async def five_minutes() -> tuple[float, int]:
        found = await fw.get_node_performance_5_m_connection(node_id=node)
        rows = [e.node for e in found.analytics.infra.node_performance_5_m_connection.edges]
        return max((row.max_cpu for row in rows), default=0), max(
            (row.max_streams for row in rows), default=0
        )

    await scene.measured(cpu_permille=200, active_streams=1, **memory)
    await eventually(lambda: _equal(aggregated(), [(20.0, 25.0, 1)]), what="the first measurement")
    assert (await samples(), await hour(), await five_minutes()) == ([20.0], 20.0, (20.0, 1))
    await scene.measured(cpu_permille=600, active_streams=3, **memory)
    await eventually(lambda: _equal(aggregated(), [(40.0, 25.0, 2)]), what="the second measurement")
    assert (await samples(), await hour(), await five_minutes()) == ([60.0, 20.0], 60.0, (60.0, 3))


async def _equal(found: Any, wanted: Any) -> bool:
    return bool(await found == wanted)
