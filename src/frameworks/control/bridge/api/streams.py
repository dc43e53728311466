"""Streams, their keys, and what is known of them now."""

from typing import Any

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.contracts.pb import periscope_v1_pb2 as periscope
from frameworks.control.bridge.api import context, relay
from frameworks.control.bridge.api.scalars import at, instant, int32, text
from frameworks.control.bridge.domain import NotOffered, global_id, uuid_id
from frameworks.kit.errors import Unavailable

Row = dict[str, Any]

query = QueryType()
mutation = MutationType()
stream = ObjectType("Stream")

BINDABLES = [query, mutation, stream]

STATUS = {"live": "LIVE", "started": "LIVE", "offline": "OFFLINE", "ended": "ENDED"}


def stream_row(found: pb.Stream) -> Row:
    """A stream; the fields of systems that do not exist here hold what means "off"."""
    return {
        "__typename": "Stream",
        "id": global_id("Stream", found.id),
        "streamId": found.id,
        "name": found.title,
        "description": text(found.description),
        "secret": text(found.stream_key),
        "playbackId": found.playback_id,
        "record": found.recording_enabled,
        "liveVideoAbr": "OFF",
        "ingestMode": "PUSH",
        "sourceLocation": {"mode": "ANY", "avoidNodeIds": [], "clusters": []},
        "createdAt": at(found.created_at),
        "updatedAt": at(found.updated_at),
        "pushTargets": [],
        "dvrChapterMode": "NONE",
        "monitoring": "OFF",
        "recentPullSourceEvents": [],
    }


def key_row(found: pb.StreamKey) -> Row:
    """A key of a stream."""
    return {
        "__typename": "StreamKey",
        "id": global_id("StreamKey", found.id),
        "streamId": found.stream_id,
        "keyValue": found.key,
        "keyName": text(found.name),
        "isActive": found.active,
        "lastUsedAt": instant(found.last_used_at),
        "createdAt": at(found.created_at),
    }


def metrics_row(status: periscope.StreamStatus, updated_at: Any) -> Row:
    """A stream as of now."""
    return {
        "status": "LIVE" if status.is_live else STATUS.get(status.state, "OFFLINE"),
        "isLive": status.is_live,
        "currentViewers": int32(status.viewers),
        "startedAt": instant(status.started_at),
        "updatedAt": instant(status.updated_at) or updated_at,
        "nodeId": text(status.node_id),
        "trackCount": len(status.tracks),
        "totalInputs": 1 if status.is_live else 0,
        "uploadedBytes": status.up_bytes,
        "downloadedBytes": status.down_bytes,
        "viewerSeconds": status.viewer_seconds,
        "packetsSent": status.packets_sent,
        "packetsLost": status.packets_lost,
        "packetsRetransmitted": status.packets_retransmitted,
        "bufferState": text(status.buffer_state),
        "qualityTier": text(status.quality_tier),
        "primaryWidth": status.width or None,
        "primaryHeight": status.height or None,
        "primaryFps": status.fps_milli / 1000 if status.fps_milli else None,
        "primaryCodec": text(status.codec),
        "primaryBitrate": int32(status.bitrate_kbps) or None,
        "hasIssues": bool(status.issues),
        "issuesDescription": text(", ".join(status.issues)),
    }


async def stream_of(source: Row, info: GraphQLResolveInfo) -> Row | None:
    """The stream a row of history is about; None when it is gone. For fields named `stream`."""
    identity = source.get("streamId")
    found = await context.of(info).loaders.streams.load(identity) if identity else None
    return stream_row(found) if found is not None else None


@query.field("stream")
async def resolve_stream(_: Any, info: GraphQLResolveInfo, *, id: str) -> Row | None:
    found = await context.of(info).loaders.streams.load(uuid_id("Stream", id))
    return stream_row(found) if found is not None else None


@query.field("streamsConnection")
async def resolve_streams(
    _: Any, info: GraphQLResolveInfo, *, page: Row | None = None, search: str | None = None
) -> Row:
    here = context.of(info)
    request = pb.ListStreamsRequest(page=relay.page(pb.Page(), page), search=search or "")
    answer = await here.peers.commodore.ListStreams(request, metadata=here.metadata)
    return relay.connection([stream_row(s) for s in answer.streams], answer.cursors, answer.ends)


@query.field("streamKeysConnection")
async def resolve_keys(_: Any, info: GraphQLResolveInfo, *, streamId: str, page: Row | None = None) -> Row:
    here = context.of(info)
    request = pb.ListStreamKeysRequest(
        stream_id=uuid_id("Stream", streamId), page=relay.page(pb.Page(), page)
    )
    answer = await here.peers.commodore.ListStreamKeys(request, metadata=here.metadata)
    return relay.connection([key_row(k) for k in answer.keys], answer.cursors, answer.ends)


@query.field("validateStreamKey")
async def resolve_validity(_: Any, info: GraphQLResolveInfo, *, streamKey: str) -> Row:
    here = context.of(info)
    request = pb.ValidateStreamKeyRequest(stream_key=streamKey)
    try:
        answer = await here.peers.commodore.ValidateStreamKey(request, metadata=here.metadata)
    except Unavailable as fault:
        return {"status": "ERROR", "streamKey": streamKey, "error": fault.message}
    verdict = "VALID" if answer.valid else "INVALID"
    return {"status": verdict, "streamKey": streamKey, "error": text(answer.reason)}


@stream.field("streamKey")
def resolve_secret(source: Row, _: GraphQLResolveInfo) -> str | None:
    secret: str | None = source["secret"]
    return secret


@stream.field("metrics")
async def resolve_metrics(source: Row, info: GraphQLResolveInfo) -> Row:
    status = await context.of(info).loaders.statuses.load(source["streamId"])
    return metrics_row(status or periscope.StreamStatus(), source["updatedAt"])


@stream.field("recentPullSourceEvents")
def resolve_pull_events(source: Row, _: GraphQLResolveInfo, *, limit: int | None = None) -> list[Row]:
    events: list[Row] = source["recentPullSourceEvents"]
    return events[: limit or None]


@mutation.field("createStream")
async def create_stream(_: Any, info: GraphQLResolveInfo, *, input: Row) -> Row:
    refuse_missing_systems(input)
    here = context.of(info)
    request = pb.CreateStreamRequest(
        title=input["name"],
        description=input.get("description") or "",
        recording_enabled=bool(input.get("record")),
    )
    return stream_row(await here.peers.commodore.CreateStream(request, metadata=here.metadata))


@mutation.field("updateStream")
async def update_stream(_: Any, info: GraphQLResolveInfo, *, id: str, input: Row) -> Row:
    refuse_missing_systems(input)
    here = context.of(info)
    names = {"name": "title", "description": "description", "record": "recording_enabled"}
    changes = {ours: input[theirs] for theirs, ours in names.items() if input.get(theirs) is not None}
    request = pb.UpdateStreamRequest(id=uuid_id("Stream", id), **changes)
    return stream_row(await here.peers.commodore.UpdateStream(request, metadata=here.metadata))


@mutation.field("deleteStream")
async def delete_stream(_: Any, info: GraphQLResolveInfo, *, id: str) -> Row:
    here = context.of(info)
    request = pb.DeleteStreamRequest(id=uuid_id("Stream", id))
    await here.peers.commodore.DeleteStream(request, metadata=here.metadata)
    return deleted(id)


@mutation.field("refreshStreamKey")
async def refresh_key(_: Any, info: GraphQLResolveInfo, *, id: str) -> Row:
    here = context.of(info)
    request = pb.RotateStreamKeyRequest(id=uuid_id("Stream", id))
    return stream_row(await here.peers.commodore.RotateStreamKey(request, metadata=here.metadata))


@mutation.field("createStreamKey")
async def create_key(_: Any, info: GraphQLResolveInfo, *, streamId: str, input: Row) -> Row:
    here = context.of(info)
    request = pb.CreateStreamKeyRequest(stream_id=uuid_id("Stream", streamId), name=input["name"])
    return key_row(await here.peers.commodore.CreateStreamKey(request, metadata=here.metadata))


@mutation.field("deleteStreamKey")
async def delete_key(_: Any, info: GraphQLResolveInfo, *, streamId: str, keyId: str) -> Row:
    here = context.of(info)
    request = pb.DeactivateStreamKeyRequest(
        stream_id=uuid_id("Stream", streamId), key_id=uuid_id("StreamKey", keyId)
    )
    await here.peers.commodore.DeactivateStreamKey(request, metadata=here.metadata)
    return deleted(keyId)


def deleted(identity: str) -> Row:
    """The answer to a deletion that took effect."""
    return {"__typename": "DeleteSuccess", "success": True, "deletedId": identity, "pending": False}


def refuse_missing_systems(given: Row) -> None:
    """Refuse settings of systems that do not exist here; their "off" values pass."""
    off: dict[str, tuple[Any, ...]] = {
        "ingestMode": (None, "PUSH"),
        "pullSource": (None,),
        "liveVideoAbr": (None, "INHERIT", "OFF"),
        "dvrChapterMode": (None, "NONE"),
        "dvrChapterIntervalSeconds": (None,),
        "monitoring": (None, "INHERIT", "OFF"),
    }
    for name, values in off.items():
        if given.get(name) not in values:
            raise NotOffered(f"`{name}` can not be set to this here.", field=name)
    location = given.get("sourceLocation")
    if location is not None and location["mode"] != "ANY":
        raise NotOffered("Streams can not be bound to clusters here.", field="sourceLocation")
