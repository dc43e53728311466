"""Sessions that have been silent for too long, and what their rows say of it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from frameworks.data.periscope.domain import BUCKET, Kind, Mark
from frameworks.data.periscope.service.closing import SilentClaim, SilentSession
from frameworks.kit.analytics import Analytics, Scope
from frameworks.kit.clock import micros

AT_ONCE = 5000
"""Sessions looked at in one turn."""
_REASON = "sessions that nobody ended"
_HORIZON = "fromUnixTimestamp64Micro({horizon:Int64}, 'UTC')"

_VIEWERS = f"""
SELECT tenant_id, toString(stream_id) AS stream, toUnixTimestamp64Micro(connected_at) AS at
FROM periscope.viewer_sessions_final FINAL
WHERE NOT closed AND ended_at < {_HORIZON} ORDER BY ended_at LIMIT {AT_ONCE}
"""
_HEARD_AGAIN = f"""
SELECT DISTINCT f.tenant_id AS tenant_id, toString(f.stream_id) AS stream,
    toUnixTimestamp64Micro(f.connected_at) AS at
FROM (SELECT * FROM periscope.viewer_sessions_final FINAL
    WHERE closed AND anomalous AND ended_at > {_HORIZON} - INTERVAL 7 DAY) AS f
JOIN periscope.client_samples AS s ON s.tenant_id = f.tenant_id AND s.stream_id = f.stream_id
    AND s.node_id = f.node_id AND s.session_id = f.session_id
WHERE s.occurred_at > f.ended_at LIMIT {AT_ONCE}
"""
_CLAIMS = f"""
SELECT tenant_id, toString(stream_id) AS stream, toUnixTimestamp64Micro(started_at) AS at
FROM periscope.stream_sessions_final FINAL
WHERE NOT closed AND ended_at < {_HORIZON} ORDER BY ended_at LIMIT {AT_ONCE}
"""
_LIVE_AGAIN = f"""
SELECT DISTINCT f.tenant_id AS tenant_id, toString(f.stream_id) AS stream,
    toUnixTimestamp64Micro(f.started_at) AS at
FROM (SELECT * FROM periscope.stream_sessions_final FINAL
    WHERE closed AND anomalous AND ended_at > {_HORIZON} - INTERVAL 7 DAY) AS f
JOIN (SELECT tenant_id, stream_id, claim_epoch, occurred_at FROM periscope.stream_health
    WHERE occurred_at > {_HORIZON} - INTERVAL 7 DAY
    UNION ALL SELECT tenant_id, stream_id, claim_epoch, occurred_at FROM periscope.stream_events
    WHERE occurred_at > {_HORIZON} - INTERVAL 7 DAY) AS s
ON s.tenant_id = f.tenant_id AND s.stream_id = f.stream_id AND s.claim_epoch = f.claim_epoch
WHERE s.occurred_at > f.ended_at LIMIT {AT_ONCE}
"""
_PRESUMED_VIEWERS = """
SELECT tenant_id, stream_id, node_id, session_id, closed, toUnixTimestamp64Micro(ended_at) AS ended
FROM periscope.viewer_sessions_final FINAL
WHERE version >= {since:UInt64} AND (NOT closed OR anomalous) LIMIT 100000
"""
_PRESUMED_CLAIMS = """
SELECT tenant_id, stream_id, claim_epoch, closed, toUnixTimestamp64Micro(ended_at) AS ended
FROM periscope.stream_sessions_final FINAL
WHERE version >= {since:UInt64} AND (NOT closed OR anomalous) LIMIT 100000
"""
_NOW = "SELECT toUnixTimestamp64Micro(now64(6)) AS at"


class ClickHouseSessions:
    """Rows of sessions."""

    def __init__(self, analytics: Analytics, now: Callable[[], datetime], *, silent_after: timedelta) -> None:
        self._analytics = analytics
        self._now = now
        self._silent_after = silent_after

    async def silent(self) -> tuple[list[Mark], int]:
        """Marks of sessions to look at again (silent for too long, or heard of after their presumed end); the time."""
        horizon = micros(self._now() - self._silent_after)
        (now,) = await self._analytics.query(_NOW, {}, Scope.public())
        marks: set[Mark] = set()
        for kind, statements in (
            (Kind.SESSIONS, (_VIEWERS, _HEARD_AGAIN)),
            (Kind.CLAIMS, (_CLAIMS, _LIVE_AGAIN)),
        ):
            for sql in statements:
                rows = await self._read(sql, {"horizon": horizon})
                marks |= {
                    Mark(row["tenant_id"], kind, row["stream"], row["at"] // BUCKET * BUCKET) for row in rows
                }
        return [*marks], now["at"]

    async def presumed(self, since: int) -> tuple[list[SilentSession], list[SilentClaim]]:
        """What rows written since then say of ends that nobody told."""
        viewers = await self._read(_PRESUMED_VIEWERS, {"since": since})
        claims = await self._read(_PRESUMED_CLAIMS, {"since": since})
        return (
            [
                SilentSession(
                    row["tenant_id"], row["stream_id"], row["node_id"], row["session_id"], _ended(row)
                )
                for row in viewers
            ],
            [
                SilentClaim(row["tenant_id"], row["stream_id"], row["claim_epoch"], _ended(row))
                for row in claims
            ],
        )

    async def _read(self, sql: str, params: Mapping[str, object]) -> list[dict[str, Any]]:
        return await self._analytics.query(sql, params, Scope.system(_REASON))


def _ended(row: Mapping[str, Any]) -> int | None:
    return row["ended"] if row["closed"] else None
