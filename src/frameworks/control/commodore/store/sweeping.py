"""What time removes, across tenants: dead directory entries, sessions, links and spent proofs."""

from datetime import datetime, timedelta

from frameworks.kit.sql import Database

KEPT_AFTER_EXPIRY = timedelta(days=1)


class SweepStore:
    """Clean-up in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def system_sweep(self, now: datetime) -> int:
        """Remove what expired a day ago or more; how many rows."""
        removed = 0
        async with self._db.system() as c:
            for table in ("directory", "links", "refresh_tokens", "spent_proofs"):
                tag = await c.execute(
                    f"DELETE FROM commodore.{table} WHERE expires_at < $1", now - KEPT_AFTER_EXPIRY
                )
                removed += int(tag.rpartition(" ")[2])
        return removed
