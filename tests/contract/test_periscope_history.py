"""Every question Periscope answers, asked of real engines: what it says, and that another tenant hears nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from fixtures_periscope import Periscope, Story, new_story

from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.flow import FlowApi
from frameworks.data.periscope.api.health import HealthApi
from frameworks.data.periscope.api.infrastructure import InfrastructureApi
from frameworks.data.periscope.api.lifecycle import LifecycleApi
from frameworks.data.periscope.api.now import NowApi
from frameworks.data.periscope.api.usage import UsageApi
from frameworks.data.periscope.domain import BadRange, BadSubject
from frameworks.data.periscope.service.pipeline import Pipeline
from frameworks.data.periscope.service.processes import Processes
from frameworks.data.periscope.store.processes import PostgresProcesses
from frameworks.kit.clock import SystemClock, uuid7
from frameworks.kit.paging import BadPage

MINUTE = 60_000_000
GHENT = ev.Place(country="BE", city="Ghent", h3_cell=5, latitude=51.05, longitude=3.72)
UTRECHT = ev.Place(country="NL", city="Utrecht", h3_cell=6, latitude=52.09, longitude=5.12)
TRACKS = [ev.Track(name="v1", type="video", codec="H264", bitrate_kbps=3000, width=1280, height=720)]


@dataclass(frozen=True, slots=True)
class Caller:
    """As much of a call as Periscope looks at."""

    tenant: UUID


class NoDeadLetters:
    """A dead-letter topic with nothing in it."""

    async def dead_letters(self) -> int:
        """None."""
        return 0


@dataclass(frozen=True, slots=True)
class Asking:
    """The servicers, and a story they know."""

    now: NowApi
    flow: FlowApi
    lifecycle: LifecycleApi
    health: HealthApi
    usage: UsageApi
    infrastructure: InfrastructureApi
    story: Story

    @property
    def mine(self) -> Any:
        """A call of the story's tenant."""
        return Caller(self.story.tenant)

    @property
    def span(self) -> pb.Range:
        """The half hour the story is told in."""
        return pb.Range(from_at=self.story.start, until_at=self.story.start + 30 * MINUTE)

    def of_stream(self, **more: Any) -> pb.HistoryRequest:
        """A request about the story's stream."""
        return pb.HistoryRequest(range=self.span, stream_id=str(self.story.stream), **more)


def told(story: Story) -> list[ev.Event]:
    """Twenty minutes of a stream with two viewers, a buffer that ran dry, and the node it was on."""
    events = [
        story.event(
            "stream-ingest", 0, stream_ingest=ev.StreamIngest(protocol="RTMP", encoder="OBS", place=GHENT)
        ),
        story.event("stream-lifecycle", 1, stream_lifecycle=ev.StreamLifecycle(state="live")),
        story.event("track-list", 2, track_list=ev.TrackList(tracks=TRACKS)),
        story.event("stream-buffer", 60, stream_buffer=ev.StreamBuffer(state="DRY", tracks=TRACKS)),
        story.event("stream-buffer", 65, stream_buffer=ev.StreamBuffer(state="RECOVER", issues=["jitter"])),
        story.event("stream-view", 9, stream_view=ev.StreamView(playback_id="p" * 16, place=UTRECHT)),
        story.event(
            "load-balancing",
            8,
            load_balancing=ev.LoadBalancing(
                status="redirect",
                purpose="viewer",
                selected_node="node-1",
                score=12,
                client=UTRECHT,
                distance_km=150,
                decided_in_us=400,
                candidates=[ev.Candidate(node_id="node-1", score=12, reason="chosen")],
            ),
        ),
    ]
    for number, place in enumerate((GHENT, UTRECHT)):
        viewer: Any = {
            "session_id": f"s{number}",
            "connector": "HLS",
            "place": place,
            "viewer_hash": f"h{number}",
        }
        opened = ev.UserConnection(action="connect", **viewer)
        closed = ev.UserConnection(action="disconnect", seconds=600, up_bytes=60_000_000, **viewer)
        events.append(story.event("user-connection", 10 + number, user_connection=opened))
        events.append(story.event("user-connection", 610 + number, user_connection=closed))
    for second in range(0, 1200, 10):
        events.append(story.event("stream-metrics", second, stream_metrics=sample()))
        node = ev.NodeLifecycle(state="up", cpu_permille=250, memory_used_bytes=1, memory_total_bytes=4)
        events.append(story.event("node-lifecycle", second, node_lifecycle=node))
    ended = ev.StreamLifecycle(state="ended", duration_ms=1_200_000, down_bytes=9_000_000)
    return [*events, story.event("stream-lifecycle", 1200, stream_lifecycle=ended)]


def sample() -> ev.StreamMetrics:
    """One measurement."""
    return ev.StreamMetrics(
        bitrate_kbps=3000,
        fps_milli=30_000,
        width=1280,
        height=720,
        codec="H264",
        viewers=2,
        buffer_ms=800,
        health_score=90,
        quality_tier="720p",
        packets_sent=100,
        packets_lost=1,
        bandwidth_out_bps=6_000_000,
    )


@pytest.fixture
async def asking(periscope: Periscope) -> Asking:
    """Periscope after the story was told and rolled up."""
    story = new_story()
    await periscope.take(told(story))
    await periscope.roll_up.run()
    clock = SystemClock()
    processes = Processes(PostgresProcesses(periscope.database), clock)
    pipeline = Pipeline(processes, NoDeadLetters(), periscope.past, periscope.marks, periscope.live, clock)
    return Asking(
        NowApi(periscope.present, periscope.history, clock),
        FlowApi(pipeline, processes),
        LifecycleApi(periscope.history, clock),
        HealthApi(periscope.history, clock),
        UsageApi(periscope.history, clock),
        InfrastructureApi(periscope.history, clock),
        story,
    )


async def test_lists_of_what_happened_are_newest_first(asking: Asking) -> None:
    request = asking.of_stream()
    events = (await asking.lifecycle.ListStreamEvents(request, asking.mine)).events
    assert [e.status for e in events] == ["ended", "RECOVER", "DRY", "tracks", "live", "admitted"]
    assert events[-1].protocol == "RTMP"
    assert events[-1].position.city == "Ghent"
    assert events[0].occurred_at == asking.story.start + 1200 * 1_000_000
    buffers = (await asking.lifecycle.ListBufferEvents(request, asking.mine)).events
    assert [(e.state, list(e.issues)) for e in buffers] == [("RECOVER", ["jitter"]), ("DRY", [])]
    (tracks,) = (await asking.lifecycle.ListTrackLists(request, asking.mine)).lists
    assert (tracks.tracks[0].codec, tracks.tracks[0].width) == ("H264", 1280)
    (dry,) = (await asking.health.ListRebufferings(request, asking.mine)).events
    assert dry.ended_at - dry.started_at == 5_000_000


async def test_viewers_are_sessions_with_their_places(asking: Asking) -> None:
    request = asking.of_stream()
    connections = (await asking.lifecycle.ListConnectionEvents(request, asking.mine)).events
    assert [e.action for e in connections] == ["disconnect", "disconnect", "connect", "connect"]
    sessions = await asking.lifecycle.ListViewerSessions(request, asking.mine)
    assert sessions.page.total == 2
    newest = sessions.sessions[0]
    assert (newest.session_id, newest.seconds, newest.position.country) == ("s1", 600, "NL")
    assert newest.disconnected_at - newest.connected_at == 600_000_000
    viewers = (await asking.usage.ListViewerGeographics(request, asking.mine)).viewers
    assert {v.position.city for v in viewers} == {"Ghent", "Utrecht"}
    found = await asking.usage.GetGeographicDistribution(
        pb.GetGeographicDistributionRequest(stream_id=str(asking.story.stream), range=asking.span),
        asking.mine,
    )
    assert (found.unique_countries, found.unique_cities, found.total_viewers) == (2, 2, 2)
    assert {c.position.country: c.viewers for c in found.countries} == {"BE": 1, "NL": 1}
    assert {c.position.city: round(c.position.latitude) for c in found.cities} == {"Ghent": 51, "Utrecht": 52}
    assert sum(hour.viewers for hour in found.by_hour) >= 2


async def test_health_is_measured_averaged_and_summed(asking: Asking) -> None:
    request = asking.of_stream()
    samples = await asking.health.ListStreamHealth(request, asking.mine)
    assert (samples.page.total, samples.samples[0].bitrate_kbps) == (120, 3000)
    buckets = (await asking.health.ListStreamHealth5m(request, asking.mine)).buckets
    assert [b.samples for b in buckets] == [30, 30, 30, 30]
    assert (buckets[-1].buffer_dry_count, buckets[-1].quality_tier, buckets[-1].avg_fps) == (1, "720p", 30.0)
    summary = await asking.health.GetStreamHealthSummary(request, asking.mine)
    assert (summary.samples, summary.avg_bitrate_kbps, summary.rebuffer_count) == (120, 3000.0, 1)
    assert (summary.avg_fps, summary.quality_tier, summary.has_active_issues) == (30.0, "720p", False)
    delivery = await asking.health.GetClientQoeSummary(request, asking.mine)
    assert delivery.packets_lost == 120
    assert delivery.peak_packet_loss == pytest.approx(0.01)
    assert delivery.avg_connection_seconds == 600.0
    qoe = (await asking.health.ListClientQoe(request, asking.mine)).buckets
    assert {b.avg_bandwidth_out_bps for b in qoe} == {6_000_000.0}
    series = await asking.now.GetStreamSeries(
        pb.GetStreamSeriesRequest(stream_id=request.stream_id, range=asking.span, points=30), asking.mine
    )
    assert (series.step_us, len(series.at), set(series.bitrate_kbps)) == (MINUTE, 20, {3000})


async def test_usage_adds_up_exactly(asking: Asking) -> None:
    request = asking.of_stream()
    summary = await asking.usage.GetStreamSummary(request, asking.mine)
    assert (summary.session_seconds, summary.egress_bytes, summary.total_sessions) == (1200, 120_000_000, 2)
    assert (summary.unique_viewers, summary.peak_viewers, summary.total_views) == (2, 2, 1)
    assert summary.ingest_seconds == 1200
    assert summary.quality.tier_720p == pytest.approx(20.0)
    assert summary.tenant_egress_bytes == summary.egress_bytes
    ranked = await asking.usage.ListStreamSummaries(
        pb.ListStreamSummariesRequest(range=asking.span), asking.mine
    )
    assert [(s.stream_id, s.egress_bytes) for s in ranked.summaries] == [(request.stream_id, 120_000_000)]
    hours = (await asking.usage.ListViewerHours(request, asking.mine)).hours
    assert sum(h.session_seconds for h in hours) == 1200
    assert sum(h.egress_bytes for h in hours) == 120_000_000
    connections = (await asking.usage.ListConnectionHours(request, asking.mine)).hours
    assert sum(h.total_sessions for h in connections) == 2
    days = (await asking.usage.ListStreamDays(request, asking.mine)).days
    assert sum(d.egress_bytes for d in days) == 120_000_000
    assert sum(d.total_views for d in days) == 1
    tenant_days = (await asking.usage.ListTenantDays(pb.HistoryRequest(range=asking.span), asking.mine)).days
    assert sum(d.egress_bytes for d in tenant_days) == 120_000_000
    geo = (await asking.usage.ListGeoHours(request, asking.mine)).hours
    assert {h.country for h in geo} == {"BE", "NL"}
    quality = (await asking.usage.ListQualityDays(request, asking.mine)).days
    assert sum(d.quality.codec_h264 for d in quality) == pytest.approx(20.0)
    counts = await asking.usage.ListViewerCounts(
        pb.ListViewerCountsRequest(stream_id=request.stream_id, range=asking.span, interval="15m"),
        asking.mine,
    )
    assert {c.viewers for c in counts.counts} == {2}
    usage = await asking.now.GetUsage(
        pb.GetUsageRequest(tenant_id=str(asking.story.tenant), range=asking.span), asking.mine
    )
    assert sum(b.viewer_seconds for b in usage.buckets) == 1200
    assert sum(b.ingest_seconds for b in usage.buckets) == 1200
    assert {b.cluster_id for b in usage.buckets} == {"default"}


async def test_nodes_and_routing_are_answered(asking: Asking) -> None:
    request = pb.HistoryRequest(range=asking.span)
    samples = await asking.infrastructure.ListNodeMetrics(request, asking.mine)
    assert (samples.page.total, samples.samples[0].cpu_permille) == (120, 250)
    hours = (await asking.infrastructure.ListNodeMetrics1h(request, asking.mine)).hours
    assert {(h.avg_cpu_permille, h.peak_memory_permille, h.was_healthy) for h in hours} == {
        (250.0, 250, True)
    }
    performance = (await asking.infrastructure.ListNodePerformance5m(request, asking.mine)).buckets
    assert [b.samples for b in performance] == [30, 30, 30, 30]
    (node,) = (await asking.infrastructure.GetNodeMetricsAggregated(request, asking.mine)).nodes
    assert (node.node_id, node.samples, node.avg_memory_permille) == ("node-1", 120, 250.0)
    (decision,) = (await asking.infrastructure.ListRoutingEvents(request, asking.mine)).events
    assert (decision.selected_node, decision.client.city) == ("node-1", "Utrecht")
    assert decision.candidates[0].reason == "chosen"
    efficiency = await asking.infrastructure.GetRoutingEfficiency(request, asking.mine)
    assert (efficiency.total, efficiency.succeeded, efficiency.avg_distance_km) == (1, 1, 150.0)
    assert [(c.country, c.requests) for c in efficiency.countries] == [("NL", 1)]


async def test_the_present_joins_state_and_measurements(asking: Asking) -> None:
    (status,) = (
        await asking.now.GetStreamStatuses(
            pb.GetStreamStatusesRequest(stream_ids=[str(asking.story.stream)]), asking.mine
        )
    ).statuses
    assert (status.state, status.is_live, status.viewers, status.codec) == ("ended", False, 0, "H264")
    assert (status.protocol, status.encoder, status.buffer_state) == ("RTMP", "OBS", "RECOVER")
    assert status.ended_at - status.started_at == 1199 * 1_000_000
    assert len(status.tracks) == 1
    overview = await asking.now.GetOverview(pb.HistoryRequest(range=asking.span), asking.mine)
    assert (overview.total_streams, overview.active_streams, overview.unique_viewers) == (1, 0, 2)
    assert (overview.viewer_seconds, overview.ingest_seconds, overview.ingress_bytes) == (
        1200,
        1200,
        9_000_000,
    )
    stats = (await asking.now.GetDailyStats(pb.GetDailyStatsRequest(days=3), asking.mine)).days
    assert len(stats) == 3
    assert sum(day.egress_bytes for day in stats) == 120_000_000
    assert (await asking.now.GetCurrentViewers(pb.GetCurrentViewersRequest(), asking.mine)).total == 0
    pipeline = await asking.flow.GetPipelineStatus(pb.GetPipelineStatusRequest(), asking.mine)
    assert pipeline.dead_letters == 0


async def test_a_live_stream_counts_its_open_sessions(asking: Asking, periscope: Periscope) -> None:
    story = new_story(asking.story.tenant)
    events = [story.event("stream-lifecycle", 0, stream_lifecycle=ev.StreamLifecycle(state="live"))]
    for number in range(3):
        opened = ev.UserConnection(action="connect", session_id=f"s{number}")
        events.append(story.event("user-connection", number, user_connection=opened))
    closed = ev.UserConnection(action="disconnect", session_id="s1", seconds=5)
    await periscope.take([*events, story.event("user-connection", 7, user_connection=closed)])
    current = await asking.now.GetCurrentViewers(pb.GetCurrentViewersRequest(), asking.mine)
    assert [(s.stream_id, s.viewers) for s in current.streams] == [(str(story.stream), 2)]
    (live,) = (await asking.now.GetStreamStatuses(pb.GetStreamStatusesRequest(), asking.mine)).statuses
    assert (live.stream_id, live.is_live, live.viewers) == (str(story.stream), True, 2)


async def test_pages_meet_without_gap_or_overlap_in_both_directions(asking: Asking) -> None:
    whole = [s.event_id for s in await pages(asking, forward=True)]
    assert len(whole) == len(set(whole)) == 120
    assert [s.event_id for s in await pages(asking, forward=False)] == whole[::-1]


async def pages(asking: Asking, *, forward: bool) -> list[pb.StreamHealth]:
    """Every sample, page by page; backward from the oldest."""
    found: list[pb.StreamHealth] = []
    cursor, more = "", True
    while more:
        page = pb.Page(first=37, after=cursor) if forward else pb.Page(last=37, before=cursor)
        answer = await asking.health.ListStreamHealth(asking.of_stream(page=page), asking.mine)
        found += answer.samples if forward else reversed(answer.samples)
        cursor = answer.page.end_cursor if forward else answer.page.start_cursor
        more = answer.page.has_next if forward else answer.page.has_previous
    return found


async def test_a_cursor_of_another_list_or_tenant_is_refused(asking: Asking) -> None:
    page = await asking.health.ListStreamHealth(asking.of_stream(page=pb.Page(first=1)), asking.mine)
    stolen = asking.of_stream(page=pb.Page(first=1, after=page.page.end_cursor))
    with pytest.raises(BadPage):
        await asking.lifecycle.ListStreamEvents(stolen, asking.mine)
    with pytest.raises(BadPage):
        await asking.health.ListStreamHealth(stolen, Caller(uuid7()))  # type: ignore[arg-type]


async def test_another_tenant_hears_nothing_at_all(asking: Asking) -> None:
    stranger: Any = Caller(uuid7())
    request = asking.of_stream()
    lists: list[Callable[[Any, Any], Awaitable[Any]]] = [
        *methods(asking.lifecycle, "List"),
        *methods(asking.health, "List"),
        *methods(asking.infrastructure, "List"),
        asking.usage.ListStreamDays,
        asking.usage.ListTenantDays,
        asking.usage.ListViewerHours,
        asking.usage.ListConnectionHours,
        asking.usage.ListQualityDays,
        asking.usage.ListViewerGeographics,
        asking.usage.ListGeoHours,
    ]
    for method in lists:
        assert (await method(request, stranger)).page.total == 0
    assert (await asking.health.GetStreamHealthSummary(request, stranger)).samples == 0
    assert (await asking.usage.GetStreamSummary(request, stranger)).session_seconds == 0
    assert (await asking.now.GetOverview(request, stranger)).viewer_seconds == 0
    wanted = pb.GetStreamStatusesRequest(stream_ids=[request.stream_id])
    assert not (await asking.now.GetStreamStatuses(wanted, stranger)).statuses
    series = pb.GetStreamSeriesRequest(stream_id=request.stream_id, range=asking.span)
    assert not (await asking.now.GetStreamSeries(series, stranger)).at


def methods(servicer: object, prefix: str) -> list[Callable[[Any, Any], Awaitable[Any]]]:
    """The servicer's calls whose names begin so."""
    return [getattr(servicer, name) for name in dir(servicer) if name.startswith(prefix)]


async def test_nonsense_is_refused(asking: Asking) -> None:
    backwards = pb.HistoryRequest(range=pb.Range(from_at=9, until_at=3))
    with pytest.raises(BadRange):
        await asking.lifecycle.ListStreamEvents(backwards, asking.mine)
    endless = pb.HistoryRequest(range=pb.Range(from_at=1, until_at=asking.span.until_at))
    with pytest.raises(BadRange):
        await asking.lifecycle.ListStreamEvents(endless, asking.mine)
    with pytest.raises(BadSubject):
        await asking.lifecycle.ListStreamEvents(pb.HistoryRequest(stream_id="x"), asking.mine)
    with pytest.raises(BadSubject):
        await asking.usage.GetStreamSummary(pb.HistoryRequest(range=asking.span), asking.mine)
