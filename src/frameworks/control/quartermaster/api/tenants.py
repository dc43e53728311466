"""Calls about tenants."""

from uuid import UUID

from frameworks.contracts.audit_trail import caller
from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.quartermaster.api import encoding
from frameworks.control.quartermaster.domain import Invalid
from frameworks.control.quartermaster.service.clusters import Clusters
from frameworks.control.quartermaster.service.tenants import Tenants
from frameworks.kit.errors import Forbidden
from frameworks.kit.identity import PrincipalKind
from frameworks.kit.rpc import Call

_MAY_CHANGE = frozenset({"owner", "admin"})


class TenantCalls:
    """CreateTenant, GetTenant, UpdateTenant, DeleteTenant, GetRouting."""

    def __init__(self, tenants: Tenants, clusters: Clusters) -> None:
        self._tenants = tenants
        self._clusters = clusters

    async def CreateTenant(self, request: pb.CreateTenantRequest, call: Call) -> pb.Tenant:
        """A tenant made once per idempotency key; or the operator's."""
        if not request.operator and not 8 <= len(request.idempotency_key) <= 200:
            raise Invalid("Send an idempotency key of 8 to 200 characters.", field="idempotency_key")
        made = await self._tenants.ensure(
            name=request.name or "Operator",
            idempotency_key=request.idempotency_key,
            operator=request.operator,
        )
        return encoding.tenant(made)

    async def GetTenant(self, request: pb.GetTenantRequest, call: Call) -> pb.Tenant:
        """The caller's tenant; services name one."""
        return encoding.tenant(await self._tenants.of(_named(request.tenant_id, call)))

    async def UpdateTenant(self, request: pb.UpdateTenantRequest, call: Call) -> pb.Tenant:
        """Change the caller's tenant; owners and admins only."""
        if not call.principal.roles & _MAY_CHANGE:
            raise Forbidden("Only an owner or admin may change the tenant.")
        changes = {field.name: value for field, value in request.ListFields()}
        return encoding.tenant(await self._tenants.update(call.tenant, changes, by=caller(call)))

    async def DeleteTenant(self, request: pb.DeleteTenantRequest, call: Call) -> pb.Done:
        """Switch a tenant off."""
        await self._tenants.deactivate(encoding.tenant_id(request.tenant_id), by=caller(call))
        return pb.Done()

    async def GetRouting(self, request: pb.GetRoutingRequest, call: Call) -> pb.Routing:
        """Where a tenant may be served, best first."""
        cluster_ids, active = await self._clusters.routing(encoding.tenant_id(request.tenant_id))
        return pb.Routing(cluster_ids=cluster_ids, tenant_active=active)


def _named(text: str, call: Call) -> UUID:
    if call.principal.kind is PrincipalKind.SERVICE:
        return encoding.tenant_id(text)
    if text and text != str(call.tenant):
        raise Forbidden("You can only see your own tenant.")
    return call.tenant
