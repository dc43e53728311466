"""Where to watch and where to publish: Foghorn's answers in the words of the players."""

from typing import Any

from ariadne import QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import foghorn_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.scalars import instant, int32, text
from frameworks.control.bridge.domain import NotOffered, StreamFull, StreamOffline, StreamStarting

Row = dict[str, Any]

query = QueryType()

BINDABLES = [query]

CANONICAL = {"HLS": "hls", "HLS_CMAF": "cmaf", "WHEP": "whep", "WEBRTC": "webrtc", "MEWS": "wsmp4"}
ADAPTIVE = frozenset({"HLS", "HLS_CMAF", "DASH"})


@query.field("resolveViewerEndpoint")
async def resolve_viewer(
    _: Any, info: GraphQLResolveInfo, *, contentId: str, protocol: str | None = None
) -> Row:
    here = context.of(info)
    request = pb.ResolveViewerRequest(
        playback_id=contentId, protocol=protocol or "", client_address=here.caller.address
    )
    answer = await here.peers.foghorn.ResolveViewer(request)
    if answer.state == "starting":
        raise StreamStarting("The stream is starting.")
    if answer.state == "full":
        raise StreamFull("As many people watch as the plan of the stream's owner allows.")
    if answer.state != "live":
        raise StreamOffline("Nobody publishes to this stream now.")
    endpoints = [answer.primary, *answer.fallbacks]
    rows = [row for row in (endpoint_row(e, protocol) for e in endpoints) if row is not None]
    if not rows:
        raise NotOffered(f"This stream is not offered as {protocol}.", protocol=protocol)
    return {"primary": rows[0], "fallbacks": rows[1:], "metadata": metadata_row(answer)}


def endpoint_row(endpoint: pb.Endpoint, protocol: str | None) -> Row | None:
    """A place to watch from, leading with `protocol` when one is required; None when it does not offer it."""
    outputs = {key: output(key, url) for key, url in endpoint.outputs.items()}
    name, url = endpoint.protocol, endpoint.url
    if protocol is not None:
        if protocol not in outputs:
            return None
        name, url = protocol, endpoint.outputs[protocol]
    return {
        "nodeId": endpoint.node_id,
        "baseUrl": endpoint.base_url,
        "protocol": canonical(name),
        "url": url,
        "geoDistance": endpoint.distance_km,
        "loadScore": endpoint.load_score,
        "outputs": outputs,
    }


def canonical(protocol: str) -> str:
    """The name players know a protocol by."""
    return CANONICAL.get(protocol, protocol.lower())


def output(key: str, url: str) -> Row:
    """One way to watch and what it can do."""
    capabilities = {
        "supportsSeek": False,
        "supportsQualitySwitch": key in ADAPTIVE,
        "hasAudio": True,
        "hasVideo": True,
        "codecs": [],
    }
    return {"protocol": canonical(key), "url": url, "capabilities": capabilities}


def metadata_row(answer: pb.ViewerEndpoints) -> Row:
    """What is playing."""
    return {
        "contentType": "live",
        "contentId": answer.playback_id,
        "title": text(answer.title),
        "description": text(answer.description),
        "status": answer.state,
        "isLive": answer.state == "live",
        "viewers": int32(answer.viewers),
        "createdAt": instant(answer.created_at),
        "telemetryToken": text(answer.telemetry_token),
    }


@query.field("resolveIngestEndpoint")
async def resolve_ingest(
    _: Any, info: GraphQLResolveInfo, *, streamKey: str, protocol: str | None = None
) -> Row:
    here = context.of(info)
    request = pb.ResolveIngestRequest(
        stream_key=streamKey, protocol=protocol or "", client_address=here.caller.address
    )
    answer = await here.peers.foghorn.ResolveIngest(request)
    rows = [ingest_row(e) for e in answer.endpoints]
    if not rows:
        raise NotOffered(f"No node takes this stream in as {protocol or 'asked'} now.", protocol=protocol)
    metadata = {
        "streamId": answer.stream_id,
        "streamKey": streamKey,
        "tenantId": answer.tenant_id,
        "recordingEnabled": answer.recording_enabled,
    }
    return {"primary": rows[0], "fallbacks": rows[1:], "metadata": metadata}


def ingest_row(endpoint: pb.IngestEndpoint) -> Row:
    """A place to publish to."""
    return {
        "nodeId": endpoint.node_id,
        "baseUrl": endpoint.base_url,
        "rtmpUrl": text(endpoint.rtmp_url),
        "region": text(endpoint.region),
        "loadScore": endpoint.load_score,
        "kind": "INGEST_ENDPOINT_KIND_NODE_SPECIFIC",
        "clusterId": endpoint.cluster_id,
    }
