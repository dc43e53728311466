"""Running copies of services, and how they are."""

from typing import Any

from ariadne import ObjectType, QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.bridge.api import context, relay
from frameworks.control.bridge.api.scalars import instant, int32, text
from frameworks.control.bridge.domain import global_id

Row = dict[str, Any]

query = QueryType()
infra = ObjectType("AnalyticsInfra")

BINDABLES = [query, infra]

STATUS = {"running": "RUNNING", "starting": "STARTING", "stopping": "STOPPING", "stopped": "STOPPED"}
HEALTH = {"healthy": "HEALTHY", "unhealthy": "UNHEALTHY"}


def instance_row(found: pb.ServiceInstance) -> Row:
    """A running copy of a service."""
    status = "ERROR" if found.status == "failed" else STATUS.get(found.status, "UNKNOWN")
    return {
        "id": global_id("ServiceInstance", found.id),
        "instanceId": found.id,
        "clusterId": found.cluster_id,
        "nodeId": text(found.node_id),
        "serviceId": found.service,
        "version": text(found.version),
        "port": int32(found.port) or None,
        "status": status,
        "healthStatus": HEALTH.get(found.health, "DEGRADED"),
        "startedAt": instant(found.started_at),
        "lastHealthCheck": instant(found.last_seen_at),
    }


@query.field("discoverServicesConnection")
async def resolve_discovered(
    _: Any,
    info: GraphQLResolveInfo,
    *,
    type: str,
    page: Row | None = None,
    clusterId: str | None = None,
) -> Row:
    here = context.of(info)
    request = pb.DiscoverServicesRequest(
        page=relay.page(pb.Page(), page), type=type, cluster_id=clusterId or ""
    )
    answer = await here.peers.quartermaster.DiscoverServices(request, metadata=here.metadata)
    return relay.connection([instance_row(i) for i in answer.instances], answer.cursors, answer.ends)


@infra.field("serviceInstancesConnection")
async def resolve_instances(
    _: Any,
    info: GraphQLResolveInfo,
    *,
    page: Row | None = None,
    clusterId: str | None = None,
    nodeId: str | None = None,
    status: str | None = None,
) -> Row:
    here = context.of(info)
    request = pb.ListServiceInstancesRequest(
        page=relay.page(pb.Page(), page),
        cluster_id=clusterId or "",
        node_id=nodeId or "",
        status={"ERROR": "failed"}.get(status or "", (status or "").lower()),
    )
    answer = await here.peers.quartermaster.ListServiceInstances(request, metadata=here.metadata)
    return relay.connection([instance_row(i) for i in answer.instances], answer.cursors, answer.ends)


@query.field("serviceInstancesHealth")
@infra.field("serviceInstancesHealth")
async def resolve_health(_: Any, info: GraphQLResolveInfo, *, serviceId: str | None = None) -> list[Row]:
    here = context.of(info)
    request = pb.ListServiceInstancesRequest(page=pb.Page(first=relay.MAX_ROWS), service=serviceId or "")
    answer = await here.peers.quartermaster.ListServiceInstances(request, metadata=here.metadata)
    return [health_row(instance) for instance in answer.instances]


def health_row(found: pb.ServiceInstance) -> Row:
    """How a copy of a service is."""
    return {
        "instanceId": found.id,
        "serviceId": found.service,
        "clusterId": found.cluster_id,
        "protocol": found.protocol,
        "port": int32(found.port),
        "healthEndpoint": "/health",
        "status": found.health,
        "lastHealthCheck": instant(found.last_seen_at),
    }
