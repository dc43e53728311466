"""History of one real stream: two acts of an encoder and its viewers, asked about in each by the published SDK."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fixtures_answered import Client, Made, answers, client_of, make_stream, watch
from fixtures_platform import Platform, Tenant, eventually, push
from livepeer_frameworks.graphql import StreamSummarySortField, TimeRangeInput

Reader = Callable[["Story"], Awaitable[Any]]
AGENT = "Answered/1.0"


@dataclass
class Story:
    """A tenant, its stream, and what each reader said at the end of the first act."""

    fw: Client
    tenant: Tenant
    stream: Made
    first: dict[Reader, Any] = field(default_factory=dict)

    async def until(self, reader: Reader, wanted: Callable[[Any], Any]) -> Any:
        """What `reader` says once it is as wanted; fails when it never is."""

        async def ask() -> Any:
            found = await reader(self)
            return (found,) if wanted(found) else None

        return (await eventually(ask, within=60, every=0.5, what=reader.__name__))[0]


READERS: dict[Reader, Callable[[Any], Any]] = {}


def ready(wanted: Callable[[Any], Any]) -> Callable[[Reader], Reader]:
    """Marks a reader; the first act ends when what it says is `wanted`."""

    def mark(reader: Reader) -> Reader:
        READERS[reader] = wanted
        return reader

    return mark


def lately() -> TimeRangeInput:
    """The last hour and the coming minute."""
    now = datetime.now(UTC)
    return TimeRangeInput(start=now - timedelta(hours=1), end=now + timedelta(minutes=1))


def usage(answer: Any) -> Any:
    """The usage branch of an answer."""
    return answer.analytics.usage.streaming


@pytest.fixture(scope="module")
async def story(platform: Platform) -> AsyncIterator[Story]:
    """Act one: an encoder, a viewer that leaves and one that stays. Act two: a smaller picture, a third viewer."""
    tenant = await platform.tenant()
    fw = client_of(tenant, platform)
    told = Story(fw, tenant, await make_stream(platform, tenant, "The story"))
    url = f"{platform.rtmp_url}/{told.stream.key}"
    encoder = await push(url, seconds=900, gop=60)
    viewers = [await watch(platform, told.stream.playback_id, agent=f"{AGENT} {n}") for n in range(2)]
    try:
        told.first[now] = await told.until(now, lambda found: found[1] == 2)
        await viewers[0].leave()
        for reader, wanted in READERS.items():
            told.first[reader] = await told.until(reader, wanted)
        await encoder.stop()
        await viewers[1].leave()
        await told.until(now, lambda found: found == (False, 0))
        encoder = await push(url, seconds=900, gop=30, extra=("-s", "426x240"))
        viewers.append(await watch(platform, told.stream.playback_id, agent=AGENT))
        yield told
    finally:
        for viewer in viewers:
            await viewer.leave()
        await encoder.stop()
        await fw.aclose()


async def now(story: Story) -> tuple[bool, int]:
    """Live or not, and viewers."""
    found = (await story.fw.get_stream_metrics(story.stream.id)).stream
    assert found is not None
    assert found.metrics is not None
    return found.metrics.is_live, found.metrics.current_viewers


@answers("GetStreamMetrics")
async def test_metrics_count_open_viewers(story: Story) -> None:
    assert story.first[now] == (True, 2)
    assert await story.until(now, lambda found: found == (True, 1))


@ready(lambda found: found and found[0][1])
async def listed(story: Story) -> list[tuple[str, bool]]:
    """Streams and whether they are live."""
    page = (await story.fw.list_stream_metrics()).streams_connection
    return [(s.stream_id, s.metrics is not None and s.metrics.is_live) for s in page.nodes]


@answers("ListStreamMetrics")
async def test_listed_metrics_tell_live_streams_from_others(platform: Platform, story: Story) -> None:
    assert story.first[listed] == [(story.stream.id, True)]
    other = await make_stream(platform, story.tenant, "Never live")
    assert await listed(story) == [(other.id, False), (story.stream.id, True)]


@ready(lambda kinds: kinds["STREAM_START"] == 1 and kinds["BUFFER_UPDATE"])
async def stream_events(story: Story) -> Counter[str]:
    """Events of the stream by type."""
    found = await story.fw.get_stream_events_connection(story.stream.id)
    return Counter(e.node.type_.value for e in found.analytics.lifecycle.stream_events_connection.edges)


@answers("GetStreamEventsConnection")
async def test_each_start_and_end_is_an_event(story: Story) -> None:
    assert story.first[stream_events]["STREAM_END"] == 0
    then = await story.until(stream_events, lambda kinds: kinds["STREAM_START"] == 2)
    assert then["STREAM_END"] >= 1
    assert then["STREAM_SOURCE"] == 2


@ready(bool)
async def buffers(story: Story) -> list[str]:
    """Buffer states, newest first."""
    found = await story.fw.get_buffer_events_connection(story.stream.id)
    return [e.node.buffer_state.value for e in found.analytics.lifecycle.buffer_events_connection.edges]


@answers("GetBufferEventsConnection")
async def test_the_buffer_fills_and_empties_with_the_encoder(story: Story) -> None:
    assert story.first[buffers][-1] == "FULL"
    then = await story.until(buffers, lambda states: states.count("FULL") == 2)
    assert "EMPTY" in then


@ready(bool)
async def pictures(story: Story) -> list[tuple[int | None, int | None]]:
    """Sizes of the video track, newest first."""
    found = await story.fw.get_track_list_connection(story.stream.id)
    lists = [e.node.tracks or [] for e in found.analytics.lifecycle.track_list_connection.edges]
    return [(t.width, t.height) for tracks in lists for t in tracks if t.track_type == "video"]


@answers("GetTrackListConnection")
async def test_track_lists_tell_the_size_of_the_picture(story: Story) -> None:
    assert set(story.first[pictures]) == {(640, 360)}
    then = await story.until(pictures, lambda sizes: (426, 240) in sizes)
    assert then[0] == (426, 240)


@ready(lambda found: found["connect"] == 2 and found["disconnect"] == 1)
async def connections(story: Story) -> Counter[str]:
    """Viewers coming and going."""
    found = await story.fw.get_connection_events_connection(stream_id=story.stream.id)
    return Counter(e.node.event_type for e in found.analytics.lifecycle.connection_events_connection.edges)


@answers("GetConnectionEventsConnection")
async def test_each_viewer_comes_and_goes_once(story: Story) -> None:
    assert story.first[connections] == {"connect": 2, "disconnect": 1}
    assert await story.until(connections, lambda seen: seen == {"connect": 3, "disconnect": 2})


@ready(lambda found: len(found) == 2 and found[-1])
async def sessions(story: Story) -> list[bool]:
    """Sessions, newest first: whether each has ended."""
    found = await story.fw.get_viewer_sessions_connection(stream_id=story.stream.id)
    rows = [e.node for e in found.analytics.lifecycle.viewer_sessions_connection.edges]
    assert all(row.connector and row.node_id == "node-1" for row in rows)
    assert all((row.bytes_up or 0) > 0 for row in rows if row.disconnected_at)
    return [row.disconnected_at is not None for row in rows]


@answers("GetViewerSessionsConnection")
async def test_sessions_are_open_until_their_viewer_leaves(story: Story) -> None:
    assert story.first[sessions] == [False, True]
    assert await story.until(sessions, lambda ended: ended == [False, True, True])


@ready(lambda found: len(found) >= 2)
async def measurements(story: Story) -> list[tuple[int | None, float | None]]:
    """Width and keyframe distance of each measurement, newest first."""
    found = await story.fw.get_stream_health_connection(stream_id=story.stream.id)
    rows = [e.node for e in found.analytics.health.stream_health_connection.edges]
    return [(row.width, row.keyframe_ms_max) for row in rows]


@answers("GetStreamHealthConnection")
async def test_measurements_follow_the_encoder(story: Story) -> None:
    assert {width for width, _ in story.first[measurements]} == {640}
    assert story.first[measurements][0][1] == pytest.approx(2000, abs=100)
    then = await story.until(measurements, lambda rows: rows[0][0] == 426 and rows[0][1] < 1500)
    assert then[0][1] == pytest.approx(1000, abs=100)


@ready(lambda found: found[0] > 0)
async def health(story: Story) -> tuple[int, float]:
    """Samples and frame rate of the hour."""
    found = await story.fw.get_stream_health_summary(stream_id=story.stream.id, time_range=lately())
    summary = found.analytics.health.stream_health_summary
    return summary.sample_count, summary.avg_fps


@answers("GetStreamHealthSummary")
async def test_the_health_summary_grows_with_samples(story: Story) -> None:
    samples, rate = story.first[health]
    assert rate == pytest.approx(30, abs=3)
    assert await story.until(health, lambda found: found[0] > samples)


@ready(bool)
async def health_5m(story: Story) -> int:
    """The least average bitrate of a five-minute bucket, in kilobits per second."""
    found = await story.fw.get_stream_health_5_m_connection(story.stream.id)
    rows = [e.node for e in found.analytics.health.stream_health_5_m_connection.edges]
    return min((row.avg_bitrate for row in rows), default=0)


@answers("GetStreamHealth5mConnection")
async def test_buckets_of_five_minutes_average_the_bitrate(story: Story) -> None:
    before = story.first[health_5m]
    assert 300 < before < 1500
    assert await story.until(health_5m, lambda rate: rate != before)


@ready(lambda found: found[0] == 1 and found[1] > 0)
async def overview(story: Story) -> tuple[int, float, int]:
    """Streams live now, gigabytes sent, sessions seen."""
    found = (await story.fw.get_overview(lately())).analytics.overview
    assert found is not None
    return found.active_streams, found.egress_gb, found.peak_viewers


@answers("GetOverview")
async def test_the_overview_adds_up_what_was_sent(story: Story) -> None:
    _, sent, peak = story.first[overview]
    assert peak == 2
    assert await story.until(overview, lambda found: found[0] == 1 and found[1] > sent)


@ready(lambda found: found >= 1)
async def days(story: Story) -> int:
    """Sessions that ended in the last days."""
    found = (await story.fw.get_daily_stats(days=2)).analytics.overview
    assert found is not None
    return sum(day.total_sessions for day in found.daily_stats)


@answers("GetDailyStats")
async def test_days_count_ended_sessions(story: Story) -> None:
    assert story.first[days] == 1
    assert await story.until(days, lambda count: count == 2)


@ready(lambda found: found[1] >= 1)
async def summary(story: Story) -> tuple[int, int]:
    """Most viewers at once, and sessions that ended."""
    found = usage(
        await story.fw.get_stream_analytics_summary(story.stream.id, lately())
    ).stream_analytics_summary
    assert found.range_egress_share_percent in (None, 100)
    return found.range_peak_concurrent_viewers, found.range_total_sessions


@answers("GetStreamAnalyticsSummary")
async def test_the_summary_counts_peak_and_sessions(story: Story) -> None:
    assert story.first[summary] == (2, 1)
    assert await story.until(summary, lambda found: found == (2, 2))


@ready(lambda found: found.get("The story", 0) > 0)
async def ranking(story: Story) -> dict[str, float]:
    """Gigabytes sent by stream, most first."""
    found = await story.fw.get_stream_analytics_summaries_connection(
        lately(), sort_by=StreamSummarySortField.EGRESS_GB
    )
    rows = [e.node for e in usage(found).stream_analytics_summaries_connection.edges]
    return {row.stream.name: row.range_egress_gb for row in rows if row.stream is not None}


@answers("GetStreamAnalyticsSummariesConnection")
async def test_streams_are_ranked_by_what_they_sent(story: Story) -> None:
    before = story.first[ranking]
    assert await story.until(ranking, lambda found: found["The story"] > before["The story"])


@ready(lambda found: found == 2)
async def audience(story: Story) -> int:
    """The most viewers of an interval."""
    found = await story.fw.get_viewer_time_series_connection(story.stream.id, interval="5m")
    return max((e.node.viewer_count for e in usage(found).viewer_time_series_connection.edges), default=0)


@answers("GetViewerTimeSeriesConnection")
async def test_the_series_shows_the_largest_audience(platform: Platform, story: Story) -> None:
    assert story.first[audience] == 2
    more = [await watch(platform, story.stream.playback_id, agent=f"{AGENT} {n}") for n in range(2)]
    try:
        assert await story.until(audience, lambda most: most == 3)
    finally:
        for viewer in more:
            await viewer.leave()


@ready(bool)
async def quality(story: Story) -> list[tuple[str, int, float]]:
    """Tier, bitrate and frame rate of each day."""
    found = await story.fw.get_quality_tier_daily_connection(stream_id=story.stream.id)
    rows = [e.node for e in usage(found).quality_tier_daily_connection.edges]
    return [(row.primary_tier, row.avg_bitrate, row.avg_fps) for row in rows]


@answers("GetQualityTierDailyConnection")
async def test_days_have_a_quality(story: Story) -> None:
    before = story.first[quality]
    assert before[0][0] == "SD"
    assert await story.until(quality, lambda found: found[0][1] != before[0][1])


@ready(lambda found: found and found[0] >= 1)
async def stream_days(story: Story) -> list[float]:
    """Bytes of each day of the stream."""
    found = await story.fw.get_stream_analytics_daily_connection(stream_id=story.stream.id)
    return [e.node.egress_bytes for e in usage(found).stream_analytics_daily_connection.edges]


@answers("GetStreamAnalyticsDailyConnection")
async def test_a_streams_day_adds_up_its_bytes(story: Story) -> None:
    before = story.first[stream_days]
    assert await story.until(stream_days, lambda found: sum(found) > sum(before))


@ready(lambda found: found and found[0][1] >= 1)
async def tenant_days(story: Story) -> list[tuple[int, float]]:
    """Streams and bytes of each day of the tenant."""
    found = await story.fw.get_tenant_analytics_daily_connection()
    rows = [e.node for e in usage(found).tenant_analytics_daily_connection.edges]
    return [(row.total_streams, row.egress_bytes) for row in rows]


@answers("GetTenantAnalyticsDailyConnection")
async def test_a_tenants_day_adds_up_its_streams(story: Story) -> None:
    before = story.first[tenant_days]
    assert before[0][0] == 1
    assert await story.until(tenant_days, lambda found: found[0][1] > before[0][1])


@ready(bool)
async def viewer_hours(story: Story) -> int:
    """Seconds watched."""
    found = await story.fw.get_viewer_hours_hourly_connection(stream_id=story.stream.id)
    return sum(e.node.total_session_seconds for e in usage(found).viewer_hours_hourly_connection.edges)


@answers("GetViewerHoursHourlyConnection")
async def test_hours_of_viewing_add_up(story: Story) -> None:
    before = story.first[viewer_hours]
    assert await story.until(viewer_hours, lambda seconds: seconds > before)


@ready(lambda found: found == 1)
async def connection_hours(story: Story) -> int:
    """Sessions that ended, by the hour."""
    found = await story.fw.get_stream_connection_hourly_connection(stream_id=story.stream.id)
    return sum(e.node.total_sessions for e in usage(found).stream_connection_hourly_connection.edges)


@answers("GetStreamConnectionHourlyConnection")
async def test_hours_count_ended_sessions(story: Story) -> None:
    assert story.first[connection_hours] == 1
    assert await story.until(connection_hours, lambda count: count >= 2)


@answers("GetRoutingEventsConnection", "GetRoutingEfficiency")
async def test_routing_is_history_of_whoever_owns_the_cluster(platform: Platform, story: Story) -> None:
    operator = await platform.tenant(operator=True)
    fw = client_of(operator, platform)

    async def decisions() -> list[tuple[str, str]]:
        found = await fw.get_routing_events_connection(stream_id=story.stream.id)
        rows = [e.node for e in found.analytics.infra.routing_events_connection.edges]
        assert {row.stream_tenant_id for row in rows} <= {story.tenant.tenant_id}
        assert all(row.stream is None for row in rows)
        return [(row.selected_node, row.status) for row in rows]

    async def efficiency() -> tuple[int, int]:
        found = await fw.get_routing_efficiency(story.stream.id, lately())
        counted = found.analytics.infra.routing_efficiency
        return counted.total_decisions, counted.success_count

    async def later(count: int) -> bool:
        return len(await decisions()) > count and await efficiency() > before

    first, before = await decisions(), await efficiency()
    assert ("node-1", "success") in first
    assert before[1] >= 1
    await platform.play(story.stream.playback_id)
    await eventually(lambda: later(len(first)), what="one more decision")
    own = await story.fw.get_routing_events_connection(stream_id=story.stream.id)
    assert own.analytics.infra.routing_events_connection.total_count == 0
    await fw.aclose()
