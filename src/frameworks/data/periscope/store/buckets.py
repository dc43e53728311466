"""Five-minute buckets in ClickHouse, each statement a pure function of the facts there are when it runs.

The version is the engine's clock when the statement began, before it read a fact, so that the statement that began
last wins. Sums are of integers only: the same facts in any order give the same row. What is in double braces is chosen
when a statement runs (`choosing`).
"""

from frameworks.data.periscope.domain import BUCKET, LONGEST_SESSION, SECOND, Kind
from frameworks.data.periscope.store.choosing import VERSION as _VERSION

_SLOT = "toUInt64(intDiv(toUnixTimestamp64Micro(occurred_at), 300000000))"
_BUCKET = "toDateTime(slot * 300, 'UTC')"

_HEALTH = f"""
INSERT INTO periscope.{{into}}
SELECT tenant_id, stream_id, {_BUCKET}, {_VERSION}, argMax(node_id, (occurred_at, event_id)), count(),
    sum(bitrate_kbps), sum(fps_milli), sum(buffer_ms), sum(jitter_ms), max(jitter_ms), sum(health_score),
    countIf(notEmpty(issues)), arraySlice(arraySort(groupUniqArrayArray(issues)), 1, 16),
    sum(bandwidth_in_bps), sum(bandwidth_out_bps), max(bandwidth_out_bps), sum(viewers), max(viewers),
    sum(packets_sent), sum(packets_lost),
    max(if(packets_sent = 0, 0, packets_lost / packets_sent)),
    sumMap(map(toString(quality_tier), toUInt64(1))), sumMap(map(toString(codec), toUInt64(1))),
    uniqExact(intDiv(toUnixTimestamp64Micro(occurred_at), 10000000)) * 10000000
FROM (SELECT *, {_SLOT} AS slot FROM periscope.stream_health_v
    WHERE {{these}} AND {{range}} AND {{slots}})
GROUP BY tenant_id, stream_id, slot
"""

_LIFECYCLE = f"""
INSERT INTO periscope.{{into}}
SELECT tenant_id, stream_id, {_BUCKET}, {_VERSION}, max(cluster_id), sum(views), sum(ingest_us), sum(bytes),
    sum(dry), sum(recovered)
FROM (
    SELECT tenant_id, stream_id, {_SLOT} AS slot, toString(max(cluster_id)) AS cluster_id, toUInt64(0) AS views,
        toUInt64(0) AS ingest_us, toUInt64(0) AS bytes,
        countIf(type = 'stream-buffer' AND status = 'DRY') AS dry,
        countIf(type = 'stream-buffer' AND status = 'RECOVER') AS recovered
    FROM periscope.stream_events_v
    WHERE {{these}} AND {{range}} AND {{slots}}
    GROUP BY tenant_id, stream_id, slot
    UNION ALL
    SELECT tenant_id, stream_id, {_SLOT} AS slot, toString(max(cluster_id)), count(), 0, 0, 0, 0
    FROM periscope.stream_views_v
    WHERE {{these}} AND {{range}} AND {{slots}}
    GROUP BY tenant_id, stream_id, slot
    UNION ALL
    SELECT tenant_id, stream_id, slot, '', 0, 0, sum(bytes), 0, 0
    FROM (SELECT tenant_id, stream_id, {_SLOT} AS slot, claim_epoch, node_id, max(down_bytes) AS bytes
        FROM periscope.stream_events_v
        WHERE {{these}} AND {{range}} AND {{slots}}
        GROUP BY tenant_id, stream_id, slot, claim_epoch, node_id)
    GROUP BY tenant_id, stream_id, slot
    UNION ALL
    SELECT tenant_id, stream_id, slot, max(cluster), 0, uniqExact(second) * {SECOND}, 0, 0, 0
    FROM (SELECT tenant_id, stream_id, slot, cluster,
            arrayJoin(range(toUInt64(greatest(began, slot * 300)), toUInt64(least(ended, slot * 300 + 300)))) AS second
        FROM (SELECT tenant_id, stream_id, toString(cluster_id) AS cluster,
                intDiv(toUnixTimestamp64Milli(occurred_at), 1000) AS ended,
                intDiv(toUnixTimestamp64Milli(occurred_at) - least(duration_ms, {LONGEST_SESSION // 1000}), 1000)
                    AS began,
                arrayJoin(range(toUInt64(intDiv(began, 300)), toUInt64(intDiv(ended, 300)) + 1)) AS slot
            FROM periscope.stream_events_v
            WHERE type = 'stream-lifecycle' AND duration_ms > 0
                AND {{these}} AND {{later}})
        WHERE {{slots}})
    GROUP BY tenant_id, stream_id, slot)
GROUP BY tenant_id, stream_id, slot
"""

# A session's seconds and bytes fall into its buckets by overlap; the shares are differences of one rounded running
# total, so that they add up to the session exactly.
_SESSIONS = f"""
SELECT *, greatest(began, slot * {BUCKET}) AS first, least(ended, slot * {BUCKET} + {BUCKET}) AS last
FROM (SELECT tenant_id, stream_id, country, city, cluster_id, up_bytes, down_bytes,
        if(viewer_hash = '', session_id, viewer_hash) AS viewer, toUnixTimestamp64Micro(occurred_at) AS ended,
        ended - toInt64(least(seconds, {LONGEST_SESSION // SECOND})) * {SECOND} AS began,
        intDiv(ended, {BUCKET}) AS final,
        arrayJoin(range(toUInt64(intDiv(began, {BUCKET})), toUInt64(final) + 1)) AS slot
    FROM periscope.connection_events_v
    WHERE action = 'disconnect' AND {{these}} AND {{later}})
WHERE {{slots}}
"""


def _share(column: str) -> str:
    total = f"toUInt128({column})"
    before, after = "toUInt128(first - began)", "toUInt128(greatest(last, first) - began)"
    whole = "toUInt128(ended - began)"
    spread = f"intDiv({total} * {after}, {whole}) - intDiv({total} * {before}, {whole})"
    return f"toUInt64(if(ended = began, {total}, {spread}))"


_VIEWERS = f"""
INSERT INTO periscope.{{into}}
SELECT tenant_id, stream_id, {_BUCKET}, country, cluster_id, {_VERSION}, sum(opened), sum(closed), sum(us),
    sum(egress), sum(ingress), uniqCombined64State(viewer), uniqCombined64StateIf(city, city != '')
FROM (
    SELECT tenant_id, stream_id, slot, country, cluster_id, toUInt64(0) AS opened,
        toUInt64(slot = final) AS closed, toUInt64(greatest(last - first, 0)) AS us,
        {_share("up_bytes")} AS egress, {_share("down_bytes")} AS ingress, viewer, toString(city) AS city
    FROM ({_SESSIONS})
    UNION ALL
    SELECT tenant_id, stream_id, {_SLOT} AS slot, country, cluster_id, 1, 0, 0, 0, 0,
        if(viewer_hash = '', session_id, viewer_hash), toString(city)
    FROM periscope.connection_events_v
    WHERE action = 'connect' AND {{these}} AND {{range}}
        AND {{slots}})
GROUP BY tenant_id, stream_id, slot, country, cluster_id
"""

_PEAKS = f"""
INSERT INTO periscope.{{into}}
SELECT tenant_id, stream_id, {_BUCKET}, {_VERSION},
    toUInt32(arrayMax(arrayCumSum(arrayMap(step -> step.2, arraySort(groupArrayArray(
        [(first, toInt8(1)), (greatest(last, first + 1), toInt8(-1))]))))))
FROM ({_SESSIONS})
GROUP BY tenant_id, stream_id, slot
"""


def _permille(used: str, total: str) -> str:
    return f"toUInt32(if({total} = 0, 0, intDiv({used} * 1000, {total})))"


_NODES = f"""
INSERT INTO periscope.{{into}}
SELECT tenant_id, node_id, {_BUCKET}, {_VERSION}, argMax(cluster_id, (occurred_at, event_id)), count(),
    sum(cpu_permille), max(cpu_permille), sum(memory), max(memory), sum(disk), max(disk), sum(shm), max(shm),
    sum(bandwidth_in_bps), sum(bandwidth_out_bps), sum(active_streams), max(active_streams),
    countIf(state != 'up')
FROM (SELECT *, {_SLOT} AS slot, {_permille("memory_used_bytes", "memory_total_bytes")} AS memory,
        {_permille("disk_used_bytes", "disk_total_bytes")} AS disk,
        {_permille("shm_used_bytes", "shm_total_bytes")} AS shm
    FROM periscope.node_metrics_v
    WHERE {{these}} AND {{range}} AND {{slots}})
GROUP BY tenant_id, node_id, slot
"""

STATEMENTS = {
    Kind.HEALTH: {"health_5m": _HEALTH},
    Kind.LIFECYCLE: {"lifecycle_5m": _LIFECYCLE},
    Kind.VIEWERS: {"viewers_5m": _VIEWERS, "peaks_5m": _PEAKS},
    Kind.NODES: {"nodes_5m": _NODES},
}
"""Kind → table → the statement that writes it."""
