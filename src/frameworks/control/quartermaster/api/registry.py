"""Calls about running service instances."""

from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.quartermaster.api import encoding
from frameworks.control.quartermaster.domain import ServiceInstance
from frameworks.control.quartermaster.service.registry import Registry
from frameworks.kit.errors import Forbidden
from frameworks.kit.identity import Principal, PrincipalKind
from frameworks.kit.paging import Paged
from frameworks.kit.rpc import Call


class RegistryCalls:
    """The service registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ReportInstances(self, request: pb.ReportInstancesRequest, call: Call) -> pb.Done:
        """Heartbeats of instances; a node may only report those on itself."""
        instances = [encoding.reported(each) for each in request.instances]
        if call.principal.kind is PrincipalKind.NODE and not all(
            _on(call.principal, each) for each in instances
        ):
            raise Forbidden("A node may only report the services it runs itself.")
        await self._registry.report(instances)
        return pb.Done()

    async def ListServiceInstances(
        self, request: pb.ListServiceInstancesRequest, call: Call
    ) -> pb.ServiceInstancePage:
        """The instances in clusters the caller's tenant owns."""
        page = await self._registry.owned(
            call.tenant,
            encoding.asked(request.page, call, "instances"),
            cluster_id=request.cluster_id,
            node_id=request.node_id,
            status=request.status,
            service=request.service,
        )
        return _page(page)

    async def DiscoverServices(
        self, request: pb.DiscoverServicesRequest, call: Call
    ) -> pb.ServiceInstancePage:
        """Healthy instances of a service in clusters open to the caller; addresses for operators only."""
        page = await self._registry.discover(
            call.tenant,
            encoding.asked(request.page, call, "discovered"),
            service=request.type,
            cluster_id=request.cluster_id,
            addresses="operator" in call.principal.roles,
        )
        return _page(page)


def _on(node: Principal, instance: ServiceInstance) -> bool:
    """An instance of this node, under an id no other node or service can have taken."""
    return (
        instance.node_id == node.subject
        and instance.cluster_id == node.cluster
        and instance.id.startswith(f"{node.subject}/")
    )


def _page(page: Paged[ServiceInstance]) -> pb.ServiceInstancePage:
    return pb.ServiceInstancePage(
        instances=map(encoding.instance, page.rows), cursors=page.cursors, ends=encoding.ends(page)
    )
