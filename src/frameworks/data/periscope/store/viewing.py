"""Viewing as players report it: SQL over their reports, each counted once however often it arrived.

Reports are read from the tables themselves: a repeat has the event id of the first but its own time of arrival,
so that `LIMIT 1 BY event_id` is what deduplicates. Marks stand for the conditions on one stream and one artifact.
"""

from frameworks.contracts.viewing import WATCHED_BUCKET
from frameworks.data.periscope.store.tables import MERGED

_RANGE = """occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
    AND occurred_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC') /*stream*/ /*artifact*/"""

_ONCE = "LIMIT 1 BY event_id"

_SUMS = """count() AS sessions, sum(played) AS played_ms, sum(stalled) AS stalled_ms, sum(stops) AS stalls,
    sum(decoded) AS frames_decoded, sum(dropped) AS frames_dropped, sum(bits) AS bitrate_ms, sum(changes) AS switches,
    sum(behind) AS latency_ms_sum, sum(looks) AS latency_samples, countIf(broken) AS failed,
    countIf(gave_up AND played = 0 AND NOT broken) AS left_before_start"""

_OF_SESSION = """sum(played_ms) AS played, sum(stalled_ms) AS stalled, sum(stalls) AS stops,
    sum(frames_decoded) AS decoded, sum(frames_dropped) AS dropped, sum(bitrate_ms) AS bits,
    sum(switches) AS changes, sum(latency_ms_sum) AS behind, sum(latency_samples) AS looks, max(failed) AS broken,
    max(left_before_start) AS gave_up"""

_REPORTS = f"SELECT * FROM periscope.player_sessions WHERE {_RANGE} {_ONCE}"
_BOOTS = f"SELECT * FROM periscope.player_boots WHERE {_RANGE} {_ONCE}"

VIEWING = f"""
SELECT {_SUMS} FROM (
    SELECT {_OF_SESSION} FROM ({_REPORTS}) GROUP BY stream_id, artifact, session_id)
"""

_STEP = "intDiv(toUnixTimestamp64Micro(occurred_at), {step:Int64}) * {step:Int64}"

VIEWING_SERIES = f"""
SELECT at, {_SUMS} FROM (
    SELECT {_STEP} AS at, {_OF_SESSION} FROM ({_REPORTS}) GROUP BY at, stream_id, artifact, session_id)
GROUP BY at ORDER BY at LIMIT 20000
"""


def _span(name: str) -> str:
    return f"sum({name}_ms) AS {name}_sum, countIf({name}_ms > 0) AS {name}_boots"


_BOOT_FIGURES = f"""count() AS boots, countIf(outcome = 'failed') AS failed, countIf(first_frame_ms > 0) AS played,
    quantilesIf(0.5, 0.95, 0.99)(first_frame_ms, first_frame_ms > 0) AS percentiles,
    {", ".join(_span(name) for name in ("resolve", "hydrate", "select", "connect", "prebuffer"))},
    countIf(cache_hit) AS cache_hits"""

BOOTS = f"SELECT {_BOOT_FIGURES} FROM ({_BOOTS})"

BOOT_SERIES = f"SELECT {_STEP} AS at, {_BOOT_FIGURES} FROM ({_BOOTS}) GROUP BY at ORDER BY at LIMIT 20000"

RETENTION = f"""
SELECT count() AS sessions, max(length_s) AS duration_s, sumForEach(seconds) AS watched_s,
    sumMap(map(intDiv(furthest, {WATCHED_BUCKET}), toUInt64(1))) AS furthest
FROM (
    SELECT session_id, max(duration_s) AS length_s, max(reached_s) AS furthest, sumForEach(watched) AS seconds
    FROM (SELECT * FROM periscope.player_sessions WHERE {_RANGE} AND duration_s > 0 {_ONCE})
    GROUP BY session_id)
"""

TOP_ASSETS = f"""
SELECT artifact, max(artifact_kind) AS kind, uniqExact(session_id) AS sessions, sum(played_ms) AS played,
    max(duration_s) AS length_s
FROM ({_REPORTS.replace("/*artifact*/", "AND artifact != ''")})
GROUP BY artifact ORDER BY sessions DESC, artifact LIMIT {{top:UInt32}}
"""

_API_RANGE = """occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
    AND occurred_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC') /*caller*/ /*operation*/"""
_API_SUMS = """sum(a.requests) AS requests, sum(a.errors) AS errors, sum(a.duration_us) AS duration_us,
    sum(a.complexity) AS complexity"""

API_DAYS = f"""
SELECT toInt64(toUnixTimestamp(toStartOfDay(occurred_at))) * 1000000 AS day_at, auth_kind, {_API_SUMS},
    uniqExactArray(a.callers) AS callers
FROM periscope.api_requests AS a {MERGED} WHERE {_API_RANGE}
GROUP BY day_at, auth_kind ORDER BY day_at DESC, auth_kind LIMIT 10000
"""

API_KINDS = f"""
SELECT operation_kind, {_API_SUMS}, uniqExact(operation) AS operations
FROM periscope.api_requests AS a {MERGED} WHERE {_API_RANGE}
GROUP BY operation_kind ORDER BY operation_kind
"""
