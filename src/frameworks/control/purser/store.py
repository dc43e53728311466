"""The only SQL of Purser; every method takes the tenant first."""

from datetime import datetime
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.contracts.audit_trail import note
from frameworks.control.purser.domain import STANDING_CHANGED, Suspension
from frameworks.kit import outbox
from frameworks.kit.sql import Connection, Database


class PostgresStore:
    """Suspensions in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def suspension(self, tenant: UUID) -> Suspension | None:
        """The tenant's suspension, if there is one."""
        async with self._db.tenant(tenant) as c:
            said = await c.fetchval("SELECT reason FROM purser.suspensions WHERE tenant_id = $1", tenant)
        return Suspension(said) if said is not None else None

    async def suspend(self, tenant: UUID, suspension: Suspension, *, by: Actor, at: datetime) -> None:
        """Keep or replace the tenant's suspension."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                """INSERT INTO purser.suspensions (tenant_id, reason, suspended_by, suspended_at)
                   VALUES ($1, $2, $3, $4)
                   ON CONFLICT (tenant_id) DO UPDATE SET reason = excluded.reason,
                     suspended_by = excluded.suspended_by, suspended_at = excluded.suspended_at
                   WHERE suspensions.tenant_id = $1""",
                tenant,
                suspension.reason,
                by.id,
                at,
            )
            await note(c, "purser", tenant, "tenant.suspended", tenant, at=at, by=by)
            await _told(c, tenant)

    async def lift(self, tenant: UUID, *, by: Actor, at: datetime) -> None:
        """Remove the tenant's suspension."""
        async with self._db.tenant(tenant) as c:
            tag = await c.execute("DELETE FROM purser.suspensions WHERE tenant_id = $1", tenant)
            if tag == "DELETE 1":
                await note(c, "purser", tenant, "tenant.unsuspended", tenant, at=at, by=by)
            await _told(c, tenant)


async def _told(c: Connection, tenant: UUID) -> None:
    await outbox.add(c, "purser", STANDING_CHANGED, str(tenant), str(tenant).encode())
