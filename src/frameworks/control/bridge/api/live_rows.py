"""Rows of live results from events as they happened."""

from typing import Any
from uuid import UUID

from frameworks.contracts.pb import events_v1_pb2 as pb
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.control.bridge.api.history.asking import bucket
from frameworks.control.bridge.api.history.lifecycle import STATUS, event_type
from frameworks.control.bridge.api.scalars import at, int32, text
from frameworks.control.bridge.domain import global_id

Row = dict[str, Any]

NODE_STATUS = {"up": "HEALTHY", "degraded": "DEGRADED", "down": "UNHEALTHY"}


def uuid_text(value: bytes) -> str:
    """A 16-byte id as text; empty for none."""
    return str(UUID(bytes=value)) if len(value) == 16 else ""


def video_of(tracks: Any) -> pb.Track | None:
    """The first video track."""
    return next((t for t in tracks if t.type == "video"), None)


def audio_of(tracks: Any) -> pb.Track | None:
    """The first audio track."""
    return next((t for t in tracks if t.type == "audio"), None)


def stream_event(event: pb.Event) -> Row | None:
    """Something that happened to a stream."""
    kind = event.WhichOneof("data")
    state = event.stream_lifecycle.state if kind == "stream_lifecycle" else ""
    tracks = event.stream_buffer.tracks or event.track_list.tracks
    video = video_of(tracks)
    identity = uuid_text(event.event_id)
    ingest, life, buffer = event.stream_ingest, event.stream_lifecycle, event.stream_buffer
    return {
        "id": global_id("StreamEvent", identity),
        "eventId": identity,
        "streamId": text(uuid_text(event.stream_id)),
        "nodeId": text(event.node_id),
        "type": event_type(event.type, state),
        "status": STATUS.get(state),
        "timestamp": at(event.occurred_at),
        "details": text(life.detail),
        "payload": {"reason": life.reason} if life.reason else None,
        "source": "LIVE",
        "bufferState": text(buffer.state),
        "hasIssues": bool(buffer.issues),
        "trackCount": len(tracks) or None,
        "primaryWidth": video.width if video else None,
        "primaryHeight": video.height if video else None,
        "primaryFps": video.fps_milli / 1000 if video else None,
        "primaryCodec": text(video.codec) if video else None,
        "primaryBitrate": int32(video.bitrate_kbps) if video else None,
        "uploadedBytes": life.up_bytes or None,
        "downloadedBytes": life.down_bytes or None,
        "totalViewers": int32(life.viewers) if kind == "stream_lifecycle" else None,
        "requestUrl": text(ingest.ingest_url),
        "protocol": text(ingest.protocol),
        "countryCode": text(ingest.place.country),
        "city": text(ingest.place.city),
        "sourceRegion": event.region,
        "sourceClusterId": event.cluster_id,
        "streamOriginRegion": event.region,
        "streamOriginClusterId": event.cluster_id,
        "schemaVersion": int32(event.schema_version),
    }


def connection_event(event: pb.Event) -> Row | None:
    """A viewer came or went."""
    if event.WhichOneof("data") != "user_connection":
        return None
    found = event.user_connection
    known = bool(found.place.h3_cell)
    identity = uuid_text(event.event_id)
    return {
        "id": global_id("ConnectionEvent", identity),
        "eventId": identity,
        "timestamp": at(event.occurred_at),
        "streamId": uuid_text(event.stream_id),
        "sessionId": found.session_id,
        "connector": found.connector,
        "nodeId": event.node_id,
        "countryCode": text(found.place.country),
        "city": text(found.place.city),
        "latitude": found.place.latitude if known else None,
        "longitude": found.place.longitude if known else None,
        "clientBucket": bucket(found.place.h3_cell),
        "eventType": found.action,
        "clusterId": event.cluster_id,
        "sessionDurationSeconds": int32(found.seconds),
        "bytesTransferred": found.up_bytes + found.down_bytes,
    }


def viewer_metrics(event: pb.Event) -> Row | None:
    """Viewing of a stream: a viewer came or went, or the stream was measured."""
    shared = {
        "nodeId": event.node_id,
        "streamId": uuid_text(event.stream_id),
        "timestamp": int32(event.occurred_at / 1_000_000),
    }
    match event.WhichOneof("data"):
        case "user_connection":
            found = event.user_connection
            known = bool(found.place.h3_cell)
            return shared | {
                "action": found.action,
                "protocol": found.connector,
                "sessionId": text(found.session_id),
                "connectionTime": found.seconds,
                "bytesUploaded": found.up_bytes,
                "bytesDownloaded": found.down_bytes,
                "clientCountry": text(found.place.country),
                "clientCity": text(found.place.city),
                "clientLatitude": found.place.latitude if known else None,
                "clientLongitude": found.place.longitude if known else None,
            }
        case "stream_metrics":
            measured = event.stream_metrics
            return shared | {
                "action": "metrics",
                "protocol": "",
                "bandwidthInBps": int32(measured.bandwidth_in_bps),
                "bandwidthOutBps": int32(measured.bandwidth_out_bps),
                "packetsSent": int32(measured.packets_sent),
                "packetsLost": int32(measured.packets_lost),
                "packetsRetransmitted": int32(measured.packets_retransmitted),
                "viewers": int32(measured.viewers),
                "bitrateKbps": int32(measured.bitrate_kbps),
                "fps": measured.fps_milli / 1000,
                "keyframeMs": int32(measured.keyframe_ms),
                "bufferMs": int32(measured.buffer_ms),
                "jitterMs": int32(measured.jitter_ms),
                "healthScore": int32(measured.health_score),
                "issues": list(measured.issues),
            }
        case _:
            return None


def track_list(event: pb.Event) -> Row | None:
    """The tracks of a stream changed."""
    if event.WhichOneof("data") != "track_list":
        return None
    tracks = list(event.track_list.tracks)
    video, audio = video_of(tracks), audio_of(tracks)
    return {
        "streamId": uuid_text(event.stream_id),
        "tracks": [track_row(t) for t in tracks],
        "totalTracks": len(tracks),
        "videoTrackCount": sum(t.type == "video" for t in tracks),
        "audioTrackCount": sum(t.type == "audio" for t in tracks),
        "primaryWidth": video.width if video else None,
        "primaryHeight": video.height if video else None,
        "primaryFps": video.fps_milli / 1000 if video else None,
        "primaryVideoBitrate": int32(video.bitrate_kbps) if video else None,
        "primaryVideoCodec": text(video.codec) if video else None,
        "primaryAudioBitrate": int32(audio.bitrate_kbps) if audio else None,
        "primaryAudioCodec": text(audio.codec) if audio else None,
        "primaryAudioChannels": audio.channels if audio else None,
        "primaryAudioSampleRate": int32(audio.sample_rate) if audio else None,
    }


def track_row(track: pb.Track) -> Row:
    """One track of a stream."""
    return {
        "trackName": track.name,
        "trackType": track.type,
        "codec": text(track.codec),
        "bitrateKbps": int32(track.bitrate_kbps) or None,
        "buffer": int32(track.buffer_ms),
        "jitter": int32(track.jitter_ms),
        "width": track.width or None,
        "height": track.height or None,
        "fps": track.fps_milli / 1000 if track.fps_milli else None,
        "channels": track.channels or None,
        "sampleRate": int32(track.sample_rate) or None,
    }


def node_health(event: pb.Event) -> Row | None:
    """A measurement of a node."""
    if event.WhichOneof("data") != "node_lifecycle":
        return None
    found = event.node_lifecycle
    return {
        "nodeId": text(event.node_id),
        "node": event.node_id,
        "location": event.region,
        "status": NODE_STATUS.get(found.state, "DEGRADED"),
        "cpuTenths": int32(found.cpu_permille),
        "isHealthy": found.state == "up",
        "ramMax": found.memory_total_bytes,
        "ramCurrent": found.memory_used_bytes,
        "diskTotalBytes": found.disk_total_bytes,
        "diskUsedBytes": found.disk_used_bytes,
        "shmTotalBytes": found.shm_total_bytes,
        "shmUsedBytes": found.shm_used_bytes,
        "timestamp": at(event.occurred_at),
    }


def routing(event: pb.Event) -> Row | None:
    """A decision of the router."""
    found = event.load_balancing
    return {
        "timestamp": at(event.occurred_at),
        "streamId": uuid_text(event.stream_id),
        "selectedNode": found.selected_node,
        "nodeId": text(found.selected_node),
        "status": found.status,
        "details": text(found.reason),
        "score": int32(found.score),
        "clientCountry": text(found.client.country),
        "clientBucket": bucket(found.client.h3_cell),
        "routingDistance": found.distance_km,
        "candidatesCount": int32(found.candidate_count),
        "latencyMs": found.decided_in_us / 1000,
        "eventType": text(found.purpose),
        "source": text(event.source),
        "clusterId": text(event.cluster_id),
    }


FIREHOSE = {
    "stream-lifecycle": ("streamEvent", stream_event),
    "stream-buffer": ("streamEvent", stream_event),
    "stream-ingest": ("streamEvent", stream_event),
    "stream-view": ("streamEvent", stream_event),
    "track-list": ("trackListUpdate", track_list),
    "user-connection": ("connectionEvent", connection_event),
    "stream-metrics": ("viewerMetrics", viewer_metrics),
    "node-lifecycle": ("systemHealthEvent", node_health),
    "load-balancing": ("routingEvent", routing),
}


def tenant_event(event: pb.Event) -> Row | None:
    """Anything that happened to the tenant."""
    if event.type not in FIREHOSE:
        return None
    name, row = FIREHOSE[event.type]
    return {
        "type": event.type,
        "channel": EVENT_TYPES[event.type].channel,
        "timestamp": at(event.occurred_at),
        name: row(event),
    }
