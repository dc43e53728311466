"""Nodes: what Quartermaster knows of them, and what the router sees now."""

from typing import Any

from ariadne import ObjectType, QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import foghorn_v1_pb2 as foghorn
from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.bridge.api import context, relay
from frameworks.control.bridge.api.scalars import at, instant, int32, text
from frameworks.control.bridge.domain import global_id
from frameworks.kit.errors import Fault

Row = dict[str, Any]

query = QueryType()
cluster = ObjectType("Cluster")
node = ObjectType("InfrastructureNode")

BINDABLES = [query, cluster, node]

GIGABYTE = 1_000_000_000
MODES = {"draining": "DRAINING", "maintenance": "MAINTENANCE"}
STATUSES = {"HEALTHY": "online", "DEGRADED": "draining", "UNHEALTHY": "offline"}
"""The SDK's words for a node's health, as Quartermaster's for its status."""


def node_row(found: pb.Node) -> Row:
    """A node; its addresses are not shown."""
    return {
        "id": global_id("InfrastructureNode", found.id),
        "nodeId": found.id,
        "clusterId": found.cluster_id,
        "nodeName": found.name,
        "nodeType": found.type,
        "region": text(found.region),
        "latitude": found.latitude or None,
        "longitude": found.longitude or None,
        "cpuCores": int32(found.cpu_cores) or None,
        "memoryGb": int32(found.memory_bytes / GIGABYTE) or None,
        "diskGb": int32(found.disk_bytes / GIGABYTE) or None,
        "lastHeartbeat": instant(found.last_heartbeat_at),
        "tags": list(found.capabilities),
        "metadata": {"version": found.version, "status": found.status},
        "createdAt": instant(found.created_at),
        "updatedAt": instant(found.updated_at),
        "effectiveMode": MODES.get(found.status, "NORMAL"),
        "owner": found.owner_tenant_id,
    }


async def listed(
    info: GraphQLResolveInfo, page: Row | None, cluster_id: str, status: str | None, kind: str | None
) -> Row:
    """A connection of the nodes that match."""
    here = context.of(info)
    request = pb.ListNodesRequest(
        page=relay.page(pb.Page(), page),
        cluster_id=cluster_id,
        status=STATUSES[status] if status else "",
        type=kind or "",
    )
    answer = await here.peers.quartermaster.ListNodes(request, metadata=here.metadata)
    return relay.connection([node_row(n) for n in answer.nodes], answer.cursors, answer.ends)


@query.field("nodesConnection")
async def resolve_nodes(
    _: Any,
    info: GraphQLResolveInfo,
    *,
    page: Row | None = None,
    clusterId: str | None = None,
    status: str | None = None,
    type: str | None = None,
) -> Row:
    return await listed(info, page, clusterId or "", status, type)


@cluster.field("nodesConnection")
async def resolve_cluster_nodes(source: Row, info: GraphQLResolveInfo, *, page: Row | None = None) -> Row:
    return await listed(info, page, source["clusterId"], None, None)


@node.field("liveState")
async def resolve_live_state(source: Row, info: GraphQLResolveInfo) -> Row | None:
    view = await context.of(info).loaders.node_views.load(source["nodeId"])
    return live_row(view, source) if view is not None and view.fresh else None


@node.field("routingImpactPreview")
async def resolve_impact(source: Row, info: GraphQLResolveInfo) -> Row:
    try:
        view = await context.of(info).loaders.node_views.load(source["nodeId"])
    except Fault:
        # The contract has no null here; `liveState` beside it carries the error.
        view = None
    view = view or foghorn.NodeView()
    return {"activeStreams": len(view.state.streams), "activeViewers": int32(view.viewers)}


def live_row(view: foghorn.NodeView, source: Row) -> Row:
    """A node as the router sees it."""
    state = view.state
    return {
        "nodeId": view.node_id,
        "tenantId": source["owner"],
        "cpuPercent": state.cpu_permille / 10,
        "ramUsedBytes": state.memory_used_bytes,
        "ramTotalBytes": state.memory_total_bytes,
        "diskUsedBytes": 0,
        "diskTotalBytes": 0,
        "upSpeed": state.up_bytes_per_second,
        "downSpeed": state.down_bytes_per_second,
        "activeStreams": len(state.streams),
        "isHealthy": view.fresh and not state.draining,
        "latitude": state.latitude,
        "longitude": state.longitude,
        "location": state.region,
        "metadata": {"version": state.version, "pendingViewers": view.pending_viewers},
        "updatedAt": at(state.observed_at),
    }
