"""What happened, event by event."""

from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.history.asking import history, listed, place, track_row, with_stream
from frameworks.control.bridge.api.scalars import at, instant, int32, text
from frameworks.control.bridge.domain import global_id

Row = dict[str, Any]

lifecycle = ObjectType("AnalyticsLifecycle")

BINDABLES = [lifecycle, *with_stream("StreamEvent", "ConnectionEvent", "ViewerSession", "TrackListEvent")]

TYPES = {
    "stream-buffer": "BUFFER_UPDATE",
    "track-list": "TRACK_LIST_UPDATE",
    "stream-view": "PLAY_REWRITE",
    "stream-ingest": "STREAM_SOURCE",
}
LIFECYCLE = {"started": "STREAM_START", "offline": "STREAM_END", "ended": "STREAM_END"}
STATUS = {"started": "LIVE", "live": "LIVE", "offline": "OFFLINE", "ended": "ENDED"}


def event_type(name: str, state: str) -> str:
    """The SDK's word for an event type."""
    return TYPES.get(name) or LIFECYCLE.get(state, "STREAM_LIFECYCLE_UPDATE")


@lifecycle.field("streamEventsConnection")
async def resolve_events(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListStreamEvents(history(arguments), metadata=here.metadata)
    return listed(found.events, found.page, event_row)


def event_row(event: pb.StreamEvent) -> Row:
    """Something that happened to a stream."""
    video = next((t for t in event.tracks if t.type == "video"), None)
    return {
        "id": global_id("StreamEvent", event.event_id),
        "eventId": event.event_id,
        "streamId": event.stream_id,
        "nodeId": text(event.node_id),
        "type": event_type(event.type, event.status),
        "status": STATUS.get(event.status),
        "timestamp": at(event.occurred_at),
        "details": text(event.detail),
        "payload": payload(event),
        "source": "HISTORICAL",
        "bufferState": text(event.buffer_state),
        "hasIssues": bool(event.issues),
        "trackCount": len(event.tracks) or None,
        "primaryWidth": video.width if video else None,
        "primaryHeight": video.height if video else None,
        "primaryFps": video.fps_milli / 1000 if video else None,
        "primaryCodec": text(video.codec) if video else None,
        "primaryBitrate": int32(video.bitrate_kbps) if video else None,
        "uploadedBytes": event.up_bytes or None,
        "downloadedBytes": event.down_bytes or None,
        "totalViewers": int32(event.viewers),
        "requestUrl": text(event.ingest_url),
        "protocol": text(event.protocol),
        "location": text(event.position.city),
        **{k: v for k, v in place(event.position).items() if k != "clientBucket"},
        "sourceRegion": event.region,
        "sourceClusterId": event.cluster_id,
        "streamOriginRegion": event.region,
        "streamOriginClusterId": event.cluster_id,
        "schemaVersion": int32(event.schema_version),
    }


def payload(event: pb.StreamEvent) -> Row:
    """The facts of an event that have no field of their own."""
    facts = {
        "reason": event.reason,
        "encoder": event.encoder,
        "keyId": event.key_id,
        "keyFingerprint": event.key_fingerprint,
        "issues": list(event.issues),
        "healthScore": event.health_score,
        "durationMs": event.duration_ms,
        "claimEpoch": event.claim_epoch,
        "userAgent": event.user_agent,
        "traceId": event.trace_id,
    }
    return {name: value for name, value in facts.items() if value}


@lifecycle.field("bufferEventsConnection")
async def resolve_buffers(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListBufferEvents(history(arguments), metadata=here.metadata)
    return listed(found.events, found.page, buffer_row)


def buffer_row(event: pb.BufferEvent) -> Row:
    """A change of a stream's buffer."""
    return {
        "id": global_id("BufferEvent", event.event_id),
        "eventId": event.event_id,
        "timestamp": at(event.occurred_at),
        "nodeId": text(event.node_id),
        "bufferState": event.state,
        "eventData": text(", ".join(event.issues)),
        "payload": {
            "bufferMs": event.buffer_ms,
            "healthScore": event.health_score,
            "issues": list(event.issues),
        },
    }


@lifecycle.field("connectionEventsConnection")
async def resolve_connections(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListConnectionEvents(history(arguments), metadata=here.metadata)
    return listed(found.events, found.page, connection_row)


def connection_row(event: pb.ConnectionEvent) -> Row:
    """A viewer came or went."""
    return {
        "id": global_id("ConnectionEvent", event.event_id),
        "eventId": event.event_id,
        "timestamp": at(event.occurred_at),
        "streamId": event.stream_id,
        "sessionId": event.session_id,
        "connector": event.connector,
        "nodeId": event.node_id,
        **place(event.position),
        "eventType": event.action,
        "clusterId": event.cluster_id,
        "sessionDurationSeconds": int32(event.seconds),
        "bytesTransferred": event.up_bytes + event.down_bytes,
    }


@lifecycle.field("viewerSessionsConnection")
async def resolve_sessions(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListViewerSessions(history(arguments), metadata=here.metadata)
    return listed(found.sessions, found.page, session_row)


def session_row(session: pb.ViewerSession) -> Row:
    """One viewing session."""
    return {
        "id": global_id("ViewerSession", session.session_id),
        "timestamp": at(session.connected_at),
        "streamId": session.stream_id,
        "nodeId": text(session.node_id),
        "sessionId": session.session_id,
        "connectedAt": instant(session.connected_at),
        "disconnectedAt": instant(session.disconnected_at),
        "connector": text(session.connector),
        **place(session.position),
        "durationSeconds": int32(session.seconds),
        "bytesUp": session.up_bytes,
        "bytesDown": session.down_bytes,
    }


@lifecycle.field("trackListConnection")
async def resolve_tracks(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListTrackLists(history(arguments), metadata=here.metadata)
    return listed(found.lists, found.page, tracks_row)


def tracks_row(found: pb.TrackList) -> Row:
    """The tracks of a stream as of an instant."""
    return {
        "id": global_id("TrackListEvent", found.event_id),
        "streamId": found.stream_id,
        "nodeId": text(found.node_id),
        "trackList": ", ".join(f"{t.type}:{t.codec}" for t in found.tracks),
        "trackCount": len(found.tracks),
        "timestamp": at(found.occurred_at),
        "tracks": [track_row(t) for t in found.tracks],
    }
