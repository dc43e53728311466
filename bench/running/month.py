"""A month of 200 tenants, written by the analytics engine itself: 100,000 facts a tenant, by a published mix.

Every tenant has eight streams, each live half an hour a day, 13 sessions of viewers a stream and day, players that
report, a node measured every five minutes, and an API that is asked. The same numbers give the same rows.
"""

from collections.abc import Iterator
from uuid import UUID

DAYS = 30
STREAMS = 8
OF_TENANT = {
    "stream_health": 45_000,
    "connection_events": 24_000,
    "player_sessions": 10_000,
    "node_metrics": 8_000,
    "stream_events": 4_000,
    "stream_views": 4_000,
    "routing_events": 2_500,
    "player_boots": 1_500,
    "api_requests": 700,
    "artifact_events": 200,
    "storage_samples": 100,
}
"""Table → its facts of one tenant; 100,000 together."""

_NUMBER = "toString({first} + intDiv(number, {count}))"
_TENANT = f"toUUID(UUIDNumToString(sipHash128(concat('tenant ', {_NUMBER}))))"
_STREAM = f"toUUID(UUIDNumToString(sipHash128(concat('stream ', {_NUMBER}, ' ', toString(k % {STREAMS})))))"
_SECOND = f"intDiv(k * {DAYS * 86_400}, {{count}})"
"""Spread evenly over the month."""
_LIVE = f"""intDiv(k, intDiv({{count}}, {DAYS})) * 86400 + 36000
    + intDiv(k % intDiv({{count}}, {DAYS}), {STREAMS}) * 10"""
"""Every ten seconds of half an hour a day."""
_VIEWING = f"""intDiv(k, intDiv({{count}}, {DAYS})) * 86400 + 36000
    + intDiv(k % intDiv({{count}}, {DAYS}) * 2400, intDiv({{count}}, {DAYS}))"""
"""Within forty minutes a day."""
_PLACE = """['BE','NL','DE','FR','ES','US','BR','IN'][1 + (k + intDiv(k, 8)) % 8] AS country,
    concat('City ', toString(k % 40)) AS city"""

_COLUMNS = {
    "stream_health": (
        _LIVE,
        """'node-1' AS node_id, 'default' AS cluster_id, 2000 + k % 500 AS bitrate_kbps, 30000 AS fps_milli,
        1280 AS width, 720 AS height, 'H264' AS codec, 2000 AS keyframe_ms, 800 AS buffer_ms, k % 30 AS viewers,
        90 AS health_score, '720p' AS quality_tier, 100 AS packets_sent, k % 3 AS packets_lost,
        60000000 AS bandwidth_out_bps, 2500000 AS bandwidth_in_bps""",
    ),
    "connection_events": (
        f"{_VIEWING} + if(k % 2 = 1, 600, 0)",
        f"""'node-1' AS node_id, 'default' AS cluster_id, if(k % 2 = 0, 'connect', 'disconnect') AS action,
        toString(intDiv(k, 2)) AS session_id, 'HLS' AS connector, if(k % 2 = 1, 600, 0) AS seconds,
        if(k % 2 = 1, 150000000, 0) AS up_bytes, toString(intDiv(k, 2) % 3000) AS viewer_hash, {_PLACE}""",
    ),
    "player_sessions": (
        _VIEWING,
        f"""toString(intDiv(k, 4)) AS session_id, k % 4 AS sequence, 30000 AS played_ms, k % 7 * 100 AS stalled_ms,
        k % 7 > 3 AS stalls, 900 AS frames_decoded, k % 2 AS frames_dropped, 75000000 AS bitrate_ms,
        k % 50 = 0 AS failed, if(k % 5 = 0, concat('artifact-', toString(k % 20)), '') AS artifact,
        if(k % 5 = 0, 'recording', '') AS artifact_kind, if(k % 5 = 0, 600, 0) AS duration_s,
        if(k % 5 = 0, [10, 10, 10], []) AS watched, if(k % 5 = 0, 30, 0) AS reached_s, {_PLACE}""",
    ),
    "node_metrics": (
        _SECOND,
        """concat('node-', toString(k % 2)) AS node_id, 'default' AS cluster_id, 'up' AS state, k % 900 AS cpu_permille,
        1000 AS memory_used_bytes, 4000 AS memory_total_bytes, 9 AS bandwidth_in_bps, 9 AS bandwidth_out_bps""",
    ),
    "stream_events": (
        _LIVE,
        """['stream-lifecycle', 'stream-buffer', 'stream-buffer', 'track-list'][1 + k % 4] AS type,
        ['ended', 'DRY', 'RECOVER', 'tracks'][1 + k % 4] AS status, 'node-1' AS node_id, 'default' AS cluster_id,
        if(k % 16 = 0, 1800000, 0) AS duration_ms, k AS claim_epoch, if(k % 4 = 0, 500000000, 0) AS down_bytes""",
    ),
    "stream_views": (_VIEWING, f"'node-1' AS node_id, 'p' AS playback_id, {_PLACE}"),
    "routing_events": (
        _VIEWING,
        f"""'default' AS cluster_id, if(k % 20 = 0, 'failed', 'redirect') AS status, 'viewer' AS purpose,
        'node-1' AS selected_node, 100 + k % 900 AS distance_km, 200 + k % 100 AS decided_in_us, {_PLACE}""",
    ),
    "player_boots": (
        _VIEWING,
        """toString(k) AS session_id, if(k % 40 = 0, 'failed', 'playing') AS outcome,
        if(k % 40 = 0, 0, 300 + k % 900) AS first_frame_ms, 20 + k % 30 AS resolve_ms, 90 AS connect_ms""",
    ),
    "api_requests": (
        _SECOND,
        """if(k % 3 = 0, 'user', 'api_token') AS auth_kind, 'query' AS operation_kind,
        concat('Operation', toString(k % 25)) AS operation, 12 AS requests, 30000 AS duration_us,
        [toUInt64(k % 5)] AS callers""",
    ),
    "artifact_events": (
        _SECOND,
        """'node-1' AS node_id, ['started', 'ready'][1 + k % 2] AS state, 'recording' AS kind,
        concat('artifact-', toString(intDiv(k, 2))) AS artifact, 900000000 AS bytes""",
    ),
    "storage_samples": (_SECOND, "'node-1' AS node_id, 'hot' AS scope, 1000000 * k AS bytes, k AS files"),
}
_NO_STREAM = frozenset({"node_metrics", "api_requests"})


def inserts(first: int, tenants: int, begin: int) -> Iterator[tuple[str, str]]:
    """Table and statement for each table: the month from `begin` (seconds) of these tenants."""
    for table, count in OF_TENANT.items():
        when, columns = _COLUMNS[table]
        stream = "" if table in _NO_STREAM else f"{_STREAM} AS stream_id,"
        sql = f"""
INSERT INTO periscope.{table} ({", ".join(names(table))})
SELECT {_TENANT} AS tenant_id, {stream} toDateTime64({begin} + {when}, 6, 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(sipHash128('{table}', {first}, number))) AS event_id, {columns}
FROM (SELECT number, number % {count} AS k FROM numbers({tenants * count}))
"""
        yield table, sql.format(first=first, count=count)


def names(table: str) -> list[str]:
    """The columns that are written."""
    columns = [part.rsplit(" AS ", 1)[1].strip() for part in _split(_COLUMNS[table][1])]
    return ["tenant_id", *([] if table in _NO_STREAM else ["stream_id"]), "occurred_at", "event_id", *columns]


def _split(columns: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(columns):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(columns[start:at])
            start = at + 1
    return [*parts, columns[start:]]


_ID = "SELECT toString(toUUID(UUIDNumToString(sipHash128({})))) AS id"
TENANT = _ID.format("concat('tenant ', toString({tenant:UInt32}))")
STREAM = _ID.format("concat('stream ', toString({tenant:UInt32}), ' 0')")


def uuid_of(rows: list[dict[str, str]]) -> UUID:
    """The id in an answer."""
    return UUID(rows[0]["id"])
