"""What was watched: summaries, hours, days and places."""

from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.control.bridge.api import context, relay
from frameworks.control.bridge.api.history.asking import (
    GIGABYTE,
    HOUR,
    history,
    listed,
    loss,
    percent,
    place,
    ratio,
    time_range,
    with_stream,
)
from frameworks.control.bridge.api.history.overview import range_row
from frameworks.control.bridge.api.scalars import at, int32, text
from frameworks.control.bridge.domain import global_id, uuid_id

Row = dict[str, Any]

streaming = ObjectType("AnalyticsUsageStreaming")

BINDABLES = [
    streaming,
    *with_stream(
        "StreamAnalyticsSummary",
        "ViewerCountBucket",
        "ViewerGeographic",
        "GeographicDistribution",
        "StreamAnalyticsDaily",
        "ViewerHoursHourly",
        "StreamConnectionHourly",
        "QualityTierDaily",
    ),
]

SORTS = {
    "EGRESS_GB": "egress",
    "UNIQUE_VIEWERS": "unique_viewers",
    "TOTAL_VIEWS": "total_views",
    "VIEWER_HOURS": "viewer_seconds",
}


@streaming.field("streamAnalyticsSummary")
async def resolve_summary(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    request = history(arguments)
    found = await here.peers.periscope.GetStreamSummary(request, metadata=here.metadata)
    return summary_row(found) | {"streamId": request.stream_id}


@streaming.field("streamAnalyticsSummariesConnection")
async def resolve_summaries(
    _: Any,
    info: GraphQLResolveInfo,
    *,
    timeRange: Row,
    page: Row | None = None,
    sortBy: str | None = None,
    sortOrder: str | None = None,
) -> Row:
    here = context.of(info)
    request = pb.ListStreamSummariesRequest(
        range=time_range(timeRange),
        page=relay.page(pb.Page(), page),
        sort_by=SORTS[sortBy or "EGRESS_GB"],
        ascending=sortOrder == "ASC",
    )
    found = await here.peers.periscope.ListStreamSummaries(request, metadata=here.metadata)
    return listed(found.summaries, found.page, summary_row)


def summary_row(found: pb.StreamSummary) -> Row:
    """One stream over a range of time."""
    sessions = found.total_sessions
    return {
        "streamId": found.stream_id,
        "timeRange": range_row(found.range),
        "rangeAvgViewers": found.avg_viewers,
        "rangePeakConcurrentViewers": int32(found.peak_viewers),
        "rangeTotalViews": int32(found.total_views),
        "rangeTotalSessions": int32(sessions),
        "rangeAvgBufferHealth": found.avg_buffer_ms,
        "rangeAvgBitrate": int32(found.avg_bitrate_kbps),
        "rangeAvgFps": found.avg_fps,
        "rangePacketLossRate": loss(found.packets_lost, found.packets_sent),
        "rangeAvgConnectionTime": ratio(found.session_seconds, sessions),
        "rangeViewerHours": found.session_seconds / HOUR,
        "rangeEgressGb": found.egress_bytes / GIGABYTE,
        "rangeAvgSessionSeconds": ratio(found.session_seconds, sessions),
        "rangeAvgBytesPerSession": ratio(found.egress_bytes, sessions),
        "rangeUniqueViewers": int32(found.unique_viewers),
        "rangeUniqueCountries": int32(found.unique_countries),
        "rangeRebufferCount": int32(found.rebuffer_count),
        "rangeIssueCount": int32(found.issue_count),
        "rangeBufferDryCount": int32(found.buffer_dry_count),
        "rangeQuality": quality_row(found.quality),
        "rangeEgressSharePercent": percent(found.egress_bytes, found.tenant_egress_bytes),
        "rangeViewerSharePercent": percent(sessions, found.tenant_sessions),
        "rangeViewerHoursSharePercent": percent(found.session_seconds, found.tenant_session_seconds),
    }


def quality_row(minutes: pb.QualityMinutes) -> Row:
    """Minutes by resolution and codec."""
    return {
        "tier2160pMinutes": int32(minutes.tier_2160p),
        "tier1440pMinutes": int32(minutes.tier_1440p),
        "tier1080pMinutes": int32(minutes.tier_1080p),
        "tier720pMinutes": int32(minutes.tier_720p),
        "tier480pMinutes": int32(minutes.tier_480p),
        "tierSdMinutes": int32(minutes.tier_sd),
        "codecH264Minutes": int32(minutes.codec_h264),
        "codecH265Minutes": int32(minutes.codec_h265),
        "codecVp9Minutes": int32(minutes.codec_vp9),
        "codecAv1Minutes": int32(minutes.codec_av1),
    }


@streaming.field("viewerTimeSeriesConnection")
async def resolve_viewer_series(
    _: Any,
    info: GraphQLResolveInfo,
    *,
    streamId: str,
    page: Row | None = None,
    timeRange: Row | None = None,
    interval: str | None = None,
) -> Row:
    here = context.of(info)
    request = pb.ListViewerCountsRequest(
        stream_id=uuid_id("Stream", streamId),
        range=time_range(timeRange),
        page=relay.page(pb.Page(), page),
        interval=interval or "",
    )
    found = await here.peers.periscope.ListViewerCounts(request, metadata=here.metadata)
    return listed(found.counts, found.page, count_row)


def count_row(count: pb.ViewerCount) -> Row:
    """Viewers of one interval."""
    return {
        "timestamp": at(count.bucket_at),
        "viewerCount": int32(count.viewers),
        "streamId": text(count.stream_id),
    }


@streaming.field("viewerGeographicsConnection")
async def resolve_geographics(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListViewerGeographics(history(arguments), metadata=here.metadata)
    return listed(found.viewers, found.page, viewer_row)


def viewer_row(viewer: pb.ViewerGeographic) -> Row:
    """A viewer event and where it came from."""
    return {
        "timestamp": at(viewer.occurred_at),
        "streamId": text(viewer.stream_id),
        "nodeId": text(viewer.node_id),
        **place(viewer.position),
        "viewerCount": int32(viewer.viewers),
        "eventType": text(viewer.action),
        "source": text(viewer.source),
        "sessionDurationSeconds": int32(viewer.seconds),
        "bytesTransferred": viewer.total_bytes,
        "connector": text(viewer.connector),
    }


@streaming.field("viewerGeoHourlyConnection")
async def resolve_geo_hours(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListGeoHours(history(arguments), metadata=here.metadata)
    return listed(found.hours, found.page, geo_hour_row)


def geo_hour_row(hour: pb.GeoHour) -> Row:
    """One country in one hour."""
    return {
        "id": global_id("ViewerGeoHourly", str(hour.hour_at), hour.country),
        "hour": at(hour.hour_at),
        "countryCode": hour.country,
        "viewerCount": int32(hour.viewers),
        "viewerHours": hour.session_seconds / HOUR,
        "egressGb": hour.egress_bytes / GIGABYTE,
    }


@streaming.field("geographicDistribution")
async def resolve_distribution(
    _: Any,
    info: GraphQLResolveInfo,
    *,
    streamId: str | None = None,
    timeRange: Row | None = None,
    topN: int | None = None,
) -> Row:
    here = context.of(info)
    stream = uuid_id("Stream", streamId) if streamId else ""
    request = pb.GetGeographicDistributionRequest(
        stream_id=stream, range=time_range(timeRange), top=max(0, topN or 0)
    )
    found = await here.peers.periscope.GetGeographicDistribution(request, metadata=here.metadata)
    total = found.total_viewers
    return {
        "timeRange": range_row(found.range),
        "streamId": text(stream),
        "topCountries": [share_row(p, total) for p in found.countries],
        "topCities": [share_row(p, total) for p in found.cities],
        "uniqueCountries": int32(found.unique_countries),
        "uniqueCities": int32(found.unique_cities),
        "totalViewers": int32(total),
        "viewersByCountry": [
            {"timestamp": at(c.hour_at), "countryCode": c.country, "viewerCount": int32(c.viewers)}
            for c in found.by_hour
        ],
    }


def share_row(found: pb.PlaceCount, total: int) -> Row:
    """The viewers of one place and their share of all."""
    where = found.position
    return {
        "city": where.city,
        "countryCode": where.country,
        "viewerCount": int32(found.viewers),
        "percentage": percent(found.viewers, total) or 0.0,
        "latitude": where.latitude or None,
        "longitude": where.longitude or None,
    }


@streaming.field("streamAnalyticsDailyConnection")
async def resolve_stream_days(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListStreamDays(history(arguments), metadata=here.metadata)
    return listed(found.days, found.page, stream_day_row)


def stream_day_row(day: pb.StreamDay) -> Row:
    """One day of one stream."""
    return {
        "id": global_id("StreamAnalyticsDaily", day.stream_id, str(day.day_at)),
        "day": at(day.day_at),
        "streamId": day.stream_id,
        "totalViews": int32(day.total_views),
        "uniqueViewers": int32(day.unique_viewers),
        "uniqueCountries": int32(day.unique_countries),
        "uniqueCities": int32(day.unique_cities),
        "egressBytes": day.egress_bytes,
    }


@streaming.field("tenantAnalyticsDailyConnection")
async def resolve_tenant_days(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListTenantDays(history(arguments), metadata=here.metadata)
    return listed(found.days, found.page, tenant_day_row)


def tenant_day_row(day: pb.TenantDay) -> Row:
    """One day of the tenant."""
    return {
        "id": global_id("TenantAnalyticsDaily", str(day.day_at)),
        "day": at(day.day_at),
        "totalStreams": int32(day.total_streams),
        "totalViews": int32(day.total_views),
        "uniqueViewers": int32(day.unique_viewers),
        "egressBytes": day.egress_bytes,
    }


@streaming.field("viewerHoursHourlyConnection")
async def resolve_viewer_hours(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListViewerHours(history(arguments), metadata=here.metadata)
    return listed(found.hours, found.page, viewer_hour_row)


def viewer_hour_row(hour: pb.ViewerHour) -> Row:
    """One hour of one stream in one country."""
    return {
        "id": global_id("ViewerHoursHourly", hour.stream_id, str(hour.hour_at), hour.country),
        "hour": at(hour.hour_at),
        "streamId": text(hour.stream_id),
        "countryCode": text(hour.country),
        "uniqueViewers": int32(hour.unique_viewers),
        "totalSessionSeconds": int32(hour.session_seconds),
        "totalBytes": hour.egress_bytes,
        "viewerHours": hour.session_seconds / HOUR,
        "egressGb": hour.egress_bytes / GIGABYTE,
    }


@streaming.field("streamConnectionHourlyConnection")
async def resolve_connection_hours(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListConnectionHours(history(arguments), metadata=here.metadata)
    return listed(found.hours, found.page, connection_hour_row)


def connection_hour_row(hour: pb.ConnectionHour) -> Row:
    """Connections to one stream in one hour."""
    return {
        "id": global_id("StreamConnectionHourly", hour.stream_id, str(hour.hour_at)),
        "hour": at(hour.hour_at),
        "streamId": hour.stream_id,
        "totalBytes": hour.total_bytes,
        "uniqueViewers": int32(hour.unique_viewers),
        "totalSessions": int32(hour.total_sessions),
    }


@streaming.field("qualityTierDailyConnection")
async def resolve_quality_days(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListQualityDays(history(arguments), metadata=here.metadata)
    return listed(found.days, found.page, quality_day_row)


def quality_day_row(day: pb.QualityDay) -> Row:
    """One day of one stream by resolution and codec."""
    return {
        "id": global_id("QualityTierDaily", day.stream_id, str(day.day_at)),
        "day": at(day.day_at),
        "streamId": day.stream_id,
        **quality_row(day.quality),
        "primaryTier": day.primary_tier,
        "avgBitrate": int32(day.avg_bitrate_kbps),
        "avgFps": day.avg_fps,
    }
