"""Directory entries: what finds the tenant and the thing of a hash or a public id."""

from datetime import datetime
from uuid import UUID

from frameworks.kit.sql import Connection, Database


async def resolve(db: Database, kind: str, value: str) -> tuple[UUID, UUID] | None:
    """The tenant and the thing an entry stands for."""
    async with db.directory() as c:
        row = await c.fetchrow(
            "SELECT tenant_id, subject FROM commodore.directory WHERE kind = $1 AND value = $2", kind, value
        )
    return (row["tenant_id"], row["subject"]) if row else None


async def enter(
    c: Connection, tenant: UUID, kind: str, value: str, subject: UUID, expires_at: datetime | None = None
) -> None:
    """Add an entry of the transaction's tenant; raises UniqueViolation when it exists."""
    await c.execute(
        """INSERT INTO commodore.directory (tenant_id, kind, value, subject, expires_at)
           VALUES ($1, $2, $3, $4, $5)""",
        tenant,
        kind,
        value,
        subject,
        expires_at,
    )


async def remove(c: Connection, tenant: UUID, kind: str, subject: UUID) -> None:
    """Remove the entries of one kind that stand for a thing."""
    await c.execute(
        "DELETE FROM commodore.directory WHERE tenant_id = $1 AND kind = $2 AND subject = $3",
        tenant,
        kind,
        subject,
    )
