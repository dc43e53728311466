"""Enforcement: when a tenant may do less than before, what it may no longer do ends now."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from frameworks.control.commodore.domain import admission as rules
from frameworks.control.commodore.domain.admission import Standing
from frameworks.control.commodore.service.standing import Standings
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock

log = logs.get("commodore")


class Store(Protocol):
    """Where orders to Foghorn are written."""

    async def stop_all(self, tenant: UUID, reason: str, now: datetime) -> int:
        """Order everything the tenant has on air stopped; how many streams."""

    async def look_again(self, tenant: UUID, now: datetime) -> None:
        """Have Foghorn ask about the tenant again."""


class Enforcement:
    """Turns a changed standing into orders."""

    def __init__(
        self, store: Store, standings: Standings, clock: Clock, nudge: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._standings = standings
        self._clock = clock
        self._nudge = nudge

    async def standing_changed(self, tenant: UUID) -> None:
        """Act on the tenant's standing as it is now; raises Unavailable when nobody can say."""
        self._standings.forget(tenant)
        reason = _objection(await self._standings.to_start(tenant))
        if reason:
            stopped = await self._store.stop_all(tenant, reason, self._clock.now())
            log.info("tenant.stopped", tenant_id=str(tenant), reason=reason, streams=stopped)
        else:
            await self._store.look_again(tenant, self._clock.now())
        self._nudge()


def _objection(standing: Standing) -> str:
    if not standing.active:
        return rules.TENANT_INACTIVE
    return rules.TENANT_SUSPENDED if standing.suspended else ""
