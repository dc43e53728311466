"""Marks and current state in PostgreSQL; every statement can be repeated and reordered without harm."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from frameworks.data.periscope.domain import Kind, Mark, SessionChange, StreamChange
from frameworks.data.periscope.service.pipeline import Topic
from frameworks.data.periscope.service.roll_up import Dirty
from frameworks.kit.clock import Clock, from_micros, micros
from frameworks.kit.sql import Connection, Database

READER_GONE = timedelta(minutes=1)

_MARK = """
INSERT INTO periscope.dirty_buckets AS d (tenant_id, kind, subject, bucket, generation, marked_at)
SELECT tenant_id, kind, subject, bucket, 1, $5
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS m (tenant_id, kind, subject, bucket)
ON CONFLICT (tenant_id, kind, subject, bucket) DO UPDATE SET generation = d.generation + 1
"""

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

_SESSION = """
INSERT INTO periscope.viewer_sessions AS v
    (tenant_id, stream_id, node_id, session_id, connected_at, disconnected_at, seen_at)
VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN $6::timestamptz END, CASE WHEN NOT $5 THEN $6::timestamptz END, $7)
ON CONFLICT (tenant_id, stream_id, node_id, session_id) DO UPDATE SET
    connected_at = least(v.connected_at, excluded.connected_at),
    disconnected_at = greatest(v.disconnected_at, excluded.disconnected_at),
    seen_at = greatest(v.seen_at, excluded.seen_at)
WHERE v.tenant_id = $1
"""


class PostgresState:
    """Writes marks and state, across tenants, in one transaction a call."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def mark(self, dirty: Sequence[Mark]) -> None:
        """Remember that these buckets must be recomputed."""
        if not dirty:
            return
        async with self._db.system() as c:
            await c.execute(
                _MARK,
                [mark.tenant for mark in dirty],
                [mark.kind.value for mark in dirty],
                [mark.subject for mark in dirty],
                [from_micros(mark.bucket) for mark in dirty],
                self._clock.now(),
            )

    async def reduce(self, streams: Sequence[StreamChange], sessions: Sequence[SessionChange]) -> None:
        """Move state forward; older and repeated changes do nothing."""
        if not streams and not sessions:
            return
        ordered = sorted(set(sessions), key=lambda s: (s.tenant, s.stream, s.node, s.session, s.at, s.opened))
        async with self._db.system() as c:
            if streams:
                await c.executemany(_STREAM, [_stream_row(change) for change in streams])
            if ordered:
                now = self._clock.now()
                await c.executemany(_SESSION, [(*_session_row(change), now) for change in ordered])

    async def forget(self, older_than: timedelta) -> int:
        """Remove sessions last heard of before then; how many."""
        async with self._db.system() as c:
            tag = await c.execute(
                "DELETE FROM periscope.viewer_sessions WHERE tenant_id IS NOT NULL AND seen_at < $1",
                self._clock.now() - older_than,
            )
        return int(tag.rpartition(" ")[2])


class PostgresReaders:
    """How far the readers of the log are."""

    def __init__(self, database: Database, clock: Clock, instance: str) -> None:
        self._db = database
        self._clock = clock
        self._instance = instance

    async def report(self, topic: str, reader: str, lag: int, last_error: str) -> None:
        """Say how far this process got; readers that went away are forgotten."""
        now = self._clock.now()
        async with self._db.system() as c:
            await c.execute(
                """INSERT INTO periscope.readers (topic, reader, instance, lag, last_error, seen_at)
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (topic, reader, instance) DO UPDATE
                   SET lag = excluded.lag, last_error = excluded.last_error, seen_at = excluded.seen_at""",
                *(topic, reader, self._instance, lag, last_error, now),
            )
            await c.execute("DELETE FROM periscope.readers WHERE seen_at < $1", now - READER_GONE)

    async def topics(self) -> list[Topic]:
        """The readers heard of lately, the lags of their processes added up."""
        async with self._db.system() as c:
            rows = await c.fetch(
                """SELECT topic, reader, sum(lag)::bigint AS lag, max(last_error) AS last_error
                   FROM periscope.readers WHERE seen_at > $1 GROUP BY topic, reader ORDER BY topic, reader""",
                self._clock.now() - READER_GONE,
            )
        return [
            Topic(row["topic"], row["reader"], row["lag"], row["last_error"] == "", row["last_error"])
            for row in rows
        ]


class PostgresMarks:
    """Hands the marks to one process at a time."""

    def __init__(self, database: Database) -> None:
        self._db = database

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["PostgresTurn | None"]:
        """A turn; the transaction's lock ends with it, and clearing fails with it."""
        async with self._db.system() as c:
            mine = await c.fetchval(
                "SELECT pg_try_advisory_xact_lock(hashtextextended('periscope.roll_up', 0))"
            )
            yield PostgresTurn(c) if mine else None

    async def waiting(self) -> tuple[int, int]:
        """How many marks wait, and since when the oldest (microseconds; 0 when none)."""
        async with self._db.system() as c:
            row = await c.fetchrow("SELECT count(*) AS n, min(marked_at) AS at FROM periscope.dirty_buckets")
        assert row is not None
        return row["n"], micros(row["at"]) if row["at"] else 0


class PostgresTurn:
    """One transaction that holds the lock."""

    def __init__(self, connection: Connection) -> None:
        self._c = connection

    async def oldest(self, kind: Kind, limit: int) -> list[Dirty]:
        """The marks that have waited longest."""
        rows = await self._c.fetch(
            """SELECT tenant_id, subject, bucket, generation FROM periscope.dirty_buckets
               WHERE kind = $1 ORDER BY marked_at LIMIT $2""",
            kind.value,
            limit,
        )
        return [
            Dirty(
                Mark(UUID(str(row["tenant_id"])), kind, row["subject"], micros(row["bucket"])),
                row["generation"],
            )
            for row in rows
        ]

    async def clear(self, done: Sequence[Dirty]) -> None:
        """Forget these marks, unless they were made again meanwhile."""
        await self._c.execute(
            """DELETE FROM periscope.dirty_buckets d
               USING unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
                   AS m (tenant_id, kind, subject, bucket, generation)
               WHERE d.tenant_id = m.tenant_id AND d.kind = m.kind AND d.subject = m.subject
                   AND d.bucket = m.bucket AND d.generation = m.generation""",
            [entry.mark.tenant for entry in done],
            [entry.mark.kind.value for entry in done],
            [entry.mark.subject for entry in done],
            [from_micros(entry.mark.bucket) for entry in done],
            [entry.generation for entry in done],
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


def _session_row(change: SessionChange) -> tuple[object, ...]:
    return (
        change.tenant,
        change.stream,
        change.node,
        change.session,
        change.opened,
        from_micros(change.at),
    )
