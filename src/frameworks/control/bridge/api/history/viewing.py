"""Viewing as players report it: sums from Periscope, ratios by the one definition."""

from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.contracts.viewing import HOUR_MS, Viewing, share
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.history.asking import history, listed, time_range
from frameworks.control.bridge.api.scalars import at, int32
from frameworks.control.bridge.domain import BadPage

Row = dict[str, Any]

health = ObjectType("AnalyticsHealth")

BINDABLES = [health]

KINDS = {"recording": "DVR", "clip": "CLIP"}
MOST_ASSETS = 100


def series(arguments: Row) -> pb.GetSeriesRequest:
    """The request for a figure by intervals."""
    asked = history(arguments)
    return pb.GetSeriesRequest(
        range=asked.range,
        stream_id=asked.stream_id,
        artifact=asked.artifact,
        interval=arguments.get("interval") or "1h",
    )


def viewing_of(found: pb.Viewing) -> Viewing:
    """The sums as the definitions take them."""
    return Viewing(**{name: getattr(found, name) for name in Viewing.__slots__})


@health.field("sessionQoeSummary")
async def resolve_sessions(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.GetViewing(history(arguments), metadata=here.metadata)
    return session_row(viewing_of(found))


def session_row(viewing: Viewing) -> Row:
    """What viewers lived through."""
    return {
        "sessionCount": int32(viewing.sessions),
        "playedHours": viewing.played_hours,
        "rebufferingRatio": viewing.rebuffer_ratio,
        "rebuffersPerHour": viewing.stalls_per_hour,
        "avgRebufferMs": viewing.stall_ms,
        "frameDropRatio": viewing.drop_ratio,
        "playbackFailureRate": viewing.failure_rate,
        "ebvsRate": viewing.exits_before_start,
        "avgBitrateBps": viewing.bitrate_bps,
        "abrSwitchesPerHour": viewing.switches_per_hour,
        "avgLiveEdgeLatencyMs": viewing.latency_ms,
    }


@health.field("sessionQoeTimeSeries")
async def resolve_session_series(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> list[Row]:
    here = context.of(info)
    found = await here.peers.periscope.GetViewingSeries(series(arguments), metadata=here.metadata)
    return [{"timestamp": at(p.at), **session_row(viewing_of(p.viewing))} for p in found.points]


@health.field("playerBootSummary")
async def resolve_boots(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.GetBoots(history(arguments), metadata=here.metadata)
    return boot_row(found)


def boot_row(boots: pb.Boots) -> Row:
    """How players came to their first frame."""
    return {
        "bootCount": int32(boots.boots),
        "errorCount": int32(boots.failed),
        "p50TtfMs": boots.p50_first_frame_ms,
        "p95TtfMs": boots.p95_first_frame_ms,
        "p99TtfMs": boots.p99_first_frame_ms,
        "avgGatewayResolveMs": share(boots.resolve.ms, boots.resolve.boots),
        "avgMistHydrateMs": share(boots.hydrate.ms, boots.hydrate.boots),
        "avgPlayerSelectMs": share(boots.select.ms, boots.select.boots),
        "avgConnectMs": share(boots.connect.ms, boots.connect.boots),
        "avgPrebufferMs": share(boots.prebuffer.ms, boots.prebuffer.boots),
        "cacheHitRatio": share(boots.cache_hits, boots.boots),
    }


@health.field("playerBootTimeSeries")
async def resolve_boot_series(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> list[Row]:
    here = context.of(info)
    found = await here.peers.periscope.GetBootSeries(series(arguments), metadata=here.metadata)
    return [{"timestamp": at(point.at), **boot_row(point.boots)} for point in found.points]


@health.field("vodRetention")
async def resolve_retention(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.GetRetention(history(arguments), metadata=here.metadata)
    parts = enumerate(zip(found.watched_s, found.reached, strict=True))
    return {
        "bucketWidthS": int32(found.bucket_s),
        "assetDurationS": int32(found.duration_s),
        "totalSessions": int32(found.sessions),
        "points": [
            {"bucketIndex": index, "secondsWatched": float(seconds), "reached": int32(reached)}
            for index, (seconds, reached) in parts
        ],
    }


@health.field("vodRetentionAssets")
async def resolve_retention_assets(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListRetentionAssets(history(arguments), metadata=here.metadata)
    return listed(found.assets, found.page, asset_row)


def asset_row(asset: pb.RetentionAsset) -> Row:
    """An artifact that somebody watched; titles are the catalogue's, which does not exist here."""
    return {
        "artifactHash": asset.artifact,
        "totalSessions": int32(asset.sessions),
        "durationS": int32(asset.duration_s),
        "lastSeen": at(asset.last_seen_at),
    }


@health.field("topAssets")
async def resolve_top(
    _: Any, info: GraphQLResolveInfo, *, timeRange: Row | None = None, limit: int | None = None
) -> list[Row]:
    here = context.of(info)
    top = 10 if limit is None else limit
    if not 1 <= top <= MOST_ASSETS:
        raise BadPage(f"Ask for 1 to {MOST_ASSETS} assets.", field="limit")
    request = pb.GetTopAssetsRequest(range=time_range(timeRange), top=top)
    found = await here.peers.periscope.GetTopAssets(request, metadata=here.metadata)
    return [top_row(asset) for asset in found.assets]


def top_row(asset: pb.TopAsset) -> Row:
    """An artifact by its audience."""
    return {
        "artifactHash": asset.artifact,
        "kind": KINDS.get(asset.kind, "VOD"),
        "totalSessions": int32(asset.sessions),
        "watchHours": asset.played_ms / HOUR_MS,
        "durationS": int32(asset.duration_s),
    }
