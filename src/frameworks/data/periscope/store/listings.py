"""What each list of history is made of: its rows newest first by (`at`, `id`), named as in the message it fills.

`/*where*/` stands for the conditions on the facts or buckets; the reader adds scope, page and order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from frameworks.data.periscope.store.grains import mark, tables
from frameworks.data.periscope.store.tables import MERGED, REPEATED

_AT = "toUnixTimestamp64Micro(occurred_at)"
_NO_ID = "toUUID('00000000-0000-0000-0000-000000000000')"
_PLACE = "country, city, latitude, longitude, h3_cell"
_STREAM = {"stream": "stream_id = {stream:UUID}"}
_STREAM_NODE = _STREAM | {"node": "node_id = {node:String}"}
_NODE = {"node": "node_id = {node:String}", "cluster": "cluster_id = {cluster:String}"}


@dataclass(frozen=True, slots=True)
class Listing:
    """A list: `body` gives `at` (microseconds), `id` and the message's fields."""

    name: str
    tables: tuple[str, ...]
    body: str
    at_field: str
    id_field: str = ""
    time: str = "occurred_at"
    filters: Mapping[str, str] = field(default_factory=dict)
    always: str = ""
    after: Mapping[str, str] = field(default_factory=dict)
    """Conditions on the rows themselves, once they are made."""
    made: bool = False
    """Every row is made whatever the page, of facts that a cursor does not narrow."""


def _facts(
    name: str,
    table: str,
    columns: str,
    *,
    filters: Mapping[str, str],
    always: str = "",
    id_field: str = "event_id",
    at_field: str = "occurred_at",
) -> Listing:
    head = f"SELECT {_AT} AS at, toString(event_id) AS id, {columns}"
    body = f"{head} FROM (SELECT * FROM periscope.{table} {MERGED} WHERE /*where*/)"
    return Listing(name, (table,), body, at_field, id_field, filters=filters, always=always)


STREAM_EVENTS = _facts(
    "stream_events",
    "stream_events",
    f"""toString(stream_id) AS stream_id, type, status, detail, reason, node_id, cluster_id, region, source,
    schema_version, claim_epoch, protocol, encoder, ingest_url,
    if(key_id = {_NO_ID}, '', toString(key_id)) AS key_id, key_fingerprint, buffer_state, issues, health_score,
    tracks, duration_ms, viewers, up_bytes, down_bytes, {_PLACE}, trace_id""",
    filters=_STREAM_NODE,
)
BUFFER_EVENTS = _facts(
    "buffer_events",
    "stream_events",
    "toString(stream_id) AS stream_id, node_id, buffer_state AS state, buffer_ms, health_score, issues, tracks",
    filters=_STREAM_NODE,
    always="type = 'stream-buffer'",
)
TRACK_LISTS = _facts(
    "track_lists",
    "stream_events",
    "toString(stream_id) AS stream_id, node_id, tracks",
    filters=_STREAM_NODE,
    always="type = 'track-list'",
)
CONNECTION_EVENTS = _facts(
    "connection_events",
    "connection_events",
    f"""toString(stream_id) AS stream_id, node_id, cluster_id, action, session_id, connector, seconds, up_bytes,
    down_bytes, user_agent, {_PLACE}, viewer_hash""",
    filters=_STREAM_NODE,
)
VIEWER_GEOGRAPHICS = _facts(
    "viewer_geographics",
    "connection_events",
    f"""toString(stream_id) AS stream_id, node_id, {_PLACE}, action, connector, seconds,
    up_bytes + down_bytes AS total_bytes, source, 1 AS viewers""",
    filters=_STREAM_NODE,
    always="action = 'connect'",
    id_field="",
)
STREAM_HEALTH = _facts(
    "stream_health",
    "stream_health",
    """toString(stream_id) AS stream_id, node_id, bitrate_kbps, fps_milli, width, height, codec, quality_tier,
    keyframe_ms, keyframe_min_ms, buffer_ms, jitter_ms, b_frames, health_score, issues, audio_codec, audio_kbps,
    audio_channels, audio_rate, viewers, bandwidth_in_bps, bandwidth_out_bps, packets_sent, packets_lost,
    packets_retransmitted""",
    filters=_STREAM_NODE,
)
NODE_METRICS = _facts(
    "node_metrics",
    "node_metrics",
    """node_id, cluster_id, state, cpu_permille, memory_used_bytes, memory_total_bytes, disk_used_bytes,
    disk_total_bytes, shm_used_bytes, shm_total_bytes, bandwidth_in_bps, bandwidth_out_bps, bandwidth_limit_bps,
    active_streams, active_viewers, latitude, longitude, version, boot_id, detail, up_bytes, down_bytes""",
    filters=_NODE,
)
ROUTING_EVENTS = _facts(
    "routing_events",
    "routing_events",
    f"""if(stream_id = {_NO_ID}, '', toString(stream_id)) AS stream_id,
    if(stream_tenant_id = {_NO_ID}, '', toString(stream_tenant_id)) AS stream_tenant_id, status, purpose,
    selected_node, score, reason, {_PLACE}, distance_km, decided_in_us, protocol, node_latitude, node_longitude,
    candidate_count, candidates, cluster_id, region, source""",
    filters=_STREAM | {"cluster": "cluster_id = {cluster:String}", "node": "selected_node = {node:String}"},
)

VIEWER_SESSIONS = Listing(
    "viewer_sessions",
    ("connection_events",),
    f"""SELECT toUnixTimestamp64Micro(first) AS at, concat(node_id, '|', session_id, '|', toString(sid)) AS id,
        session_id, toString(sid) AS stream_id, node_id, left_at AS disconnected_at, stayed AS seconds,
        up AS up_bytes, down AS down_bytes, n.1 AS cluster_id, n.2 AS connector, n.3 AS user_agent, n.4 AS country,
        n.5 AS city, n.6 AS latitude, n.7 AS longitude, n.8 AS h3_cell
    FROM (SELECT stream_id AS sid, node_id, session_id,
            min(occurred_at - toIntervalSecond(if(action = 'disconnect', least(seconds, 604800), 0))) AS first,
            max(if(action = 'disconnect', toUnixTimestamp64Micro(occurred_at), 0)) AS left_at,
            max(seconds) AS stayed, max(up_bytes) AS up, max(down_bytes) AS down,
            argMax(tuple(cluster_id, connector, user_agent, country, city, latitude, longitude, h3_cell),
                occurred_at) AS n
        FROM (SELECT * FROM periscope.connection_events {REPEATED} WHERE /*where*/)
        GROUP BY sid, node_id, session_id)""",
    "connected_at",
    filters=_STREAM_NODE,
    made=True,
)

REBUFFERINGS = Listing(
    "rebufferings",
    ("stream_events",),
    f"""SELECT toUnixTimestamp64Micro(occurred_at) AS at, toString(event_id) AS id, toString(stream_id) AS stream_id,
        node_id, status AS state, previous AS previous_state, ended AS ended_at
    FROM (SELECT *, lagInFrame(toString(status)) OVER w AS previous,
            leadInFrame(toUnixTimestamp64Micro(occurred_at)) OVER w AS ended
        FROM (SELECT * FROM periscope.stream_events {MERGED} WHERE /*where*/)
        WINDOW w AS (PARTITION BY stream_id, node_id ORDER BY occurred_at, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
    WHERE status = 'DRY'""",
    "started_at",
    filters=_STREAM_NODE,
    always="type = 'stream-buffer'",
    made=True,
)

_BUCKET_AT = "toInt64(toUnixTimestamp(bucket)) * 1000000"


def _buckets(name: str, table: str, columns: str, *, key: str, filters: Mapping[str, str]) -> Listing:
    source = f"(SELECT * FROM periscope.{table} {MERGED} WHERE /*where*/)"
    body = f"SELECT {_BUCKET_AT} AS at, {key} AS id, {columns} FROM {source}"
    return Listing(name, (table,), body, "bucket_at", time="bucket", filters=filters)


CLIENT_QOE = _buckets(
    "client_qoe",
    "health_5m",
    """toString(stream_id) AS stream_id, node_id, viewers_max AS active_sessions,
    bandwidth_in_bps_sum / samples AS avg_bandwidth_in_bps,
    bandwidth_out_bps_sum / samples AS avg_bandwidth_out_bps, packets_sent, packets_lost""",
    key="concat(toString(stream_id), node_id)",
    filters=_STREAM_NODE,
)
STREAM_HEALTH_5M = Listing(
    "stream_health_5m",
    ("health_5m", "lifecycle_5m"),
    f"""SELECT {_BUCKET_AT} AS at, toString(h.stream_id) AS id, toString(h.stream_id) AS stream_id,
        h.node_id AS node_id,
        h.samples AS samples, h.bitrate_kbps_sum / h.samples AS avg_bitrate_kbps,
        h.fps_milli_sum / h.samples / 1000 AS avg_fps, h.buffer_ms_sum / h.samples AS avg_buffer_ms,
        h.jitter_ms_sum / h.samples AS avg_jitter_ms, h.jitter_ms_max AS max_jitter_ms,
        h.health_score_sum / h.samples AS avg_health_score, h.issue_samples AS issue_count,
        h.issues AS sample_issues, l.dry AS buffer_dry_count, l.recovered AS rebuffer_count,
        arrayFirst(x -> 1, arrayReverseSort(t -> h.tiers[t], mapKeys(h.tiers))) AS quality_tier
    FROM (SELECT * FROM periscope.health_5m {MERGED} WHERE /*where*/) AS h
    LEFT JOIN (SELECT stream_id, bucket, dry, recovered FROM periscope.lifecycle_5m {MERGED} WHERE /*where*/) AS l
        USING (stream_id, bucket)""",
    "bucket_at",
    time="bucket",
    filters=_STREAM,
)
NODE_PERFORMANCE_5M = _buckets(
    "node_performance_5m",
    "nodes_5m",
    """node_id, cluster_id, samples, cpu_permille_sum / samples AS avg_cpu_permille,
    cpu_permille_max AS max_cpu_permille, memory_permille_sum / samples AS avg_memory_permille,
    memory_permille_max AS max_memory_permille,
    intDiv(bandwidth_in_bps_sum + bandwidth_out_bps_sum, samples) AS total_bandwidth_bps,
    streams_sum / samples AS avg_streams, streams_max AS max_streams""",
    key="node_id",
    filters=_NODE,
)


_APART = """ EXCEPT (egress_bytes, ingress_bytes, unique_viewers), stream_id AS sid, egress_bytes AS egress,
        ingress_bytes AS ingress, unique_viewers AS sketch"""


def _periods(
    name: str,
    table: str,
    period: str,
    key: str,
    columns: str,
    *,
    by: str,
    filters: Mapping[str, str],
    inner: str = _APART,
) -> Listing:
    """Hours or days of five-minute buckets; `inner` names columns apart from the fields made of them."""
    start = {"hour": "toStartOfHour(bucket)", "day": "toStartOfDay(bucket)"}[period]
    at = f"toInt64(toUnixTimestamp({start})) * 1000000"
    mixed = table == "viewers"
    source = mark(table, period) if mixed else f"periscope.{table} {MERGED}"
    read = tables(table) if mixed else (table,)
    body = (
        f"SELECT {at} AS at, {key} AS id, {columns} "
        f"FROM (SELECT *{inner} FROM {source} WHERE /*where*/) GROUP BY at, {by}"
    )
    return Listing(name, read, body, f"{period}_at", time="bucket", filters=filters, made=True)


_UNIQUE = "uniqCombined64Merge(sketch) AS unique_viewers"
_SECONDS = "intDiv(sum(viewer_us), 1000000) AS session_seconds"

NODE_METRICS_1H = _periods(
    "node_metrics_1h",
    "nodes_5m",
    "hour",
    "node_id",
    """node_id, max(cluster) AS cluster_id, sum(bucket_samples) AS samples,
    sum(cpu_permille_sum) / samples AS avg_cpu_permille, max(cpu_permille_max) AS peak_cpu_permille,
    sum(memory_permille_sum) / samples AS avg_memory_permille, max(memory_permille_max) AS peak_memory_permille,
    sum(disk_permille_sum) / samples AS avg_disk_permille, max(disk_permille_max) AS peak_disk_permille,
    sum(shm_permille_sum) / samples AS avg_shm_permille, max(shm_permille_max) AS peak_shm_permille,
    sum(intDiv(bandwidth_in_bps_sum * 300, bucket_samples * 8)) AS bytes_in,
    sum(intDiv(bandwidth_out_bps_sum * 300, bucket_samples * 8)) AS bytes_out,
    sum(unhealthy) = 0 AS was_healthy""",
    by="node_id",
    filters=_NODE,
    inner=" EXCEPT (samples, cluster_id), samples AS bucket_samples, cluster_id AS cluster",
)
STREAM_DAYS = Listing(
    "stream_days",
    (*tables("viewers"), "lifecycle_5m"),
    f"""SELECT toInt64(toUnixTimestamp(day)) * 1000000 AS at, toString(sid) AS id, toString(sid) AS stream_id,
        sum(views) AS total_views, uniqCombined64Merge(viewers) AS unique_viewers,
        length(groupUniqArrayArray(countries)) AS unique_countries, uniqCombined64Merge(towns) AS unique_cities,
        sum(egress) AS egress_bytes
    FROM (
        SELECT toStartOfDay(bucket) AS day, stream_id AS sid, toUInt64(0) AS views,
            uniqCombined64MergeState(unique_viewers) AS viewers,
            groupUniqArrayIf(toString(country), country != '') AS countries,
            uniqCombined64MergeState(cities) AS towns, sum(egress_bytes) AS egress
        FROM {mark("viewers", "day")} WHERE /*where*/ GROUP BY day, sid
        UNION ALL
        SELECT toStartOfDay(bucket) AS day, stream_id AS sid, sum(l.views) AS views,
            uniqCombined64StateIf('', 0), emptyArrayString(), uniqCombined64StateIf('', 0), 0
        FROM periscope.lifecycle_5m AS l {MERGED} WHERE /*where*/ GROUP BY day, sid)
    GROUP BY day, sid""",
    "day_at",
    time="bucket",
    filters=_STREAM,
    made=True,
)
TENANT_DAYS = Listing(
    "tenant_days",
    (*tables("viewers"), "lifecycle_5m"),
    f"""SELECT toInt64(toUnixTimestamp(day)) * 1000000 AS at, '' AS id, uniqExact(sid) AS total_streams,
        sum(views) AS total_views, uniqCombined64Merge(viewers) AS unique_viewers, sum(egress) AS egress_bytes
    FROM (
        SELECT toStartOfDay(bucket) AS day, stream_id AS sid, toUInt64(0) AS views,
            uniqCombined64MergeState(unique_viewers) AS viewers, sum(egress_bytes) AS egress
        FROM {mark("viewers", "day")} WHERE /*where*/ GROUP BY day, sid
        UNION ALL
        SELECT toStartOfDay(bucket) AS day, stream_id AS sid, sum(l.views) AS views,
            uniqCombined64StateIf('', 0), 0
        FROM periscope.lifecycle_5m AS l {MERGED} WHERE /*where*/ GROUP BY day, sid)
    GROUP BY day""",
    "day_at",
    time="bucket",
    made=True,
)
VIEWER_HOURS = _periods(
    "viewer_hours",
    "viewers",
    "hour",
    "concat(toString(sid), country)",
    f"toString(sid) AS stream_id, country, {_UNIQUE}, {_SECONDS}, sum(egress) AS egress_bytes",
    by="sid, country",
    filters=_STREAM,
)
CONNECTION_HOURS = _periods(
    "connection_hours",
    "viewers",
    "hour",
    "toString(sid)",
    f"""toString(sid) AS stream_id, sum(egress) + sum(ingress) AS total_bytes, {_UNIQUE},
    sum(closed) AS total_sessions""",
    by="sid",
    filters=_STREAM,
)
GEO_HOURS = _periods(
    "geo_hours",
    "viewers",
    "hour",
    "country",
    f"country, uniqCombined64Merge(sketch) AS viewers, {_SECONDS}, sum(egress) AS egress_bytes",
    by="country",
    filters=_STREAM,
)
QUALITY_DAYS = _periods(
    "quality_days",
    "health_5m",
    "day",
    "toString(sid)",
    """toString(sid) AS stream_id, sumMap(tier_us) AS tiers_us, sumMap(codec_us) AS codecs_us,
    arrayFirst(x -> 1, arrayReverseSort(t -> tiers_us[t], mapKeys(tiers_us))) AS primary_tier,
    sum(bitrate_kbps_sum) / sum(samples) AS avg_bitrate_kbps, sum(fps_milli_sum) / sum(samples) / 1000 AS avg_fps""",
    by="sid",
    filters=_STREAM,
    inner=""", stream_id AS sid, mapApply((k, v) -> (k, intDiv(v * live_us, samples)), tiers) AS tier_us,
        mapApply((k, v) -> (k, intDiv(v * live_us, samples)), codecs) AS codec_us""",
)

VIEWER_COUNTS = Listing(
    "viewer_counts",
    ("peaks_5m", "health_5m"),
    f"""SELECT toInt64(toUnixTimestamp(slot)) * 1000000 AS at, toString(sid) AS id, id AS stream_id,
        max(n) AS viewers
    FROM (
        SELECT toStartOfInterval(bucket, toIntervalMinute({{minutes:UInt32}})) AS slot, stream_id AS sid,
            p.viewers AS n
        FROM periscope.peaks_5m AS p {MERGED} WHERE /*where*/
        UNION ALL
        SELECT toStartOfInterval(bucket, toIntervalMinute({{minutes:UInt32}})), stream_id, h.viewers_max
        FROM periscope.health_5m AS h {MERGED} WHERE /*where*/)
    GROUP BY slot, sid""",
    "bucket_at",
    time="bucket",
    filters=_STREAM,
    made=True,
)
