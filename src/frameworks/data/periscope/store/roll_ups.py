"""Writes what is computed from facts: buckets, their hours and days, and sessions, each a new version of its rows."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from frameworks.data.periscope.domain import Kind, Mark
from frameworks.data.periscope.store import buckets, periods, sessions
from frameworks.data.periscope.store.choosing import Chosen, marked
from frameworks.kit.analytics import Analytics
from frameworks.kit.clock import micros

STATEMENTS: Mapping[Kind, Mapping[str, str]] = {
    **buckets.STATEMENTS,
    **sessions.STATEMENTS,
    **periods.STATEMENTS,
}
"""Kind → table → the statement that writes it."""

SOURCES = ("health", "lifecycle", "viewers", "peaks", "nodes")


def statement(sql: str, table: str, chosen: Chosen, *, shadow: str = "") -> str:
    """The statement as it runs; with a `shadow` it reads and writes tables of that ending."""
    return sql.format(**chosen.values(f"{table}{shadow}"), **_sources(shadow))


def _sources(shadow: str) -> dict[str, str]:
    return {f"{name}_{grain}": f"{name}_{grain}{shadow}" for name in SOURCES for grain in ("5m", "1h")}


class ClickHouseRollUps:
    """Every table that is computed."""

    def __init__(self, analytics: Analytics, now: Callable[[], datetime], *, silent_after: timedelta) -> None:
        self._analytics = analytics
        self._now = now
        self._silent_after = silent_after

    async def recompute(self, kind: Kind, dirty: Sequence[Mark]) -> None:
        """Write a new version of these from what there is now."""
        horizon = micros(self._now() - self._silent_after)
        for table, sql in STATEMENTS[kind].items():
            await self._analytics.command(statement(sql, table, marked(kind, dirty, horizon)))
