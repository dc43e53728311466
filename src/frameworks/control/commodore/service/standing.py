"""A tenant's standing: whether it is active, where it may be served, and within which limits."""

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from frameworks.control.commodore.domain.admission import Standing
from frameworks.kit.clock import Clock
from frameworks.kit.stale import Ages, StaleCache

FRESH = timedelta(seconds=5)
NEW_SPEND = timedelta(minutes=5)
"""How old a standing may be when something new starts while its source is away."""
RUNNING = timedelta(hours=24)
"""How old it may be for what runs already."""


class Authority(Protocol):
    """Quartermaster and Purser, asked together."""

    async def standing(self, tenant: UUID) -> Standing:
        """The tenant's standing now; raises Unavailable when either is away."""


class Standings:
    """Standings, fresh for seconds; new spend needs a recent one, what runs is served stale."""

    def __init__(self, authority: Authority, clock: Clock) -> None:
        ages = Ages(fresh=FRESH.total_seconds(), stale=NEW_SPEND.total_seconds())
        self._cache: StaleCache[UUID, Standing] = StaleCache(authority.standing, clock, ages)

    async def to_start(self, tenant: UUID) -> Standing:
        """What the tenant may start; raises Unavailable when nobody can say."""
        return await self._cache.get(tenant)

    async def to_continue(self, tenant: UUID) -> Standing:
        """What the tenant may go on with, as far as anybody knows; raises Unavailable when nobody ever said."""
        return await self._cache.get(tenant, stale=RUNNING.total_seconds())

    def forget(self, tenant: UUID) -> None:
        """Ask again next time."""
        self._cache.drop(tenant)
