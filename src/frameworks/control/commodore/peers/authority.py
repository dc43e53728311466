"""Quartermaster and Purser as Commodore needs them."""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from frameworks.contracts.pb import purser_v1_pb2 as purser_pb
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster_pb
from frameworks.control.commodore.domain.admission import Standing

if TYPE_CHECKING:
    from frameworks.contracts.pb.purser_v1_pb2_grpc import PurserServiceAsyncStub
    from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceAsyncStub


class TenantRegistry:
    """Makes and closes tenants in Quartermaster."""

    def __init__(self, quartermaster: "QuartermasterServiceAsyncStub") -> None:
        self._quartermaster = quartermaster

    async def create(self, name: str, idempotency_key: str, *, operator: bool = False) -> UUID:
        """The tenant made for this key, made now unless it exists."""
        request = quartermaster_pb.CreateTenantRequest(
            name=name, idempotency_key=idempotency_key, operator=operator
        )
        return UUID((await self._quartermaster.CreateTenant(request)).id)

    async def close(self, tenant: UUID) -> None:
        """Switch a tenant off; repeating it does no harm."""
        await self._quartermaster.DeleteTenant(quartermaster_pb.DeleteTenantRequest(tenant_id=str(tenant)))


class StandingAuthority:
    """Asks Quartermaster where a tenant lives and Purser what it may use."""

    def __init__(
        self, quartermaster: "QuartermasterServiceAsyncStub", purser: "PurserServiceAsyncStub"
    ) -> None:
        self._quartermaster = quartermaster
        self._purser = purser

    async def standing(self, tenant: UUID) -> Standing:
        """The tenant's standing now; raises Unavailable when either is away."""
        routing, limits = await asyncio.gather(self._routing(tenant), self._limits(tenant))
        return Standing(
            active=routing.tenant_active,
            cluster_ids=tuple(routing.cluster_ids),
            suspended=limits.suspended,
            max_streams=limits.max_streams,
            max_live_streams=limits.max_live_streams,
            max_viewers=limits.max_viewers,
            max_ingest_kbps=limits.max_ingest_kbps,
        )

    async def _routing(self, tenant: UUID) -> quartermaster_pb.Routing:
        request = quartermaster_pb.GetRoutingRequest(tenant_id=str(tenant))
        return await self._quartermaster.GetRouting(request)

    async def _limits(self, tenant: UUID) -> purser_pb.Limits:
        return await self._purser.GetLimits(purser_pb.GetLimitsRequest(tenant_id=str(tenant)))
