"""Current state from PostgreSQL, one tenant at a time."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from frameworks.kit.clock import Clock
from frameworks.kit.sql import Database

FORGOTTEN_AFTER = timedelta(hours=24)
"""A session this old without an end has lost its end: it is not counted."""

_STATES = """
SELECT s.stream_id, s.claim_epoch, s.state, s.state_at, s.started_at, s.node_id, s.cluster_id, s.reason, s.detail,
    s.up_bytes, s.down_bytes, (
        SELECT count(*) FROM periscope.viewer_sessions v
        WHERE v.tenant_id = $1 AND v.stream_id = s.stream_id AND v.disconnected_at IS NULL
            AND v.connected_at > $3 AND s.state = ANY($4)) AS viewers
FROM periscope.stream_analytics s
WHERE s.tenant_id = $1 AND (s.stream_id = ANY($2) OR (cardinality($2::uuid[]) = 0 AND s.state = ANY($4)))
LIMIT 500
"""

_VIEWERS = """
SELECT v.stream_id, count(*) AS viewers
FROM periscope.viewer_sessions v
JOIN periscope.stream_analytics s ON s.tenant_id = v.tenant_id AND s.stream_id = v.stream_id
WHERE v.tenant_id = $1 AND s.tenant_id = $1 AND v.disconnected_at IS NULL AND v.connected_at > $2
    AND s.state = ANY($3)
GROUP BY v.stream_id ORDER BY viewers DESC LIMIT 1000
"""

LIVE = ("started", "live")


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
                "SELECT count(*) FROM periscope.stream_analytics WHERE tenant_id IS NOT NULL AND state = ANY($1)",
                list(LIVE),
            )
            sessions = await c.fetchval(
                """SELECT count(*) FROM periscope.viewer_sessions
                   WHERE tenant_id IS NOT NULL AND disconnected_at IS NULL AND connected_at > $1""",
                self._since(),
            )
        return streams, sessions

    def _since(self) -> Any:
        return self._clock.now() - FORGOTTEN_AFTER
