"""Recordings, clips and files on their way, and what nodes hold of them."""

from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.history.asking import history, listed, with_stream
from frameworks.control.bridge.api.scalars import at, instant, int32, text
from frameworks.control.bridge.domain import global_id

Row = dict[str, Any]

lifecycle = ObjectType("AnalyticsLifecycle")
storage = ObjectType("AnalyticsUsageStorage")

BINDABLES = [lifecycle, storage, *with_stream("ArtifactEvent", "ArtifactState", "StorageEvent")]

SECOND = 1_000_000
COLD = "cold"


@lifecycle.field("artifactEventsConnection")
async def resolve_events(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListArtifactEvents(history(arguments), metadata=here.metadata)
    return listed(found.events, found.page, event_row)


def event_row(event: pb.ArtifactEvent) -> Row:
    """A step of an artifact."""
    return {
        "id": global_id("ArtifactEvent", event.event_id),
        "timestamp": at(event.occurred_at),
        "streamId": event.stream_id,
        "stage": event.state,
        "contentType": text(event.kind),
        "startUnix": event.started_at // SECOND or None,
        "stopUnix": event.ended_at // SECOND or None,
        "ingestNodeId": text(event.node_id),
        "percent": int32(event.percent),
        "message": text(event.detail or event.reason),
        "filePath": text(event.file),
        "sizeBytes": float(event.bytes) or None,
        "expiresAt": event.expires_at // SECOND or None,
    }


@lifecycle.field("artifactStatesConnection")
async def resolve_states(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListArtifactStates(history(arguments), metadata=here.metadata)
    return listed(found.artifacts, found.page, state_row)


def state_row(artifact: pb.ArtifactState) -> Row:
    """Where an artifact stands."""
    return {
        "streamId": artifact.stream_id,
        "contentType": artifact.kind,
        "stage": artifact.state,
        "progressPercent": 100 if artifact.state == "ready" else int32(artifact.percent),
        "errorMessage": text(artifact.detail or artifact.reason),
        "requestedAt": at(artifact.requested_at),
        "startedAt": instant(artifact.begun_at),
        "completedAt": instant(artifact.completed_at),
        "clipStartUnix": artifact.started_at // SECOND or None,
        "clipStopUnix": artifact.ended_at // SECOND or None,
        "segmentCount": int32(artifact.segments) or None,
        "filePath": text(artifact.file),
        "sizeBytes": float(artifact.bytes) or None,
        "processingNodeId": text(artifact.node_id),
        "expiresAt": instant(artifact.expires_at),
    }


@lifecycle.field("storageEventsConnection")
async def resolve_storage_events(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListStorageEvents(history(arguments), metadata=here.metadata)
    return listed(found.events, found.page, storage_event_row)


def storage_event_row(event: pb.StorageEvent) -> Row:
    """Something was stored, deleted, or could not be."""
    return {
        "id": global_id("StorageEvent", event.event_id),
        "timestamp": at(event.occurred_at),
        "streamId": event.stream_id,
        "assetHash": event.artifact,
        "action": event.action,
        "assetType": event.kind,
        "sizeBytes": float(event.bytes),
        "localPath": text(event.file),
        "nodeId": event.node_id,
        "clusterId": text(event.cluster_id),
        "durationMs": int32(event.media_ms) or None,
        "error": text(event.detail) if event.action == "failed" else None,
    }


@storage.field("storageUsageConnection")
async def resolve_usage(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListStorageUsage(history(arguments), metadata=here.metadata)
    return listed(found.hours, found.page, usage_row)


def usage_row(held: pb.StorageUsage) -> Row:
    """What one node held in one hour; cold storage counts as frozen."""
    sizes = {"Dvr": held.recording_bytes, "Clip": held.clip_bytes, "Vod": held.vod_bytes}
    frozen = held.scope == COLD
    return {
        "id": global_id("StorageUsageRecord", held.node_id, held.scope, str(held.hour_at)),
        "timestamp": at(held.hour_at),
        "nodeId": held.node_id,
        "storageScope": held.scope,
        "totalBytes": float(held.bytes),
        "fileCount": int32(held.files),
        **{f"{name.lower()}Bytes": 0.0 if frozen else float(size) for name, size in sizes.items()},
        **{f"frozen{name}Bytes": float(size) if frozen else 0.0 for name, size in sizes.items()},
    }
