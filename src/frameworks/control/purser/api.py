"""Inbound calls of Purser."""

from uuid import UUID

from frameworks.contracts.audit_trail import caller
from frameworks.contracts.metrics import purser as metrics
from frameworks.contracts.pb import purser_v1_pb2 as pb
from frameworks.control.purser.domain import Limits
from frameworks.control.purser.service import Allowances
from frameworks.kit.errors import Forbidden, Refusal
from frameworks.kit.identity import PrincipalKind
from frameworks.kit.rpc import Call
from frameworks.kit.wire import to_message

SERVICE = pb.DESCRIPTOR.services_by_name["PurserService"]


class BadTenant(Refusal):
    """The tenant named is not an id."""

    code = "purser.bad_tenant"


class Api:
    """PurserService."""

    def __init__(self, allowances: Allowances) -> None:
        self._allowances = allowances

    async def GetLimits(self, request: pb.GetLimitsRequest, call: Call) -> pb.Limits:
        """What a tenant may use: services name it, others see their own."""
        if call.principal.kind is PrincipalKind.SERVICE:
            return _limits(await self._allowances.of(_tenant(request.tenant_id)))
        if request.tenant_id and request.tenant_id != str(call.tenant):
            raise Forbidden("You can only see the limits of your own tenant.")
        return _limits(await self._allowances.of(call.tenant))

    async def SetSuspension(self, request: pb.SetSuspensionRequest, call: Call) -> pb.Limits:
        """Suspend a tenant, or lift its suspension."""
        tenant = _tenant(request.tenant_id)
        metrics.SUSPENSIONS.labels(change="suspended" if request.suspended else "lifted").inc()
        if request.suspended:
            return _limits(await self._allowances.suspend(tenant, request.reason, by=caller(call)))
        return _limits(await self._allowances.lift(tenant, by=caller(call)))


def _limits(found: Limits) -> pb.Limits:
    return to_message(pb.Limits, found)


def _tenant(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise BadTenant("Name the tenant by its id.") from error
