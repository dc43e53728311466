"""Calls about clusters."""

from frameworks.contracts.audit_trail import caller
from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.quartermaster.api import encoding
from frameworks.control.quartermaster.domain import Cluster
from frameworks.control.quartermaster.service.clusters import Clusters
from frameworks.kit.paging import Paged
from frameworks.kit.rpc import Call


class ClusterCalls:
    """What a tenant may see and do with clusters."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def GetCluster(self, request: pb.GetClusterRequest, call: Call) -> pb.Cluster:
        """A cluster the caller may see."""
        return encoding.cluster(await self._clusters.one(call.tenant, request.cluster_id))

    async def ListClusters(self, request: pb.ListClustersRequest, call: Call) -> pb.ClusterPage:
        """Every cluster the caller may see."""
        window = encoding.asked(request.page, call, "clusters")
        return _page(await self._clusters.visible(call.tenant, window))

    async def ListAvailableClusters(
        self, request: pb.ListAvailableClustersRequest, call: Call
    ) -> pb.ClusterPage:
        """The clusters open to everyone."""
        window = encoding.asked(request.page, call, "available")
        return _page(await self._clusters.available(call.tenant, window))

    async def ListClusterAccess(
        self, request: pb.ListClusterAccessRequest, call: Call
    ) -> pb.ClusterAccessPage:
        """The clusters that may serve the caller's tenant."""
        page = await self._clusters.access(call.tenant, encoding.asked(request.page, call, "access"))
        return pb.ClusterAccessPage(
            access=map(encoding.access, page.rows), cursors=page.cursors, ends=encoding.ends(page)
        )

    async def SetPreferredCluster(self, request: pb.SetPreferredClusterRequest, call: Call) -> pb.Cluster:
        """Serve the caller's tenant here when possible."""
        found = await self._clusters.prefer(call.tenant, request.cluster_id, by=caller(call))
        return encoding.cluster(found)

    async def CreateEdgeCluster(
        self, request: pb.CreateEdgeClusterRequest, call: Call
    ) -> pb.CreatedEdgeCluster:
        """A private cluster of the caller's tenant and a token for its first node."""
        cluster, enrollment, token = await self._clusters.create_edge(
            call.tenant,
            name=request.name,
            region=request.region,
            description=request.short_description,
            by=caller(call),
        )
        return pb.CreatedEdgeCluster(
            cluster=encoding.cluster(cluster), token=encoding.enrollment(enrollment, token)
        )


def _page(page: Paged[Cluster]) -> pb.ClusterPage:
    return pb.ClusterPage(
        clusters=map(encoding.cluster, page.rows), cursors=page.cursors, ends=encoding.ends(page)
    )
