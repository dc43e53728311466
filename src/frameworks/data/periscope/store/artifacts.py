"""Lists of artifacts, of what is stored, and of what the API was asked: shaped as `listings` says."""

from frameworks.data.periscope.store.listings import Listing
from frameworks.data.periscope.store.tables import MERGED

_AT = "toUnixTimestamp64Micro(occurred_at)"
_STREAM = {"stream": "stream_id = {stream:UUID}"}
_KIND = {"kind": "kind = {kind:String}"}
_STATE = {"state": "state = {state:String}"}
_HOUR_AT = "toInt64(toUnixTimestamp(hour)) * 1000000"

ARTIFACT_EVENTS = Listing(
    "artifact_events",
    ("artifact_events",),
    f"""SELECT {_AT} AS at, toString(event_id) AS id, toString(sid) AS stream_id, node_id, cluster_id, state, artifact,
        kind, bytes, media_ms, toUnixTimestamp64Micro(began) AS started_at,
        toUnixTimestamp64Micro(over) AS ended_at, segments, percent, reason, detail, file,
        toUnixTimestamp64Micro(expires) AS expires_at
    FROM (SELECT * EXCEPT (stream_id, started_at, ended_at, expires_at), stream_id AS sid, started_at AS began,
            ended_at AS over, expires_at AS expires
        FROM periscope.artifact_events {MERGED} WHERE /*where*/)""",
    "occurred_at",
    "event_id",
    filters=_STREAM | _KIND | _STATE | {"artifact": "artifact = {artifact:String}"},
)

ARTIFACT_STATES = Listing(
    "artifact_states",
    ("artifact_events",),
    f"""SELECT toUnixTimestamp64Micro(min(occurred_at)) AS at, hash AS id, hash AS artifact,
        toString(argMax(sid, moment)) AS stream_id, argMax(said, moment) AS state, argMax(sort, moment) AS kind,
        argMax(part, moment) AS percent,
        argMaxIf(why, moment, said = 'failed') AS reason, argMaxIf(words, moment, said = 'failed') AS detail,
        toUnixTimestamp64Micro(minIf(occurred_at, said IN ('started', 'progress'))) AS begun_at,
        toUnixTimestamp64Micro(minIf(occurred_at, said IN ('ready', 'failed'))) AS completed_at,
        toUnixTimestamp64Micro(max(began)) AS started_at, toUnixTimestamp64Micro(max(over)) AS ended_at,
        max(pieces) AS segments, argMaxIf(path, moment, path != '') AS file,
        argMaxIf(size, moment, size > 0) AS bytes, argMax(node, moment) AS node_id,
        toUnixTimestamp64Micro(max(expires)) AS expires_at
    FROM (SELECT occurred_at, (occurred_at, event_id) AS moment, artifact AS hash, stream_id AS sid, state AS said,
            kind AS sort, percent AS part, reason AS why, detail AS words, segments AS pieces,
            file AS path, bytes AS size, node_id AS node, started_at AS began, ended_at AS over,
            expires_at AS expires
        FROM periscope.artifact_events {MERGED} WHERE /*where*/)
    GROUP BY hash""",
    "requested_at",
    filters=_STREAM | {"artifact": "artifact = {artifact:String}"},
    after=_KIND | _STATE,
    made=True,
)

STORAGE_EVENTS = Listing(
    "storage_events",
    ("artifact_events",),
    f"""SELECT {_AT} AS at, toString(event_id) AS id, toString(sid) AS stream_id, node_id, cluster_id,
        if(state = 'ready', 'stored', state) AS action, artifact, kind, bytes, media_ms, file, detail
    FROM (SELECT * EXCEPT (stream_id), stream_id AS sid FROM periscope.artifact_events {MERGED} WHERE /*where*/)""",
    "occurred_at",
    "event_id",
    filters=_STREAM | _KIND,
    always="state IN ('ready', 'deleted', 'failed')",
)

STORAGE_USAGE = Listing(
    "storage_usage",
    ("storage_samples",),
    f"""SELECT {_HOUR_AT} AS at, concat(node, '|', place) AS id, node AS node_id, place AS scope, sum(kept) AS bytes,
        sum(held) AS files, sum(recordings) AS recording_bytes, sum(clips) AS clip_bytes, sum(vods) AS vod_bytes
    FROM (SELECT toStartOfHour(occurred_at) AS hour, toString(node_id) AS node, toString(scope) AS place, stream_id,
            argMax(bytes, (occurred_at, event_id)) AS kept, argMax(files, (occurred_at, event_id)) AS held,
            argMax(recording_bytes, (occurred_at, event_id)) AS recordings,
            argMax(clip_bytes, (occurred_at, event_id)) AS clips,
            argMax(vod_bytes, (occurred_at, event_id)) AS vods
        FROM periscope.storage_samples {MERGED} WHERE /*where*/ GROUP BY hour, node, place, stream_id)
    GROUP BY hour, node, place""",
    "hour_at",
    filters=_STREAM | {"node": "node_id = {node:String}", "scope": "scope = {scope:String}"},
    made=True,
)

API_USAGE = Listing(
    "api_usage",
    ("api_requests",),
    f"""SELECT {_HOUR_AT} AS at, concat(auth_kind, '|', operation_kind, '|', operation) AS id, auth_kind,
        operation_kind, operation, sum(asked) AS requests, sum(failed) AS errors, sum(took) AS duration_us,
        sum(weight) AS complexity, uniqExactArray(who) AS callers
    FROM (SELECT toStartOfHour(occurred_at) AS hour, auth_kind, operation_kind, operation, requests AS asked,
            errors AS failed, duration_us AS took, complexity AS weight, callers AS who
        FROM periscope.api_requests {MERGED} WHERE /*where*/)
    GROUP BY hour, auth_kind, operation_kind, operation""",
    "hour_at",
    filters={"caller": "auth_kind = {caller:String}", "operation": "operation_kind = {operation:String}"},
    made=True,
)

RETENTION_ASSETS = Listing(
    "retention_assets",
    ("player_sessions",),
    """SELECT toUnixTimestamp64Micro(max(occurred_at)) AS at, hash AS id, hash AS artifact,
        uniqExact(session_id) AS sessions, max(length_s) AS duration_s
    FROM (SELECT occurred_at, session_id, artifact AS hash, duration_s AS length_s
        FROM periscope.player_sessions WHERE /*where*/)
    GROUP BY hash""",
    "last_seen_at",
    always="artifact != '' AND duration_s > 0",
    made=True,
)
