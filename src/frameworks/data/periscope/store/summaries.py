"""Figures over a range: SQL over buckets and facts. `/*stream*/` stands for the condition on one stream."""

from frameworks.data.periscope.store.grains import mark
from frameworks.data.periscope.store.tables import MERGED

_BY_DAY, _BY_HOUR = mark("viewers", "day"), mark("viewers", "hour")
_BUCKETS = """bucket >= toDateTime(fromUnixTimestamp64Micro({from:Int64}, 'UTC'), 'UTC')
    AND bucket < toDateTime(fromUnixTimestamp64Micro({until:Int64}, 'UTC'), 'UTC')"""
_FACTS = """occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
    AND occurred_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')"""

HEALTH = f"""
SELECT count() AS buckets, sum(h.samples) AS samples, sum(h.bitrate_kbps_sum) AS bitrate_kbps_sum,
    sum(h.fps_milli_sum) AS fps_milli_sum, sum(h.buffer_ms_sum) AS buffer_ms_sum,
    sum(h.health_score_sum) AS health_score_sum, sum(h.issue_samples) AS issue_count,
    sum(h.viewers_sum) AS viewers_sum, max(h.viewers_max) AS peak_viewers,
    sum(h.bandwidth_in_bps_sum) AS bandwidth_in_bps_sum, sum(h.bandwidth_out_bps_sum) AS bandwidth_out_bps_sum,
    max(h.bandwidth_out_bps_max) AS peak_bandwidth_bps, sum(h.packets_sent) AS packets_sent,
    sum(h.packets_lost) AS packets_lost, max(h.packet_loss_max) AS peak_packet_loss,
    sumMap(mapApply((k, v) -> (k, intDiv(v * h.live_us, h.samples)), h.tiers)) AS tiers_us,
    sumMap(mapApply((k, v) -> (k, intDiv(v * h.live_us, h.samples)), h.codecs)) AS codecs_us,
    sum(h.live_us) AS live_us, argMax(notEmpty(h.issues), h.bucket) AS has_active_issues
FROM periscope.health_5m AS h {MERGED} WHERE {_BUCKETS} /*stream*/
"""

LIFECYCLE = f"""
SELECT sum(l.views) AS total_views, sum(l.ingest_us) AS ingest_us, sum(l.ingress_bytes) AS ingress_bytes,
    sum(l.dry) AS buffer_dry_count, sum(l.recovered) AS rebuffer_count, uniqExact(l.stream_id) AS total_streams
FROM periscope.lifecycle_5m AS l {MERGED} WHERE {_BUCKETS} /*stream*/
"""

VIEWERS = f"""
SELECT sum(v.opened) AS opened, sum(v.closed) AS total_sessions, sum(v.viewer_us) AS viewer_us,
    sum(v.egress_bytes) AS egress_bytes, uniqCombined64Merge(v.unique_viewers) AS unique_viewers,
    uniqExactIf(v.country, v.country != '') AS unique_countries,
    uniqCombined64Merge(v.cities) AS unique_cities
FROM {_BY_DAY} AS v WHERE {_BUCKETS} /*stream*/
"""

_OURS = "stream_id = {stream:UUID}"
STREAM_AND_TENANT = f"""
SELECT sumIf(v.opened, {_OURS}) AS opened, sumIf(v.closed, {_OURS}) AS total_sessions,
    sumIf(v.viewer_us, {_OURS}) AS viewer_us, sumIf(v.egress_bytes, {_OURS}) AS egress_bytes,
    uniqCombined64MergeIf(v.unique_viewers, {_OURS}) AS unique_viewers,
    uniqExactIf(v.country, v.country != '' AND {_OURS}) AS unique_countries,
    uniqCombined64MergeIf(v.cities, {_OURS}) AS unique_cities,
    sum(v.closed) AS tenant_total_sessions, sum(v.viewer_us) AS tenant_viewer_us,
    sum(v.egress_bytes) AS tenant_egress_bytes
FROM {_BY_DAY} AS v WHERE {_BUCKETS}
"""

PEAK = f"""
SELECT max(total) AS peak_viewers FROM (
    SELECT bucket, sum(p.viewers) AS total FROM periscope.peaks_5m AS p {MERGED}
    WHERE {_BUCKETS} /*stream*/ GROUP BY bucket)
"""

DAYS = f"""
SELECT toInt64(toUnixTimestamp(day)) * 1000000 AS day_at, sum(egress) AS egress_bytes,
    intDiv(sum(us), 1000000) AS viewer_seconds, uniqCombined64Merge(viewers) AS unique_viewers,
    sum(sessions) AS total_sessions, sum(views) AS total_views
FROM (
    SELECT toStartOfDay(bucket) AS day, sum(v.egress_bytes) AS egress, sum(v.viewer_us) AS us,
        uniqCombined64MergeState(v.unique_viewers) AS viewers, sum(v.closed) AS sessions, toUInt64(0) AS views
    FROM {_BY_DAY} AS v WHERE {_BUCKETS} GROUP BY day
    UNION ALL
    SELECT toStartOfDay(bucket) AS day, 0, 0, uniqCombined64StateIf('', 0), 0, sum(l.views)
    FROM periscope.lifecycle_5m AS l {MERGED} WHERE {_BUCKETS} GROUP BY day)
GROUP BY day ORDER BY day
"""

SUMMARIES = f"""
SELECT toString(sid) AS stream_id, sum(views) AS total_views, sum(closed) AS total_sessions,
    intDiv(sum(us), 1000000) AS session_seconds, sum(egress) AS egress_bytes,
    uniqCombined64Merge(sketch) AS unique_viewers, max(peak) AS peak_viewers
FROM (
    SELECT stream_id AS sid, toUInt64(0) AS views, sum(v.closed) AS closed, sum(v.viewer_us) AS us,
        sum(v.egress_bytes) AS egress, uniqCombined64MergeState(v.unique_viewers) AS sketch, toUInt32(0) AS peak
    FROM {_BY_DAY} AS v WHERE {_BUCKETS} GROUP BY sid
    UNION ALL
    SELECT stream_id AS sid, sum(l.views), 0, 0, 0, uniqCombined64StateIf('', 0), 0
    FROM periscope.lifecycle_5m AS l {MERGED} WHERE {_BUCKETS} GROUP BY sid
    UNION ALL
    SELECT stream_id AS sid, 0, 0, 0, 0, uniqCombined64StateIf('', 0), max(p.viewers)
    FROM periscope.peaks_5m AS p {MERGED} WHERE {_BUCKETS} GROUP BY sid
    UNION ALL
    SELECT stream_id AS sid, 0, 0, 0, 0, uniqCombined64StateIf('', 0), max(h.viewers_max)
    FROM periscope.health_5m AS h {MERGED} WHERE {_BUCKETS} GROUP BY sid)
GROUP BY sid ORDER BY stream_id LIMIT 10000
"""

# A viewer counts once however often the same event arrived.
CITIES = f"""
SELECT city, country, argMax(c.latitude, c.h3_cell) AS latitude, argMax(c.longitude, c.h3_cell) AS longitude,
    uniqCombined64(if(c.viewer_hash = '', c.session_id, c.viewer_hash)) AS viewers
FROM periscope.connection_events AS c WHERE {_FACTS} /*stream*/ AND city != ''
GROUP BY city, country ORDER BY viewers DESC, city, country LIMIT {{top:UInt32}}
"""

PLACES = f"""
SELECT hour_at, place AS country, grouping(hour_at) AS all_hours, grouping(place) AS everywhere,
    uniqCombined64Merge(sketch) AS viewers, uniqCombined64Merge(towns) AS cities
FROM (SELECT toInt64(toUnixTimestamp(toStartOfHour(bucket))) * 1000000 AS hour_at, toString(country) AS place,
        unique_viewers AS sketch, cities AS towns
    FROM {_BY_HOUR} AS v WHERE {_BUCKETS} /*stream*/)
GROUP BY GROUPING SETS ((hour_at, place), (place), ())
ORDER BY hour_at, place LIMIT 20000
"""

ROUTING = f"""
SELECT count() AS total, countIf(r.status != 'failed') AS succeeded,
    ifNotFinite(avgIf(r.distance_km, r.distance_km > 0), 0) AS avg_distance_km,
    ifNotFinite(avg(r.decided_in_us), 0) AS avg_decided_in_us
FROM periscope.routing_events AS r {MERGED} WHERE {_FACTS} /*stream*/
"""

ROUTING_COUNTRIES = f"""
SELECT country, count() AS requests FROM periscope.routing_events AS r {MERGED} WHERE {_FACTS} /*stream*/
    AND country != ''
GROUP BY country ORDER BY requests DESC, country LIMIT 10
"""

NODES = f"""
SELECT node_id, max(n.cluster_id) AS cluster_id, sum(bucket_samples) AS samples,
    sum(n.cpu_permille_sum) / samples AS avg_cpu_permille,
    sum(n.memory_permille_sum) / samples AS avg_memory_permille,
    sum(n.disk_permille_sum) / samples AS avg_disk_permille,
    sum(n.shm_permille_sum) / samples AS avg_shm_permille,
    sum(intDiv(n.bandwidth_in_bps_sum * 300, bucket_samples * 8)) AS bytes_in,
    sum(intDiv(n.bandwidth_out_bps_sum * 300, bucket_samples * 8)) AS bytes_out
FROM (SELECT * EXCEPT (samples), samples AS bucket_samples FROM periscope.nodes_5m {MERGED}
    WHERE {_BUCKETS} /*node*/) AS n
GROUP BY node_id ORDER BY node_id LIMIT 1000
"""

CONNECTIONS = f"""
SELECT count() AS closed, sum(c.seconds) AS seconds
FROM (SELECT * FROM periscope.connection_events
    WHERE {_FACTS} /*stream*/ AND action = 'disconnect' LIMIT 1 BY event_id) AS c
"""

USAGE = f"""
SELECT toInt64(toUnixTimestamp(hour)) * 1000000 AS hour_at, cluster AS cluster_id,
    intDiv(sum(us), 1000000) AS viewer_seconds, intDiv(sum(ingest), 1000000) AS ingest_seconds,
    sum(egress) AS egress_bytes, sum(ingress) AS ingress_bytes, uniqCombined64Merge(sketch) AS unique_viewers,
    sum(closed) AS total_sessions
FROM (
    SELECT toStartOfHour(bucket) AS hour, toString(v.cluster_id) AS cluster, sum(v.viewer_us) AS us,
        toUInt64(0) AS ingest, sum(v.egress_bytes) AS egress, sum(v.ingress_bytes) AS ingress,
        uniqCombined64MergeState(v.unique_viewers) AS sketch, sum(v.closed) AS closed
    FROM {_BY_HOUR} AS v WHERE {_BUCKETS} GROUP BY hour, cluster
    UNION ALL
    SELECT toStartOfHour(bucket) AS hour, toString(l.cluster_id) AS cluster, 0, sum(l.ingest_us), 0,
        sum(l.ingress_bytes), uniqCombined64StateIf('', 0), 0
    FROM periscope.lifecycle_5m AS l {MERGED} WHERE {_BUCKETS} GROUP BY hour, cluster)
GROUP BY hour, cluster ORDER BY hour, cluster LIMIT 100000
"""

RATES = """
SELECT type, count() / 5 AS per_minute, max(at) AS newest FROM (
    SELECT toString(type) AS type, toUnixTimestamp64Micro(occurred_at) AS at FROM periscope.stream_events
    WHERE occurred_at > now64(6) - INTERVAL 5 MINUTE
    UNION ALL SELECT 'stream-view', toUnixTimestamp64Micro(occurred_at) FROM periscope.stream_views
    WHERE occurred_at > now64(6) - INTERVAL 5 MINUTE
    UNION ALL SELECT 'user-connection', toUnixTimestamp64Micro(occurred_at) FROM periscope.connection_events
    WHERE occurred_at > now64(6) - INTERVAL 5 MINUTE
    UNION ALL SELECT 'stream-metrics', toUnixTimestamp64Micro(occurred_at) FROM periscope.stream_health
    WHERE occurred_at > now64(6) - INTERVAL 5 MINUTE
    UNION ALL SELECT 'node-lifecycle', toUnixTimestamp64Micro(occurred_at) FROM periscope.node_metrics
    WHERE occurred_at > now64(6) - INTERVAL 5 MINUTE
    UNION ALL SELECT 'load-balancing', toUnixTimestamp64Micro(occurred_at) FROM periscope.routing_events
    WHERE occurred_at > now64(6) - INTERVAL 5 MINUTE)
GROUP BY type ORDER BY type
"""

UNCLAIMED = "SELECT count() AS events FROM periscope.unclaimed_events FINAL"
