"""Shadows of the computed tables: the same statements, over whole days, into tables of their own."""

from collections.abc import Callable
from datetime import datetime, timedelta

from frameworks.data.periscope.domain import SECOND, Kind
from frameworks.data.periscope.service.rebuild import Compared, Difference, Part
from frameworks.data.periscope.store.choosing import VERSION, everything, instant
from frameworks.data.periscope.store.roll_ups import STATEMENTS, statement
from frameworks.kit.analytics import Analytics, Scope
from frameworks.kit.clock import micros

SHADOW = "_rebuilt"
EXAMPLES = 20
_REASON = "rebuilds history"
_TABLES = tuple(table for tables in STATEMENTS.values() for table in tables)
_KEYS = {
    "viewers": "tenant_id, stream_id, bucket, country, cluster_id",
    "nodes": "tenant_id, node_id, bucket",
    "viewer_sessions_final": "tenant_id, stream_id, node_id, session_id",
    "stream_sessions_final": "tenant_id, stream_id, claim_epoch",
}
_COLUMNS = "SELECT name, type FROM system.columns WHERE database = 'periscope' AND table = {table:String} ORDER BY name"
_NOW = "SELECT toUnixTimestamp64Micro(now64(6)) AS at"


class ClickHouseShadows:
    """Tables beside the standing ones."""

    def __init__(self, analytics: Analytics, now: Callable[[], datetime], *, silent_after: timedelta) -> None:
        self._analytics = analytics
        self._now = now
        self._silent_after = silent_after

    async def open(self) -> int:
        """Make them, empty; the engine's clock."""
        await self.close()
        for table in _TABLES:
            await self._analytics.command(f"CREATE TABLE periscope.{table}{SHADOW} AS periscope.{table}")
        (row,) = await self._analytics.query(_NOW, {}, Scope.public())
        began: int = row["at"]
        return began

    async def compute(self, part: Part) -> None:
        """Compute a part from facts, or from the finer shadow."""
        horizon = micros(self._now() - self._silent_after)
        chosen = everything(part.kind, part.tenant, part.first, part.last, horizon)
        for table, sql in STATEMENTS[part.kind].items():
            await self._analytics.command(statement(sql, table, chosen, shadow=SHADOW))

    async def compare(self, part: Part, began: int) -> list[Compared]:
        """The tables of this kind in the part's range."""
        return [await self._compared(table, part, began) for table in STATEMENTS[part.kind]]

    async def _compared(self, table: str, part: Part, began: int) -> Compared:
        inside = _inside(part) + _shown(part)
        differing = await self._differing(table, part, began)
        counts = f"""SELECT countIf(version < {began}) AS rows, countIf(version >= {began}) AS rewritten
            FROM periscope.{table} FINAL WHERE {inside}"""
        (count,) = await self._analytics.query(counts, {}, Scope.system(_REASON))
        total = f"SELECT count() AS n FROM ({differing})"
        (differs,) = await self._analytics.query(total, {}, Scope.system(_REASON))
        rows = await self._analytics.query(f"{differing} LIMIT {EXAMPLES}", {}, Scope.system(_REASON))
        examples = [Difference(row["key"], row["standing"], row["rebuilt"]) for row in rows]
        return Compared(table, count["rows"], count["rewritten"], differs["n"], examples)

    async def _differing(self, table: str, part: Part, began: int) -> str:
        """A query of the rows that are not the same on both sides, leaving out what was rewritten meanwhile."""
        inside, keys = _inside(part) + _shown(part), _keys(table)
        columns = await self._analytics.query(_COLUMNS, {"table": table}, Scope.system(_REASON))
        values = ", ".join(
            f"finalizeAggregation({column['name']})"
            if column["type"].startswith("AggregateFunction")
            else column["name"]
            for column in columns
            if column["name"] != "version"
        )
        return f"""SELECT toString(tuple({keys})) AS key, maxIf(row, side = 1) AS standing,
                maxIf(row, side = 2) AS rebuilt
            FROM (SELECT 1 AS side, {keys}, toString(tuple({values})) AS row FROM periscope.{table} FINAL
                WHERE {inside} AND version < {began}
                UNION ALL SELECT 2, {keys}, toString(tuple({values})) FROM periscope.{table}{SHADOW} FINAL
                WHERE {inside} AND tuple({keys}) NOT IN (
                    SELECT tuple({keys}) FROM periscope.{table} FINAL WHERE {inside} AND version >= {began}))
            GROUP BY {keys} HAVING standing != rebuilt"""

    async def replace(self, part: Part, began: int) -> None:
        """Write what differs into the standing tables."""
        for table in STATEMENTS[part.kind]:
            keys, inside = _keys(table), _inside(part)
            differing = await self._differing(table, part, began)
            wrong = f"toString(tuple({keys})) IN (SELECT key FROM ({differing}))"
            await self._analytics.command(
                f"""INSERT INTO periscope.{table} SELECT * REPLACE ({VERSION} AS version)
                    FROM periscope.{table}{SHADOW} FINAL WHERE {inside} AND {wrong}"""
            )
            extra = f"toString(tuple({keys})) IN (SELECT key FROM ({differing}) WHERE rebuilt = '')"
            await self._analytics.command(f"DELETE FROM periscope.{table} WHERE {inside} AND {extra}")

    async def close(self) -> None:
        """Remove them."""
        for table in _TABLES:
            await self._analytics.command(f"DROP TABLE IF EXISTS periscope.{table}{SHADOW} SYNC")


def _keys(table: str) -> str:
    return _KEYS.get(table) or _KEYS.get(table.rpartition("_")[0]) or "tenant_id, stream_id, bucket"


def _inside(part: Part) -> str:
    """Rows of the part's tenant and range."""
    whose = "1" if part.tenant is None else f"tenant_id = toUUID('{part.tenant}')"
    if part.kind in (Kind.SESSIONS, Kind.CLAIMS):
        return f"{whose} AND ended_at >= {instant(part.first)}"
    return f"{whose} AND bucket >= toDateTime({part.first // SECOND}, 'UTC')"


def _shown(part: Part) -> str:
    """Sessions that closed: an open one's row is brought up to date when it closes."""
    return " AND closed" if part.kind in (Kind.SESSIONS, Kind.CLAIMS) else ""
