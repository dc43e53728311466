"""Clusters: what a tenant may see and use, which it prefers, and its own."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.control.quartermaster.domain import (
    Cluster,
    ClusterAccess,
    Enrollment,
    Invalid,
    NoSuchTenant,
    title,
)
from frameworks.control.quartermaster.service.enrollment import Enrollments
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, random_text
from frameworks.kit.paging import Paged, Window

log = logs.get("quartermaster")


class Store(Protocol):
    """Where clusters and the access to them are kept."""

    async def create_owned(
        self, tenant: UUID, cluster: Cluster, most: int, *, by: Actor | None = None
    ) -> None:
        """Keep a tenant's own cluster; raises TooManyClusters."""

    async def cluster(self, tenant: UUID, cluster_id: str, now: datetime) -> Cluster:
        """A cluster this tenant may see; raises NoSuchCluster."""

    async def clusters(
        self, tenant: UUID, window: Window, now: datetime, *, public: bool = False
    ) -> Paged[Cluster]:
        """The clusters this tenant may see, or only the public ones."""

    async def access(self, tenant: UUID, window: Window, now: datetime) -> Paged[ClusterAccess]:
        """The clusters that may serve this tenant."""

    async def routing(self, tenant: UUID, now: datetime) -> tuple[list[str], bool] | None:
        """Where the tenant may be served, best first, and whether it is active."""

    async def require_entitled(self, tenant: UUID, cluster_id: str, now: datetime) -> None:
        """Raises NotEntitled unless the cluster may serve this tenant."""


class Preferences(Protocol):
    """Where a tenant's preferred cluster is kept."""

    async def set_preferred(
        self, tenant: UUID, cluster_id: str, at: datetime, *, by: Actor | None = None
    ) -> None:
        """Remember the cluster the tenant would rather be served by."""


class Clusters:
    """The clusters of the platform, as each tenant may see them."""

    def __init__(
        self,
        store: Store,
        preferences: Preferences,
        enrollments: Enrollments,
        clock: Clock,
        *,
        most_owned: int,
    ) -> None:
        self._store = store
        self._preferences = preferences
        self._enrollments = enrollments
        self._clock = clock
        self._most_owned = most_owned

    async def one(self, tenant: UUID, cluster_id: str) -> Cluster:
        """A cluster this tenant may see; raises NoSuchCluster."""
        return await self._store.cluster(tenant, cluster_id, self._clock.now())

    async def visible(self, tenant: UUID, window: Window) -> Paged[Cluster]:
        """All clusters this tenant may see."""
        return await self._store.clusters(tenant, window, self._clock.now())

    async def available(self, tenant: UUID, window: Window) -> Paged[Cluster]:
        """The clusters open to everyone."""
        return await self._store.clusters(tenant, window, self._clock.now(), public=True)

    async def access(self, tenant: UUID, window: Window) -> Paged[ClusterAccess]:
        """The clusters that may serve this tenant."""
        return await self._store.access(tenant, window, self._clock.now())

    async def routing(self, tenant: UUID) -> tuple[list[str], bool]:
        """Where the tenant may be served, best first, and whether it is active; raises NoSuchTenant."""
        found = await self._store.routing(tenant, self._clock.now())
        if found is None:
            raise NoSuchTenant("There is no such tenant.")
        return found

    async def prefer(self, tenant: UUID, cluster_id: str, *, by: Actor | None = None) -> Cluster:
        """Make this the cluster the tenant is served by when possible; raises NoSuchCluster or NotEntitled."""
        now = self._clock.now()
        await self._store.cluster(tenant, cluster_id, now)
        await self._store.require_entitled(tenant, cluster_id, now)
        await self._preferences.set_preferred(tenant, cluster_id, now, by=by)
        log.info("cluster.preferred", tenant_id=str(tenant), cluster_id=cluster_id)
        return await self._store.cluster(tenant, cluster_id, now)

    async def create_edge(
        self, tenant: UUID, *, name: str, region: str, description: str, by: Actor | None = None
    ) -> tuple[Cluster, Enrollment, str]:
        """A private cluster of this tenant, and a token its first node enrols with."""
        if len(region) > 100 or len(description) > 500 or "\0" in region + description:
            raise Invalid("The region has at most 100 characters, the description 500.", field="region")
        now = self._clock.now()
        cluster = Cluster(
            id=f"edge-{random_text(12)}",
            name=title(name),
            type="edge",
            owner_tenant_id=tenant,
            deployment_model="dedicated",
            region=region.strip(),
            visibility="private",
            short_description=description.strip(),
            created_at=now,
            updated_at=now,
            owned=True,
        )
        await self._store.create_owned(tenant, cluster, self._most_owned, by=by)
        log.info("cluster.created", tenant_id=str(tenant), cluster_id=cluster.id)
        enrollment, token = await self._enrollments.issue(
            tenant, cluster.id, name="First node", ttl_seconds=0, by=by
        )
        return cluster, enrollment, token
