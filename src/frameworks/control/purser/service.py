"""Use cases: say what a tenant may use; suspend a tenant and lift the suspension."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.control.purser.domain import Limits, Plan, Suspension, limits, reason
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock

log = logs.get("purser")


class Suspensions(Protocol):
    """Where suspensions are kept."""

    async def suspension(self, tenant: UUID) -> Suspension | None:
        """The tenant's suspension, if there is one."""

    async def suspend(self, tenant: UUID, suspension: Suspension, *, by: Actor, at: datetime) -> None:
        """Keep or replace the tenant's suspension, and have Commodore told."""

    async def lift(self, tenant: UUID, *, by: Actor, at: datetime) -> None:
        """Remove the tenant's suspension, and have Commodore told."""


class Allowances:
    """What each tenant may use."""

    def __init__(
        self, store: Suspensions, free: Plan, clock: Clock, nudge: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._free = free
        self._clock = clock
        self._nudge = nudge

    async def of(self, tenant: UUID) -> Limits:
        """The tenant's limits now."""
        return limits(self._free, await self._store.suspension(tenant))

    async def suspend(self, tenant: UUID, text: str, *, by: Actor) -> Limits:
        """Stop what costs money for this tenant, and say why; raises BadReason."""
        suspension = Suspension(reason(text))
        await self._store.suspend(tenant, suspension, by=by, at=self._clock.now())
        self._nudge()
        log.info("tenant.suspended", tenant_id=str(tenant), by=by.id)
        return limits(self._free, suspension)

    async def lift(self, tenant: UUID, *, by: Actor) -> Limits:
        """Allow it again."""
        await self._store.lift(tenant, by=by, at=self._clock.now())
        self._nudge()
        log.info("tenant.unsuspended", tenant_id=str(tenant), by=by.id)
        return limits(self._free, None)
