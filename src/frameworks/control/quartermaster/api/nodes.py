"""Calls about nodes: what their owner sees, how they join, what they report."""

from frameworks.contracts.audit_trail import caller
from frameworks.contracts.metrics import quartermaster as metrics
from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.quartermaster.api import encoding
from frameworks.control.quartermaster.domain import NotOwner
from frameworks.control.quartermaster.service.clusters import Clusters
from frameworks.control.quartermaster.service.enrollment import Enrollments
from frameworks.control.quartermaster.service.nodes import Nodes
from frameworks.control.quartermaster.service.tenants import Tenants
from frameworks.kit.errors import Refusal
from frameworks.kit.identity import PrincipalKind
from frameworks.kit.rpc import Call


class NodeCalls:
    """Nodes of the caller's tenant, and nodes as callers."""

    def __init__(self, nodes: Nodes, enrollments: Enrollments, clusters: Clusters, tenants: Tenants) -> None:
        self._nodes = nodes
        self._enrollments = enrollments
        self._clusters = clusters
        self._tenants = tenants

    async def GetNode(self, request: pb.GetNodeRequest, call: Call) -> pb.Node:
        """A node of the caller's tenant."""
        return encoding.node(await self._nodes.one(call.tenant, request.node_id))

    async def ListNodes(self, request: pb.ListNodesRequest, call: Call) -> pb.NodePage:
        """The nodes of the caller's tenant; other clusters' nodes are not in it."""
        page = await self._nodes.of(
            call.tenant,
            encoding.asked(request.page, call, "nodes"),
            cluster_id=request.cluster_id,
            status=request.status,
            type=request.type,
        )
        return pb.NodePage(
            nodes=map(encoding.node, page.rows), cursors=page.cursors, ends=encoding.ends(page)
        )

    async def CreateEnrollmentToken(
        self, request: pb.CreateEnrollmentTokenRequest, call: Call
    ) -> pb.EnrollmentToken:
        """A token that enrols one node into a cluster the caller owns; the command line names any cluster."""
        if call.principal.kind is PrincipalKind.SERVICE:
            owner = await self._tenants.owner_of_cluster(request.cluster_id)
        else:
            owner = call.tenant
            if not (await self._clusters.one(owner, request.cluster_id)).owned:
                raise NotOwner("Only the owner of this cluster may add nodes to it.")
        enrollment, token = await self._enrollments.issue(
            owner,
            request.cluster_id,
            name=request.name,
            ttl_seconds=request.ttl_seconds,
            by=caller(call),
        )
        return encoding.enrollment(enrollment, token)

    async def EnrollNode(self, request: pb.EnrollNodeRequest, call: Call) -> pb.NodeCertificate:
        """Admit a node by its single-use token."""
        try:
            issued = await self._enrollments.enroll(
                request.token,
                request.node_id,
                request.public_key,
                name=request.name,
                given=encoding.facts(request.facts),
            )
        except Refusal as refusal:
            metrics.ENROLLMENTS.labels(outcome=refusal.code).inc()
            raise
        metrics.ENROLLMENTS.labels(outcome="enrolled").inc()
        return encoding.certificate(issued)

    async def RenewNodeCertificate(
        self, request: pb.RenewNodeCertificateRequest, call: Call
    ) -> pb.NodeCertificate:
        """A fresh certificate for the calling node."""
        return encoding.certificate(await self._enrollments.renew(call.tenant, call.principal.subject))

    async def ReportNode(self, request: pb.ReportNodeRequest, call: Call) -> pb.NodeConfig:
        """The calling node's heartbeat."""
        node = await self._nodes.report(call.tenant, call.principal.subject, encoding.facts(request.facts))
        return pb.NodeConfig(
            cluster_id=node.cluster_id, region=node.region, draining=node.status == "draining"
        )
