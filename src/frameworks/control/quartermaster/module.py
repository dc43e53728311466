"""Wiring of Quartermaster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from frameworks.contracts.audit_delivery import AuditDelivery
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.control.quartermaster.api import SERVICE, servicer
from frameworks.control.quartermaster.api.clusters import ClusterCalls
from frameworks.control.quartermaster.api.nodes import NodeCalls
from frameworks.control.quartermaster.api.registry import RegistryCalls
from frameworks.control.quartermaster.api.tenants import TenantCalls
from frameworks.control.quartermaster.config import Settings
from frameworks.control.quartermaster.jobs import sweep
from frameworks.control.quartermaster.peers import CertificateSigner
from frameworks.control.quartermaster.service.bootstrap import SharedCluster, ensure_platform
from frameworks.control.quartermaster.service.clusters import Clusters
from frameworks.control.quartermaster.service.enrollment import Enrollments
from frameworks.control.quartermaster.service.nodes import Nodes
from frameworks.control.quartermaster.service.registry import Registry
from frameworks.control.quartermaster.service.tenants import Tenants
from frameworks.control.quartermaster.store import (
    ClusterStore,
    EnrollmentStore,
    NodeStore,
    RegistryStore,
    TenantStore,
)
from frameworks.kit.module import Host, Module
from frameworks.kit.outbox import Outbox


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Make sure operator and shared cluster exist, offer QuartermasterService, watch for silence, tell the audit."""
    settings, clock = host.settings(Settings), host.clock
    db = await host.database("frameworks.control.quartermaster")
    tenant_store, cluster_store, node_store = TenantStore(db), ClusterStore(db), NodeStore(db)
    tenants = Tenants(tenant_store, clock, settings.default_cluster)
    await ensure_platform(tenants, cluster_store, settings.operator_name, _shared(settings), clock.now())
    signer = CertificateSigner(host.identity("quartermaster"))
    enrollments = Enrollments(
        EnrollmentStore(db), node_store, signer, clock, lifetime=settings.certificate_lifetime
    )
    clusters = Clusters(
        cluster_store, tenant_store, enrollments, clock, most_owned=settings.max_owned_clusters
    )
    nodes = Nodes(node_store, clock, stale_after=settings.node_stale_after)
    registry = Registry(RegistryStore(db), clock, stale_after=settings.instance_stale_after)
    calls = servicer(
        TenantCalls(tenants, clusters),
        ClusterCalls(clusters),
        NodeCalls(nodes, enrollments, clusters, tenants),
        RegistryCalls(registry),
    )
    host.serve_rpc(SERVICE, calls, service="quartermaster")
    host.spawn("sweep", partial(sweep, nodes, registry, clock, settings.sweep_every), module="quartermaster")
    outbox = Outbox(db, "quartermaster", clock=clock)
    audit = AuditDelivery("quartermaster", host.peer(DecklogServiceStub, service="quartermaster"))
    host.spawn("outbox", partial(outbox.drain, audit.deliver), module="quartermaster")
    yield


def _shared(settings: Settings) -> SharedCluster:
    return SharedCluster(
        id=settings.default_cluster,
        name=settings.default_cluster_name,
        base_url=settings.default_cluster_url,
        region=settings.default_region,
    )


MODULE = Module("quartermaster", start, settings=(Settings,))
