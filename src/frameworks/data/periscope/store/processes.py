"""What processes say of themselves, in PostgreSQL."""

import msgspec

from frameworks.data.periscope.service.processes import FORGOTTEN, Report
from frameworks.kit.clock import from_micros
from frameworks.kit.sql import Database

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Report).decode


class PostgresProcesses:
    """One row a process."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def keep(self, report: Report) -> None:
        """Replace what this process said before; processes that went away are forgotten."""
        async with self._db.system() as c:
            await c.execute(
                """INSERT INTO periscope.processes (id, report, seen_at) VALUES ($1, $2, $3)
                   ON CONFLICT (id) DO UPDATE SET report = excluded.report, seen_at = excluded.seen_at""",
                *(report.id, _ENCODE(report), from_micros(report.reported_at)),
            )
            await c.execute(
                "DELETE FROM periscope.processes WHERE seen_at <= $1",
                from_micros(report.reported_at - FORGOTTEN),
            )

    async def all(self, since: int) -> list[Report]:
        """The reports since then."""
        async with self._db.system() as c:
            rows = await c.fetch(
                "SELECT report FROM periscope.processes WHERE seen_at > $1", from_micros(since)
            )
        return [_DECODE(row["report"]) for row in rows]
