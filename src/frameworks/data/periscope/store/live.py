"""Current state from PostgreSQL, one tenant at a time."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from frameworks.kit.clock import Clock
from frameworks.kit.sql import Database

FORGOTTEN_AFTER = timedelta(hours=24)
"""A session this old without an end has lost its end: it is not counted."""

LIVE = ("started", "live")

_STREAMS = """(
    SELECT tenant_id, stream_id, claim_epoch, started_at, node_id, cluster_id, up_bytes, down_bytes, detail,
        CASE WHEN silent THEN 'ended' ELSE state END AS state,
        CASE WHEN silent THEN presumed_at ELSE state_at END AS state_at,
        CASE WHEN silent THEN 'SILENT' ELSE reason END AS reason
    FROM (SELECT *, state <> 'ended' AND coalesce(presumed_epoch = claim_epoch AND presumed_at >= state_at, false)
            AS silent
        FROM periscope.stream_analytics) AS told)"""
"""Streams with the ends that were presumed, until something newer is told."""

_STATES = f"""
SELECT s.stream_id, s.claim_epoch, s.state, s.state_at, s.started_at, s.node_id, s.cluster_id, s.reason, s.detail,
    s.up_bytes, s.down_bytes, (
        SELECT count(*) FROM periscope.viewer_sessions v
        WHERE v.tenant_id = $1 AND v.stream_id = s.stream_id AND v.disconnected_at IS NULL
            AND v.presumed_at IS NULL AND v.connected_at > $3 AND s.state = ANY($4)) AS viewers
FROM {_STREAMS} s
WHERE s.tenant_id = $1 AND (s.stream_id = ANY($2) OR (cardinality($2::uuid[]) = 0 AND s.state = ANY($4)))
LIMIT 500
"""

_VIEWERS = f"""
SELECT v.stream_id, count(*) AS viewers
FROM periscope.viewer_sessions v
JOIN {_STREAMS} s ON s.tenant_id = v.tenant_id AND s.stream_id = v.stream_id
WHERE v.tenant_id = $1 AND s.tenant_id = $1 AND v.disconnected_at IS NULL AND v.presumed_at IS NULL
    AND v.connected_at > $2
    AND s.state = ANY($3)
GROUP BY v.stream_id ORDER BY viewers DESC LIMIT 1000
"""


class PostgresLive:
    """What is true now."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def states(self, tenant: UUID, streams: Sequence[UUID]) -> list[Mapping[str, Any]]:
        """State and open sessions of these streams; of every live one when none is named."""
        async with self._db.tenant(tenant) as c:
            return await c.fetch(_STATES, tenant, list(streams), self._since(), list(LIVE))

    async def viewers(self, tenant: UUID) -> list[Mapping[str, Any]]:
        """Open sessions by stream, most first."""
        async with self._db.tenant(tenant) as c:
            return await c.fetch(_VIEWERS, tenant, self._since(), list(LIVE))

    async def totals(self) -> tuple[int, int]:
        """Live streams and open sessions of the whole platform."""
        async with self._db.system() as c:
            streams = await c.fetchval(
                f"SELECT count(*) FROM {_STREAMS} s WHERE s.tenant_id IS NOT NULL AND s.state = ANY($1)",
                list(LIVE),
            )
            sessions = await c.fetchval(
                """SELECT count(*) FROM periscope.viewer_sessions
                   WHERE tenant_id IS NOT NULL AND disconnected_at IS NULL AND presumed_at IS NULL
                       AND connected_at > $1""",
                self._since(),
            )
        return streams, sessions

    def _since(self) -> Any:
        return self._clock.now() - FORGOTTEN_AFTER
