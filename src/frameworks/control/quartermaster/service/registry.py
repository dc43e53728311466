"""The service registry: which instances run, as they report themselves."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from frameworks.control.quartermaster.domain import Invalid, ServiceInstance, instance
from frameworks.kit.clock import Clock
from frameworks.kit.paging import Paged, Window

MOST_INSTANCES = 200
FORGET_AFTER = timedelta(days=7)


class Store(Protocol):
    """Where instances are kept."""

    async def system_report(self, instances: Sequence[ServiceInstance], at: datetime) -> None:
        """Keep what each instance last said."""

    async def owned(
        self,
        tenant: UUID,
        window: Window,
        *,
        cluster_id: str = "",
        node_id: str = "",
        status: str = "",
        service: str = "",
    ) -> Paged[ServiceInstance]:
        """The instances in clusters this tenant owns."""

    async def running(
        self, tenant: UUID, window: Window, *, service: str, cluster_id: str, addresses: bool
    ) -> Paged[ServiceInstance]:
        """Healthy running instances in clusters open to this tenant."""

    async def system_mark_stale(self, heard_before: datetime, forget_before: datetime) -> int:
        """Call silent instances unhealthy; how many changed."""


class Registry:
    """Who runs, where."""

    def __init__(self, store: Store, clock: Clock, *, stale_after: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._stale_after = stale_after

    async def report(self, instances: Sequence[ServiceInstance]) -> None:
        """Heartbeats of instances; raises Invalid."""
        if len(instances) > MOST_INSTANCES:
            raise Invalid(f"Report at most {MOST_INSTANCES} instances at once.", field="instances")
        await self._store.system_report([instance(each) for each in instances], self._clock.now())

    async def owned(
        self, tenant: UUID, window: Window, *, cluster_id: str, node_id: str, status: str, service: str
    ) -> Paged[ServiceInstance]:
        """The instances in clusters this tenant owns."""
        return await self._store.owned(
            tenant, window, cluster_id=cluster_id, node_id=node_id, status=status, service=service
        )

    async def discover(
        self, tenant: UUID, window: Window, *, service: str, cluster_id: str, addresses: bool
    ) -> Paged[ServiceInstance]:
        """Healthy instances of a service; only operators learn addresses."""
        return await self._store.running(
            tenant, window, service=service, cluster_id=cluster_id, addresses=addresses
        )

    async def sweep(self) -> int:
        """Call every instance unhealthy that has been silent too long; how many."""
        now = self._clock.now()
        return await self._store.system_mark_stale(now - self._stale_after, now - FORGET_AFTER)
