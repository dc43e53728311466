"""Shadows of the computed tables: the same statements, over whole days, into tables of their own."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from frameworks.data.periscope.domain import DAY, LONGEST_SESSION, SECOND, Kind
from frameworks.data.periscope.service.rebuild import Compared, Difference, Part
from frameworks.data.periscope.store.choosing import VERSION, between, everything, instant
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
_BEARING: Mapping[Kind, Mapping[str, str]] = {
    Kind.HEALTH: {"stream_health": "0"},
    Kind.LIFECYCLE: {
        "stream_events": f"toInt64(least(duration_ms, {LONGEST_SESSION // 1000})) * 1000",
        "stream_views": "0",
    },
    Kind.VIEWERS: {"connection_events": f"toInt64(least(seconds, {LONGEST_SESSION // SECOND})) * {SECOND}"},
    Kind.NODES: {"node_metrics": "0"},
    Kind.SESSIONS: {"connection_events": "0"},
    Kind.CLAIMS: {"stream_events": "0"},
}
"""The tables of a kind's facts, and for how many microseconds before its time a fact bears on buckets."""
_STANDING = "SELECT name FROM system.tables WHERE database = 'periscope' AND name IN {names:Array(String)}"
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

    async def days(self, whole: Part) -> Mapping[int, int]:
        """The days on which facts of this kind bear; a session bears on every day it lasted."""
        until = whole.last + LONGEST_SESSION
        inside = f"{_whose(whole)} AND {between('occurred_at', whole.first, until)}"
        sources = " UNION ALL ".join(
            f"""SELECT arrayJoin(range(toUInt64(intDiv(at - {lasted}, {DAY})), toUInt64(intDiv(at, {DAY})) + 1)) AS day
                FROM (SELECT *, toUnixTimestamp64Micro(occurred_at) AS at FROM periscope.{table} WHERE {inside})"""
            for table, lasted in _BEARING[whole.kind].items()
        )
        sql = f"SELECT day, count() AS facts FROM ({sources}) GROUP BY day"
        rows = await self._analytics.query(sql, {}, Scope.system(_REASON))
        return {row["day"] * DAY: row["facts"] for row in rows}

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
        counts = f"""SELECT countIf(version < {began}) AS rows, countIf(version >= {began}) AS rewritten
            FROM periscope.{table} FINAL WHERE {inside}"""
        (count,) = await self._analytics.query(counts, {}, Scope.system(_REASON))
        differing = await self._differing(table, part, began)
        total = f"SELECT count() AS n FROM ({differing})"
        (differs,) = await self._analytics.query(total, {}, Scope.system(_REASON))
        examples = await self._examples(differing) if differs["n"] else []
        return Compared(table, count["rows"], count["rewritten"], differs["n"], examples)

    async def _examples(self, differing: str) -> list[Difference]:
        rows = await self._analytics.query(f"{differing} LIMIT {EXAMPLES}", {}, Scope.system(_REASON))
        return [Difference(row["key"], row["standing"], row["rebuilt"]) for row in rows]

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
        names = [f"{table}{SHADOW}" for table in _TABLES]
        for row in await self._analytics.query(_STANDING, {"names": names}, Scope.system(_REASON)):
            await self._analytics.command(f"DROP TABLE IF EXISTS periscope.{row['name']} SYNC")


def _keys(table: str) -> str:
    return _KEYS.get(table) or _KEYS.get(table.rpartition("_")[0]) or "tenant_id, stream_id, bucket"


def _inside(part: Part) -> str:
    """Rows of the part's tenant and range."""
    if part.kind in (Kind.SESSIONS, Kind.CLAIMS):
        return f"{_whose(part)} AND ended_at >= {instant(part.first)}"
    return f"{_whose(part)} AND bucket >= toDateTime({part.first // SECOND}, 'UTC')"


def _whose(part: Part) -> str:
    return "1" if part.tenant is None else f"tenant_id = toUUID('{part.tenant}')"


def _shown(part: Part) -> str:
    """Sessions that closed: an open one's row is brought up to date when it closes."""
    return " AND closed" if part.kind in (Kind.SESSIONS, Kind.CLAIMS) else ""
