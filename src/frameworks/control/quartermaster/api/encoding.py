"""Messages of Quartermaster from domain values, and ids and facts from messages."""

from typing import Any
from uuid import UUID

from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.quartermaster.domain import (
    Cluster,
    ClusterAccess,
    Enrollment,
    Invalid,
    Node,
    NodeFacts,
    ServiceInstance,
    Tenant,
)
from frameworks.control.quartermaster.service.enrollment import Certificate
from frameworks.kit.clock import from_micros
from frameworks.kit.paging import Paged, Window, text_id, window
from frameworks.kit.rpc import Call
from frameworks.kit.wire import to_message


def tenant_id(text: str) -> UUID:
    """A tenant id; raises Invalid."""
    try:
        return UUID(text)
    except ValueError as error:
        raise Invalid("Name the tenant by its id.", field="tenant_id") from error


def asked(page: pb.Page, call: Call, name: str) -> Window:
    """The window of the caller's list `name`."""
    return window(page, f"{call.tenant}:quartermaster.{name}", identity=text_id)


def ends(page: Paged[Any]) -> pb.PageEnds:
    """Whether there is more."""
    return pb.PageEnds(has_next=page.has_next, has_previous=page.has_previous, total=page.total)


def tenant(found: Tenant) -> pb.Tenant:
    """A tenant's message."""
    return to_message(pb.Tenant, found)


def cluster(found: Cluster) -> pb.Cluster:
    """A cluster's message."""
    return to_message(pb.Cluster, found)


def access(found: ClusterAccess) -> pb.ClusterAccess:
    """A message of access to a cluster."""
    return to_message(pb.ClusterAccess, found)


def node(found: Node) -> pb.Node:
    """A node's message."""
    return to_message(pb.Node, found)


def enrollment(found: Enrollment, token: str) -> pb.EnrollmentToken:
    """A token's message, the only place that shows its value."""
    return to_message(pb.EnrollmentToken, found, token=token)


def certificate(found: Certificate) -> pb.NodeCertificate:
    """A certificate's message."""
    return to_message(pb.NodeCertificate, found)


def instance(found: ServiceInstance) -> pb.ServiceInstance:
    """An instance's message."""
    return to_message(pb.ServiceInstance, found)


def facts(given: pb.Node) -> NodeFacts:
    """What a node says of itself."""
    return NodeFacts(
        region=given.region,
        base_url=given.base_url,
        rtmp_url=given.rtmp_url,
        latitude=given.latitude,
        longitude=given.longitude,
        cpu_cores=given.cpu_cores,
        memory_bytes=given.memory_bytes,
        disk_bytes=given.disk_bytes,
        version=given.version,
        capabilities=tuple(dict.fromkeys(given.capabilities)) or NodeFacts().capabilities,
    )


def reported(given: pb.ServiceInstance) -> ServiceInstance:
    """An instance as it reports itself."""
    return ServiceInstance(
        id=given.id,
        service=given.service,
        cluster_id=given.cluster_id,
        node_id=given.node_id,
        address=given.address,
        protocol=given.protocol or "grpc",
        status=given.status or "running",
        health=given.health or "unknown",
        version=given.version,
        started_at=from_micros(given.started_at) if 0 < given.started_at < 1 << 56 else None,
        port=given.port,
    )
