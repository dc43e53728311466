"""Current state in PostgreSQL; every statement can be repeated and reordered without harm."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from frameworks.data.periscope.domain import SessionChange, StreamChange, UsageKey, plain
from frameworks.data.periscope.service.closing import SilentClaim, SilentSession
from frameworks.data.periscope.store.usage_windows import mark_usage
from frameworks.kit.clock import Clock, from_micros
from frameworks.kit.sql import Database

_STREAM = """
INSERT INTO periscope.stream_analytics AS s (tenant_id, stream_id, claim_epoch, state, state_at, state_event,
    started_at, node_id, cluster_id, reason, detail, up_bytes, down_bytes)
VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $4 IN ('started', 'live') THEN $5::timestamptz END, $7, $8, $9, $10,
    $11, $12)
ON CONFLICT (tenant_id, stream_id) DO UPDATE SET
    started_at = CASE WHEN excluded.claim_epoch > s.claim_epoch THEN excluded.started_at
        ELSE least(s.started_at, excluded.started_at) END,
    (claim_epoch, state, state_at, state_event, node_id, cluster_id, reason, detail, up_bytes, down_bytes) = (
        SELECT n.claim_epoch, n.state, n.state_at, n.state_event, n.node_id, n.cluster_id, n.reason, n.detail,
            n.up_bytes, n.down_bytes
        FROM (VALUES
            (s.claim_epoch, s.state, s.state_at, s.state_event, s.node_id, s.cluster_id, s.reason, s.detail,
                s.up_bytes, s.down_bytes),
            (excluded.claim_epoch, excluded.state, excluded.state_at, excluded.state_event, excluded.node_id,
                excluded.cluster_id, excluded.reason, excluded.detail, excluded.up_bytes, excluded.down_bytes))
            AS n (claim_epoch, state, state_at, state_event, node_id, cluster_id, reason, detail, up_bytes,
                down_bytes)
        ORDER BY n.claim_epoch DESC, n.state_at DESC, n.state_event DESC LIMIT 1)
WHERE s.tenant_id = $1 AND excluded.claim_epoch >= s.claim_epoch
"""

_SESSIONS = """
INSERT INTO periscope.viewer_sessions AS v
    (tenant_id, stream_id, node_id, session_id, connected_at, disconnected_at, seen_at)
SELECT tenant_id, stream_id, node_id, session_id, connected_at, disconnected_at, $7
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
    AS s (tenant_id, stream_id, node_id, session_id, connected_at, disconnected_at)
ON CONFLICT (tenant_id, stream_id, node_id, session_id) DO UPDATE SET
    connected_at = least(v.connected_at, excluded.connected_at),
    disconnected_at = greatest(v.disconnected_at, excluded.disconnected_at),
    seen_at = greatest(v.seen_at, excluded.seen_at)
"""

_PRESUME_SESSIONS = """
UPDATE periscope.viewer_sessions v SET presumed_at = p.presumed_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
    AS p (tenant_id, stream_id, node_id, session_id, presumed_at)
WHERE v.tenant_id = p.tenant_id AND v.stream_id = p.stream_id AND v.node_id = p.node_id
    AND v.session_id = p.session_id AND v.presumed_at IS DISTINCT FROM p.presumed_at
"""

_PRESUME_CLAIMS = """
UPDATE periscope.stream_analytics s
SET presumed_epoch = CASE WHEN p.presumed_at IS NULL THEN NULL ELSE p.claim_epoch END, presumed_at = p.presumed_at
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[])
    AS p (tenant_id, stream_id, claim_epoch, presumed_at)
WHERE s.tenant_id = p.tenant_id AND s.stream_id = p.stream_id AND s.claim_epoch = p.claim_epoch
"""


class PostgresState:
    """Writes state, across tenants, in one transaction a call."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def mark_usage(self, used: Sequence[UsageKey]) -> None:
        """Remember that these usage windows must be measured, again if they were before."""
        async with self._db.system() as c:
            await mark_usage(c, used, self._clock)

    async def reduce(self, streams: Sequence[StreamChange], sessions: Sequence[SessionChange]) -> None:
        """Move state forward; older and repeated changes do nothing."""
        if not streams and not sessions:
            return
        async with self._db.system() as c:
            if streams:
                await c.executemany(_STREAM, [_stream_row(change) for change in streams])
            if sessions:
                await c.execute(_SESSIONS, *_columns(sessions), self._clock.now())

    async def presume(self, sessions: Sequence[SilentSession], claims: Sequence[SilentClaim]) -> None:
        """Take these for closed at their last sign of life, or for open again where there is none."""
        async with self._db.system() as c:
            if sessions:
                await c.execute(
                    _PRESUME_SESSIONS,
                    [one.tenant for one in sessions],
                    [one.stream for one in sessions],
                    [plain(one.node) for one in sessions],
                    [plain(one.session) for one in sessions],
                    [_at(one.ended_at) for one in sessions],
                )
            if claims:
                await c.execute(
                    _PRESUME_CLAIMS,
                    [one.tenant for one in claims],
                    [one.stream for one in claims],
                    [one.epoch for one in claims],
                    [_at(one.ended_at) for one in claims],
                )

    async def forget(self, older_than: timedelta) -> int:
        """Remove sessions last heard of before then; how many."""
        async with self._db.system() as c:
            tag = await c.execute(
                "DELETE FROM periscope.viewer_sessions WHERE tenant_id IS NOT NULL AND seen_at < $1",
                self._clock.now() - older_than,
            )
        return int(tag.rpartition(" ")[2])


class PostgresTurns:
    """Lets one process at a time roll up an analytics store; the lock ends with its transaction."""

    def __init__(self, database: Database, store: str = "") -> None:
        self._db = database
        self._name = f"periscope.roll_up.{store}" if store else "periscope.roll_up"

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Whether this process has the turn."""
        async with self._db.system() as c:
            yield bool(
                await c.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", self._name)
            )


def _stream_row(change: StreamChange) -> tuple[object, ...]:
    return (
        change.tenant,
        change.stream,
        change.epoch,
        change.state,
        from_micros(change.at),
        change.event,
        change.node,
        change.cluster,
        change.reason,
        change.detail,
        change.up_bytes,
        change.down_bytes,
    )


def _columns(sessions: Sequence[SessionChange]) -> tuple[list[object], ...]:
    """Columns of one row per session: its first beginning and its last end, in one order for every writer."""
    found: dict[tuple[int, int, str, str], list[Any]] = {}
    for tenant, stream, node, session, opened, at in sessions:
        # Numbers are hashed and compared many times as fast as ids.
        row = found.setdefault((tenant.int, stream.int, node, session), [tenant, stream, None, None])
        side = 2 if opened else 3
        known = row[side]
        row[side] = at if known is None else (min if opened else max)(known, at)
    rows = [
        (tenant, stream, node, session, _at(began), _at(ended))
        for (_, _, node, session), (tenant, stream, began, ended) in sorted(found.items())
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _at(instant: int | None) -> datetime | None:
    return None if instant is None else from_micros(instant)
