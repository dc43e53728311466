"""Tenants, and the directory that finds them."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.contracts.audit_trail import note
from frameworks.control.quartermaster.domain import SHARED_PRIORITY, NoSuchTenant, Taken, Tenant
from frameworks.kit.sql import Connection, Database, UniqueViolation

_COLUMNS = """tenant_id AS id, name, subdomain, custom_domain, logo_url, primary_color, secondary_color,
    deployment_tier, deployment_model, primary_cluster_id, active, operator, created_at, updated_at"""
_CHANGEABLE = ("name", "subdomain", "custom_domain", "logo_url", "primary_color", "secondary_color")
_UNIQUE = ("subdomain", "custom_domain")


class TenantStore:
    """Tenants in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_tenant(self, kind: str, value: str) -> UUID | None:
        """The tenant that a directory entry names."""
        async with self._db.directory() as c:
            found: UUID | None = await c.fetchval(
                "SELECT tenant_id FROM quartermaster.directory WHERE kind = $1 AND value = $2", kind, value
            )
            return found

    async def create(self, tenant: Tenant, entries: Mapping[str, str], shared_cluster: str) -> None:
        """Keep a new tenant with access to the shared cluster; raises Taken when one of its entries exists."""
        try:
            async with self._db.tenant(tenant.id) as c:
                for kind, value in entries.items():
                    await _enter(c, tenant.id, kind, value)
                await _insert(c, tenant)
                await c.execute(
                    """INSERT INTO quartermaster.cluster_access
                       (tenant_id, cluster_id, access_level, priority, granted_at) VALUES ($1, $2, 'shared', $3, $4)""",
                    tenant.id,
                    shared_cluster,
                    SHARED_PRIORITY,
                    tenant.created_at,
                )
                made = tenant.id, "tenant.created", tenant.id
                await note(c, "quartermaster", *made, at=tenant.created_at, by=None)
        except UniqueViolation as error:
            raise Taken("This tenant exists already.") from error

    async def tenant(self, tenant: UUID) -> Tenant | None:
        """The tenant's own row."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                f"SELECT {_COLUMNS} FROM quartermaster.tenants WHERE tenant_id = $1", tenant
            )
        return Tenant(**row) if row else None

    async def update(
        self, tenant: UUID, changes: Mapping[str, str], at: datetime, *, by: Actor | None = None
    ) -> Tenant:
        """Change what is named; raises NoSuchTenant, or Taken for a subdomain or domain of another tenant."""
        names = [name for name in _CHANGEABLE if name in changes]
        assignments = "".join(f"{name} = ${place}, " for place, name in enumerate(names, start=3))
        try:
            async with self._db.tenant(tenant) as c:
                for kind in _UNIQUE:
                    if kind in changes:
                        await _replace(c, tenant, kind, changes[kind])
                row = await c.fetchrow(
                    f"""UPDATE quartermaster.tenants SET {assignments}updated_at = $2
                        WHERE tenant_id = $1 AND active RETURNING {_COLUMNS}""",
                    tenant,
                    at,
                    *(changes[name] for name in names),
                )
                if row is not None:
                    what = tenant, "tenant.updated", tenant
                    said = {"changed": ",".join(names)}
                    await note(c, "quartermaster", *what, at=at, by=by, attributes=said)
        except UniqueViolation as error:
            raise Taken("This name belongs to another tenant.") from error
        if row is None:
            raise NoSuchTenant("There is no such tenant.")
        return Tenant(**row)

    async def set_preferred(
        self, tenant: UUID, cluster_id: str, at: datetime, *, by: Actor | None = None
    ) -> None:
        """Remember the cluster the tenant would rather be served by."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                """UPDATE quartermaster.tenants SET primary_cluster_id = $2, updated_at = $3
                   WHERE tenant_id = $1""",
                tenant,
                cluster_id,
                at,
            )
            await note(c, "quartermaster", tenant, "cluster.preferred", cluster_id, at=at, by=by)

    async def deactivate(self, tenant: UUID, at: datetime, *, by: Actor | None = None) -> None:
        """Switch the tenant off, and free its idempotency key, subdomain and domain; the row stays for history."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                "UPDATE quartermaster.tenants SET active = false, updated_at = $2 WHERE tenant_id = $1",
                tenant,
                at,
            )
            await c.execute(
                """DELETE FROM quartermaster.directory
                   WHERE tenant_id = $1 AND kind IN ('idempotency', 'subdomain', 'custom_domain')""",
                tenant,
            )
            await note(c, "quartermaster", tenant, "tenant.closed", tenant, at=at, by=by)


async def _insert(c: Connection, tenant: Tenant) -> None:
    await c.execute(
        """INSERT INTO quartermaster.tenants
           (tenant_id, name, primary_cluster_id, operator, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)""",
        tenant.id,
        tenant.name,
        tenant.primary_cluster_id,
        tenant.operator,
        tenant.created_at,
        tenant.updated_at,
    )


async def _enter(c: Connection, tenant: UUID, kind: str, value: str) -> None:
    await c.execute(
        "INSERT INTO quartermaster.directory (tenant_id, kind, value) VALUES ($1, $2, $3)",
        tenant,
        kind,
        value,
    )


async def _replace(c: Connection, tenant: UUID, kind: str, value: str) -> None:
    await c.execute("DELETE FROM quartermaster.directory WHERE tenant_id = $1 AND kind = $2", tenant, kind)
    if value:
        await _enter(c, tenant, kind, value)
