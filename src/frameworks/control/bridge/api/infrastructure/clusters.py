"""Clusters the caller's tenant may see, use, or could use."""

from typing import Any

from ariadne import MutationType, QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.bridge.api import context, relay
from frameworks.control.bridge.api.scalars import instant, int32, text
from frameworks.control.bridge.domain import global_id, local_id
from frameworks.kit.errors import NotFound

Row = dict[str, Any]

query = QueryType()
mutation = MutationType()

BINDABLES = [query, mutation]


def cluster_row(found: pb.Cluster) -> Row:
    """A cluster; where its stores are is nobody's business, so those fields stay null."""
    return {
        "__typename": "Cluster",
        "id": global_id("Cluster", found.id),
        "clusterId": found.id,
        "clusterName": found.name,
        "clusterType": found.type,
        "deploymentModel": found.deployment_model,
        "baseUrl": found.base_url,
        "maxConcurrentStreams": int32(found.max_streams),
        "maxConcurrentViewers": int32(found.max_viewers),
        "maxBandwidthMbps": int32(found.max_bandwidth_bps / 1_000_000),
        "healthStatus": found.health,
        "isActive": found.active,
        "isDefaultCluster": found.default_cluster,
        "isPlatformOfficial": not found.owner_tenant_id,
        "regionId": text(found.region),
        "isSubscribed": found.owned or found.preferred or found.default_cluster,
        "createdAt": instant(found.created_at),
        "updatedAt": instant(found.updated_at),
        "ownerTenantId": text(found.owner_tenant_id),
        "visibility": found.visibility.upper() or "PRIVATE",
        "pricingModel": "FREE_UNMETERED",
        "requiresApproval": False,
        "shortDescription": text(found.short_description),
    }


@query.field("cluster")
async def resolve_cluster(_: Any, info: GraphQLResolveInfo, *, id: str) -> Row | None:
    here = context.of(info)
    request = pb.GetClusterRequest(cluster_id=local_id("Cluster", id))
    try:
        return cluster_row(await here.peers.quartermaster.GetCluster(request, metadata=here.metadata))
    except NotFound:
        return None


@query.field("clustersConnection")
async def resolve_clusters(_: Any, info: GraphQLResolveInfo, *, page: Row | None = None) -> Row:
    here = context.of(info)
    request = pb.ListClustersRequest(page=relay.page(pb.Page(), page))
    answer = await here.peers.quartermaster.ListClusters(request, metadata=here.metadata)
    return relay.connection([cluster_row(c) for c in answer.clusters], answer.cursors, answer.ends)


@query.field("clustersAccessConnection")
async def resolve_access(_: Any, info: GraphQLResolveInfo, *, page: Row | None = None) -> Row:
    here = context.of(info)
    request = pb.ListClusterAccessRequest(page=relay.page(pb.Page(), page))
    answer = await here.peers.quartermaster.ListClusterAccess(request, metadata=here.metadata)
    rows = [
        {
            "clusterId": access.cluster.id,
            "clusterName": access.cluster.name,
            "accessLevel": access.access_level,
            "allowPrivatePullSources": False,
        }
        for access in answer.access
    ]
    return relay.connection(rows, answer.cursors, answer.ends)


@query.field("clustersAvailableConnection")
async def resolve_available(_: Any, info: GraphQLResolveInfo, *, page: Row | None = None) -> Row:
    here = context.of(info)
    request = pb.ListAvailableClustersRequest(page=relay.page(pb.Page(), page))
    answer = await here.peers.quartermaster.ListAvailableClusters(request, metadata=here.metadata)
    rows = [
        {"clusterId": c.id, "clusterName": c.name, "tiers": [], "autoEnroll": c.default_cluster}
        for c in answer.clusters
    ]
    return relay.connection(rows, answer.cursors, answer.ends)


@mutation.field("setPreferredCluster")
async def set_preferred(_: Any, info: GraphQLResolveInfo, *, clusterId: str) -> Row:
    here = context.of(info)
    request = pb.SetPreferredClusterRequest(cluster_id=local_id("Cluster", clusterId))
    return cluster_row(await here.peers.quartermaster.SetPreferredCluster(request, metadata=here.metadata))
