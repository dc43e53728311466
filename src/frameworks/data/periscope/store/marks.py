"""Marks of what waits for roll-up, in ClickHouse beside the facts they are about.

A mark carries the engine's clock when it was made, which is after its facts could be read. A recomputation that began
later has therefore seen them: it notes when it began, and a bucket is dirty while its newest mark is not older.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from frameworks.data.periscope.domain import Kind, Mark
from frameworks.data.periscope.service.roll_up import Dirty
from frameworks.kit.analytics import Analytics, Scope, row_binary
from frameworks.kit.clock import from_micros

_TABLE = "periscope.dirty"
_KEY = ("kind", "tenant_id", "subject", "bucket")
_NEVER = datetime.fromtimestamp(0, UTC)
_REASON = "buckets that wait for roll-up"

_DIRTY = """
SELECT kind, tenant_id, subject, toInt64(toUnixTimestamp(bucket)) * 1000000 AS at, max(marked_at) AS newest,
    toUnixTimestamp64Micro(now64(6)) AS read_at
FROM periscope.dirty WHERE kind IN {kinds:Array(String)}
GROUP BY kind, tenant_id, subject, bucket HAVING newest >= max(done_at)
ORDER BY newest LIMIT {limit:UInt32}
"""

_WAITING = """
SELECT count() AS waiting, toUnixTimestamp64Micro(min(newest)) AS oldest_at
FROM (SELECT max(marked_at) AS newest FROM periscope.dirty GROUP BY kind, tenant_id, subject, bucket
    HAVING newest >= max(done_at))
"""


class ClickHouseMarks:
    """Where marks wait."""

    def __init__(self, analytics: Analytics) -> None:
        self._analytics = analytics

    async def mark(self, dirty: Collection[Mark]) -> None:
        """Remember that these must be recomputed; their facts are stored."""
        if dirty:
            await self._analytics.insert_binary(_TABLE, _KEY, _encoded(dirty))

    async def oldest(self, kinds: Collection[Kind], limit: int) -> Dirty:
        """What has waited longest, and when that was read."""
        params = {"kinds": sorted(kind.value for kind in kinds), "limit": limit}
        rows = await self._analytics.query(_DIRTY, params, Scope.system(_REASON))
        marks = [Mark(row["tenant_id"], Kind(row["kind"]), row["subject"], row["at"]) for row in rows]
        return Dirty(marks, rows[0]["read_at"] if rows else 0)

    async def done(self, marks: Sequence[Mark], read_at: int) -> None:
        """These were recomputed from what there was at `read_at` or later."""
        rows = [(*_row(mark), _NEVER, from_micros(read_at)) for mark in marks]
        await self._analytics.insert_rows(_TABLE, (*_KEY, "marked_at", "done_at"), rows)

    async def waiting(self) -> tuple[int, int]:
        """How many wait, and since when the oldest (microseconds; 0 when none)."""
        (row,) = await self._analytics.query(_WAITING, {}, Scope.system(_REASON))
        return row["waiting"], row["oldest_at"] if row["waiting"] else 0


def _row(mark: Mark) -> tuple[object, ...]:
    return mark.kind.value, mark.tenant, mark.subject, from_micros(mark.bucket)


_KINDS = {kind.value: row_binary.string(kind.value) for kind in Kind}
_string = lru_cache(8192)(row_binary.string)
_date_time = lru_cache(4096)(row_binary.date_time)


@lru_cache(4096)
def _tenant(number: int) -> bytes:
    return row_binary.uuid(UUID(int=number))


def _encoded(dirty: Collection[Mark]) -> bytes:
    """The rows as RowBinary; what recurs is remembered, by values that are hashed fast."""
    parts: list[bytes] = []
    for tenant, kind, subject, bucket in dirty:
        parts += (_KINDS[kind.value], _tenant(tenant.int), _string(subject), _date_time(bucket))
    return b"".join(parts)
