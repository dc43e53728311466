"""The analytics root, the overview, and the console's health timeline."""

from typing import Any

from ariadne import ObjectType, QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.history.asking import GIGABYTE, HOUR, time_range
from frameworks.control.bridge.api.scalars import at, int32
from frameworks.control.bridge.domain import global_id, uuid_id

Row = dict[str, Any]

query = QueryType()
analytics = ObjectType("Analytics")
usage = ObjectType("AnalyticsUsage")
overview = ObjectType("PlatformOverview")
health = ObjectType("AnalyticsHealth")

BINDABLES = [query, analytics, usage, overview, health]


def here(*_: Any) -> Row:
    """An object that holds nothing itself."""
    return {}


query.set_field("analytics", here)
for name in ("streaming", "storage", "api"):
    usage.set_field(name, here)
for name in ("usage", "lifecycle", "health", "infra"):
    analytics.set_field(name, here)


def range_row(found: pb.Range) -> Row:
    """The range an answer covers."""
    return {"start": at(found.from_at), "end": at(found.until_at)}


@analytics.field("overview")
async def resolve_overview(_: Any, info: GraphQLResolveInfo, *, timeRange: Row | None = None) -> Row:
    asked = context.of(info)
    request = pb.HistoryRequest(range=time_range(timeRange))
    found = await asked.peers.periscope.GetOverview(request, metadata=asked.metadata)
    viewer_hours = found.viewer_seconds / HOUR
    return {
        "asked": request.range,
        "timeRange": range_row(found.range),
        "totalStreams": int32(found.total_streams),
        "activeStreams": int32(found.active_streams),
        "totalViewers": int32(found.total_viewers),
        "averageViewers": found.average_viewers,
        "peakViewers": int32(found.peak_viewers),
        "peakConcurrentViewers": int32(found.peak_viewers),
        "totalBandwidth": found.bandwidth_bps,
        "peakBandwidth": found.peak_bandwidth_bps,
        "streamHours": found.ingest_seconds / HOUR,
        "ingestHours": found.ingest_seconds / HOUR,
        "viewerHours": viewer_hours,
        "deliveredMinutes": viewer_hours * 60,
        "egressGb": found.egress_bytes / GIGABYTE,
        "totalUploadBytes": found.egress_bytes,
        "totalDownloadBytes": found.ingress_bytes,
        "uniqueViewers": int32(found.unique_viewers),
        "totalViews": int32(found.total_views),
    }


@overview.field("dailyStats")
async def resolve_daily(source: Row, info: GraphQLResolveInfo, *, days: int | None = None) -> list[Row]:
    asked = context.of(info)
    request = pb.GetDailyStatsRequest(range=source["asked"], days=max(0, days or 0))
    found = await asked.peers.periscope.GetDailyStats(request, metadata=asked.metadata)
    return [day_row(day) for day in found.days]


def day_row(day: pb.DailyStat) -> Row:
    """One day of the tenant."""
    return {
        "id": global_id("TenantDailyStat", str(day.day_at)),
        "date": at(day.day_at),
        "egressGb": day.egress_bytes / GIGABYTE,
        "viewerHours": day.viewer_seconds / HOUR,
        "uniqueViewers": int32(day.unique_viewers),
        "totalSessions": int32(day.total_sessions),
        "totalViews": int32(day.total_views),
    }


@health.field("streamSeries")
async def resolve_series(
    _: Any,
    info: GraphQLResolveInfo,
    *,
    streamId: str,
    timeRange: Row | None = None,
    points: int | None = None,
) -> Row:
    asked = context.of(info)
    request = pb.GetStreamSeriesRequest(
        stream_id=uuid_id("Stream", streamId),
        range=time_range(timeRange),
        points=min(2000, max(0, points or 0)),
    )
    found = await asked.peers.periscope.GetStreamSeries(request, metadata=asked.metadata)
    return {
        "stepSeconds": found.step_us / 1_000_000,
        "at": [at(us) for us in found.at],
        "bitrateKbps": list(found.bitrate_kbps),
        "fps": [fps / 1000 for fps in found.fps_milli],
        "keyframeMs": list(found.keyframe_ms),
        "bufferMs": list(found.buffer_ms),
        "jitterMs": list(found.jitter_ms),
        "viewers": list(found.viewers),
        "healthScore": list(found.health_score),
        "bandwidthOutBps": list(found.bandwidth_out_bps),
        "issues": [codes.split(",") if codes else [] for codes in found.issues],
    }
