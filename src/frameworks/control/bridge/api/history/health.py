"""How well streams ran, and how viewing was for clients."""

from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.history.asking import history, listed, loss, with_stream
from frameworks.control.bridge.api.scalars import at, int32, text
from frameworks.control.bridge.domain import global_id

Row = dict[str, Any]

health = ObjectType("AnalyticsHealth")

BINDABLES = [health, *with_stream("StreamHealthMetric", "ClientMetrics5m", "RebufferingEvent")]


@health.field("streamHealthConnection")
async def resolve_health(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListStreamHealth(history(arguments), metadata=here.metadata)
    return listed(found.samples, found.page, sample_row)


def sample_row(sample: pb.StreamHealth) -> Row:
    """One measurement of a stream."""
    return {
        "id": global_id("StreamHealthMetric", sample.event_id),
        "timestamp": at(sample.occurred_at),
        "streamId": sample.stream_id,
        "nodeId": sample.node_id,
        "issuesDescription": text(", ".join(sample.issues)),
        "hasIssues": bool(sample.issues),
        "bitrate": int32(sample.bitrate_kbps),
        "fps": sample.fps_milli / 1000,
        "width": sample.width or None,
        "height": sample.height or None,
        "codec": text(sample.codec),
        "qualityTier": text(sample.quality_tier),
        "gopSize": round(sample.keyframe_ms * sample.fps_milli / 1_000_000) or None,
        "keyframeMsMax": sample.keyframe_ms or None,
        "keyframeMsMin": sample.keyframe_min_ms or None,
        "frameJitterMs": sample.jitter_ms,
        "bufferState": "FULL" if sample.buffer_ms else "EMPTY",
        "bufferHealth": sample.health_score / 100,
        "bufferSize": int32(sample.buffer_ms),
        "audioChannels": sample.audio_channels or None,
        "audioSampleRate": int32(sample.audio_rate) or None,
        "audioCodec": text(sample.audio_codec),
        "audioBitrate": int32(sample.audio_kbps) or None,
    }


@health.field("streamHealth5mConnection")
async def resolve_health_5m(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListStreamHealth5m(history(arguments), metadata=here.metadata)
    return listed(found.buckets, found.page, bucket_row)


def bucket_row(bucket: pb.StreamHealth5m) -> Row:
    """Five minutes of a stream."""
    return {
        "id": global_id("StreamHealth5m", bucket.stream_id, str(bucket.bucket_at), bucket.node_id),
        "timestamp": at(bucket.bucket_at),
        "nodeId": text(bucket.node_id),
        "rebufferCount": int32(bucket.rebuffer_count),
        "issueCount": int32(bucket.issue_count),
        "sampleIssues": text(", ".join(bucket.sample_issues)),
        "avgBitrate": int32(bucket.avg_bitrate_kbps),
        "avgFps": bucket.avg_fps,
        "avgBufferHealth": bucket.avg_health_score / 100,
        "avgFrameJitterMs": bucket.avg_jitter_ms,
        "maxFrameJitterMs": bucket.max_jitter_ms,
        "bufferDryCount": int32(bucket.buffer_dry_count),
        "qualityTier": text(bucket.quality_tier),
    }


@health.field("streamHealthSummary")
async def resolve_summary(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.GetStreamHealthSummary(history(arguments), metadata=here.metadata)
    return {
        "avgBitrate": found.avg_bitrate_kbps,
        "avgFps": found.avg_fps,
        "avgBufferHealth": found.avg_health_score / 100,
        "totalRebufferCount": int32(found.rebuffer_count),
        "totalIssueCount": int32(found.issue_count),
        "sampleCount": int32(found.samples),
        "hasActiveIssues": found.has_active_issues,
        "currentQualityTier": text(found.quality_tier),
    }


@health.field("clientQoeConnection")
async def resolve_qoe(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListClientQoe(history(arguments), metadata=here.metadata)
    return listed(found.buckets, found.page, qoe_row)


def qoe_row(bucket: pb.ClientQoe) -> Row:
    """Five minutes of viewing as clients had it."""
    return {
        "id": global_id("ClientMetrics5m", bucket.stream_id, str(bucket.bucket_at), bucket.node_id),
        "timestamp": at(bucket.bucket_at),
        "streamId": bucket.stream_id,
        "nodeId": bucket.node_id,
        "activeSessions": int32(bucket.active_sessions),
        "avgBandwidthIn": bucket.avg_bandwidth_in_bps,
        "avgBandwidthOut": bucket.avg_bandwidth_out_bps,
        "avgConnectionTime": bucket.avg_connection_seconds,
        "packetLossRate": loss(bucket.packets_lost, bucket.packets_sent),
    }


@health.field("clientQoeSummary")
async def resolve_qoe_summary(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.GetClientQoeSummary(history(arguments), metadata=here.metadata)
    average = loss(found.packets_lost, found.packets_sent)
    return {
        "avgPacketLossRate": average,
        "peakPacketLossRate": None if average is None else found.peak_packet_loss,
        "avgBandwidthIn": found.avg_bandwidth_in_bps,
        "avgBandwidthOut": found.avg_bandwidth_out_bps,
        "avgConnectionTime": found.avg_connection_seconds,
        "totalActiveSessions": int32(found.active_sessions),
    }


@health.field("rebufferingEventsConnection")
async def resolve_rebufferings(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListRebufferings(history(arguments), metadata=here.metadata)
    return listed(found.events, found.page, rebuffering_row)


def rebuffering_row(event: pb.Rebuffering) -> Row:
    """Playback stopped, or went on."""
    return {
        "timestamp": at(event.ended_at or event.started_at),
        "streamId": event.stream_id,
        "nodeId": event.node_id,
        "bufferState": event.state or "DRY",
        "previousState": event.previous_state or "FULL",
        "rebufferStart": not event.ended_at,
        "rebufferEnd": bool(event.ended_at),
    }
