"""Current state in PostgreSQL; every statement can be repeated and reordered without harm."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

from frameworks.data.periscope.domain import SessionChange, StreamChange, UsageKey, plain
from frameworks.data.periscope.service.closing import SilentClaim, SilentSession
from frameworks.data.periscope.store.usage_windows import mark_usage
from frameworks.kit.clock import Clock, from_micros
from frameworks.kit.sql import Database

_STREAMS = """
INSERT INTO periscope.stream_analytics AS s (tenant_id, stream_id, claim_epoch, state, state_at, state_event,
    started_at, node_id, cluster_id, reason, detail, up_bytes, down_bytes)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[], $6::uuid[],
    $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[], $12::numeric[], $13::numeric[])
    AS c (tenant_id, stream_id, claim_epoch, state, state_at, state_event, started_at, node_id, cluster_id, reason,
        detail, up_bytes, down_bytes)
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
WHERE s.tenant_id = excluded.tenant_id AND (
    (excluded.claim_epoch, excluded.state_at, excluded.state_event) > (s.claim_epoch, s.state_at, s.state_event)
    OR excluded.claim_epoch = s.claim_epoch
        AND least(s.started_at, excluded.started_at) IS DISTINCT FROM s.started_at)
"""

_SESSIONS = """
INSERT INTO periscope.viewer_sessions AS v
    (tenant_id, stream_id, node_id, session_id, connected_at, disconnected_at, seen_at)
SELECT ($1::uuid[])[place], ($2::uuid[])[place], node_id, session_id,
    timestamptz 'epoch' + began * interval '1 microsecond', timestamptz 'epoch' + ended * interval '1 microsecond',
    $8
FROM unnest($3::text::integer[], $4::text[], $5::text[], $6::text::bigint[], $7::text::bigint[])
    AS s (place, node_id, session_id, began, ended)
ON CONFLICT (tenant_id, stream_id, node_id, session_id) DO UPDATE SET
    connected_at = least(v.connected_at, excluded.connected_at),
    disconnected_at = greatest(v.disconnected_at, excluded.disconnected_at),
    seen_at = greatest(v.seen_at, excluded.seen_at)
WHERE v.tenant_id = excluded.tenant_id AND (
    least(v.connected_at, excluded.connected_at) IS DISTINCT FROM v.connected_at
    OR greatest(v.disconnected_at, excluded.disconnected_at) IS DISTINCT FROM v.disconnected_at)
"""
"""Numbers go as text: the client writes thousands of them many times as fast as one by one."""

_STARTED = frozenset({"started", "live"})

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
                await c.execute(_STREAMS, *_stream_columns(streams))
            if sessions:
                await c.execute(_SESSIONS, *_session_columns(sessions), self._clock.now())

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


def _stream_columns(streams: Sequence[StreamChange]) -> tuple[list[object], ...]:
    """Columns of one row per stream: its newest claim's newest state and first beginning, in one order for all."""
    found: dict[tuple[int, int], tuple[StreamChange, int | None]] = {}
    for change in streams:
        key, began = (change.tenant.int, change.stream.int), change.at if change.state in _STARTED else None
        known = found.get(key)
        if known is None or change.epoch > known[0].epoch:
            found[key] = change, began
        elif change.epoch == known[0].epoch:
            newer = change if change.version > known[0].version else known[0]
            found[key] = newer, _first(known[1], began)
    rows = [_stream_row(*found[key]) for key in sorted(found)]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _stream_row(change: StreamChange, began: int | None) -> tuple[object, ...]:
    return (
        change.tenant,
        change.stream,
        change.epoch,
        change.state,
        from_micros(change.at),
        change.event,
        _at(began),
        change.node,
        change.cluster,
        change.reason,
        change.detail,
        change.up_bytes,
        change.down_bytes,
    )


Ends = tuple[int | None, int | None]
"""A session's first beginning and last end."""


def _session_columns(sessions: Sequence[SessionChange]) -> tuple[object, ...]:
    """Streams, and columns of one row per session with its stream's place there, in one order for every writer."""
    streams: list[tuple[int, int]] = []
    places: list[int] = []
    nodes: list[str] = []
    names: list[str] = []
    ends: list[Ends] = []
    for (tenant, stream, node), found in sorted(_by_stream(sessions).items(), key=itemgetter(0)):
        if not streams or streams[-1] != (tenant, stream):
            streams.append((tenant, stream))
        places += [len(streams)] * len(found)
        nodes += [node] * len(found)
        for name in sorted(found):
            names.append(name)
            ends.append(found[name])
    return (
        [UUID(int=tenant) for tenant, _ in streams],
        [UUID(int=stream) for _, stream in streams],
        _array(places),
        nodes,
        names,
        _array(began for began, _ in ends),
        _array(ended for _, ended in ends),
    )


def _by_stream(sessions: Sequence[SessionChange]) -> dict[tuple[int, int, str], dict[str, Ends]]:
    """Numbers are hashed and compared many times as fast as ids."""
    found: dict[tuple[int, int, str], dict[str, Ends]] = {}
    for tenant, stream, node, session, opened, at in sessions:
        of_stream = found.setdefault((tenant.int, stream.int, node), {})
        began, ended = of_stream.get(session, (None, None))
        of_stream[session] = (_first(began, at), ended) if opened else (began, _last(ended, at))
    return found


def _first(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _last(one: int | None, other: int) -> int:
    return other if one is None or other > one else one


def _array(numbers: Iterable[int | None]) -> str:
    """As PostgreSQL reads it."""
    return "{" + ",".join(["NULL" if number is None else str(number) for number in numbers]) + "}"


def _at(instant: int | None) -> datetime | None:
    return None if instant is None else from_micros(instant)
