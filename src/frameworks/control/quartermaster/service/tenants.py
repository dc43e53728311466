"""Tenants: made once per idempotency key, changed by themselves, switched off for good."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.control.quartermaster.domain import (
    NoSuchCluster,
    NoSuchTenant,
    Taken,
    Tenant,
    tenant_changes,
    title,
)
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, uuid7

log = logs.get("quartermaster")


class Store(Protocol):
    """Where tenants are kept."""

    async def resolve_tenant(self, kind: str, value: str) -> UUID | None:
        """The tenant that a directory entry names."""

    async def create(self, tenant: Tenant, entries: Mapping[str, str], shared_cluster: str) -> None:
        """Keep a new tenant; raises Taken when one of its directory entries exists."""

    async def tenant(self, tenant: UUID) -> Tenant | None:
        """The tenant's own row."""

    async def update(
        self, tenant: UUID, changes: Mapping[str, str], at: datetime, *, by: Actor | None = None
    ) -> Tenant:
        """Change what is named; raises NoSuchTenant or Taken."""

    async def deactivate(self, tenant: UUID, at: datetime, *, by: Actor | None = None) -> None:
        """Switch the tenant off and free its names."""


class Tenants:
    """The registry of tenants."""

    def __init__(self, store: Store, clock: Clock, shared_cluster: str) -> None:
        self._store = store
        self._clock = clock
        self._shared = shared_cluster

    async def ensure(self, *, name: str, idempotency_key: str, operator: bool = False) -> Tenant:
        """The tenant made for this key, or the operator's; made now unless it exists. Safe to repeat and to race."""
        kind, value = ("operator", "") if operator else ("idempotency", _digest(idempotency_key))
        known = await self._store.resolve_tenant(kind, value)
        if known is None:
            now = self._clock.now()
            tenant = Tenant(
                id=uuid7(now),
                name=title(name),
                primary_cluster_id=self._shared,
                operator=operator,
                created_at=now,
                updated_at=now,
            )
            try:
                await self._store.create(tenant, {kind: value}, self._shared)
            except Taken:
                known = await self._store.resolve_tenant(kind, value)
            else:
                log.info("tenant.created", tenant_id=str(tenant.id), operator=operator)
                return tenant
        if known is None:
            raise Taken("This tenant was made and removed at the same time; try again.")
        return await self.of(known)

    async def of(self, tenant: UUID) -> Tenant:
        """The tenant; raises NoSuchTenant."""
        found = await self._store.tenant(tenant)
        if found is None:
            raise NoSuchTenant("There is no such tenant.")
        return found

    async def owner_of_cluster(self, cluster_id: str) -> UUID:
        """The tenant that owns a cluster; raises NoSuchCluster."""
        owner = await self._store.resolve_tenant("cluster", cluster_id)
        if owner is None:
            raise NoSuchCluster("There is no such cluster.")
        return owner

    async def update(self, tenant: UUID, changes: Mapping[str, str], *, by: Actor | None = None) -> Tenant:
        """Change the tenant's name or looks; raises Invalid, Taken, NoSuchTenant."""
        updated = await self._store.update(tenant, tenant_changes(changes), self._clock.now(), by=by)
        log.info("tenant.updated", tenant_id=str(tenant), fields=sorted(changes))
        return updated

    async def deactivate(self, tenant: UUID, *, by: Actor | None = None) -> None:
        """Switch the tenant off; it can not be switched on again."""
        await self._store.deactivate(tenant, self._clock.now(), by=by)
        log.info("tenant.deactivated", tenant_id=str(tenant))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
