"""One row per session, of a viewer or of a publisher's claim: a pure function of its facts and of the time now.

A session ends when a fact says so. One whose last sign of life lies before the horizon ends there, and is anomalous; a
later sign opens it again, its real end wins whenever it arrives. Open sessions have rows too, which readers do not see.
"""

from frameworks.data.periscope.domain import LONGEST_SESSION, SECOND, Kind
from frameworks.data.periscope.store.choosing import VERSION

_SLOT = "toUInt64(intDiv(toUnixTimestamp64Micro(occurred_at), 300000000))"
_MICROS = "toUnixTimestamp64Micro"
_SIGN = "greatest(heard, seen)"

_VIEWER = f"""
INSERT INTO periscope.{{into}} (tenant_id, stream_id, node_id, session_id, version, closed, anomalous, connected_at,
    ended_at, seconds, up_bytes, down_bytes, cluster_id, connector, country, city, viewer_hash)
WITH touched AS (SELECT tenant_id, stream_id, toString(node_id) AS node, session_id
    FROM (SELECT *, {_SLOT} AS slot FROM periscope.connection_events_v WHERE {{these}} AND {{range}} AND {{slots}})
    GROUP BY tenant_id, stream_id, node, session_id)
SELECT f.tenant_id, f.stream_id, f.node, f.session_id, {VERSION}, ends > 0 OR {_SIGN} < {{horizon}} AS closed,
    closed AND ends = 0 AS anomalous,
    if(begins > 0, came, fromUnixTimestamp64Micro({_MICROS}(gone) - toInt64(long) * {SECOND}, 'UTC')) AS connected,
    if(ends > 0, gone, {_SIGN}) AS ended,
    if(ends > 0, long, intDiv(greatest({_MICROS}({_SIGN}) - {_MICROS}(came), 0), {SECOND})),
    if(ends > 0, last.2, s.up), if(ends > 0, last.3, s.down), f.cluster, last.4, last.5, last.6, last.7
FROM (SELECT tenant_id, stream_id, toString(node_id) AS node, session_id, countIf(action = 'disconnect') AS ends,
        countIf(action = 'connect') AS begins, maxIf(occurred_at, action = 'disconnect') AS gone,
        minIf(occurred_at, action = 'connect') AS came,
        maxIf(occurred_at, action != 'disconnect') AS heard,
        argMax(toString(cluster_id), (occurred_at, event_id)) AS cluster,
        argMax(tuple(seconds, up_bytes, down_bytes, toString(connector), toString(country), toString(city),
            viewer_hash), (action = 'disconnect', occurred_at, event_id)) AS last,
        least(last.1, {LONGEST_SESSION // SECOND}) AS long
    FROM periscope.connection_events_v
    WHERE {{these}} AND {{around}} AND (tenant_id, stream_id, node_id, session_id) IN touched
    GROUP BY tenant_id, stream_id, node, session_id) AS f
LEFT JOIN (SELECT tenant_id, stream_id, toString(node_id) AS node, session_id, max(occurred_at) AS seen,
        sum(up_bytes) AS up, toUInt64(0) AS down
    FROM periscope.client_samples_v
    WHERE {{these}} AND {{around}} AND (tenant_id, stream_id, node_id, session_id) IN touched
    GROUP BY tenant_id, stream_id, node, session_id) AS s
ON f.tenant_id = s.tenant_id AND f.stream_id = s.stream_id AND f.node = s.node AND f.session_id = s.session_id
"""

_CLAIM = f"""
INSERT INTO periscope.{{into}} (tenant_id, stream_id, claim_epoch, version, closed, anomalous, started_at, ended_at,
    seconds, viewers, up_bytes, down_bytes, node_id, cluster_id, reason, detail)
WITH touched AS (SELECT tenant_id, stream_id, claim_epoch
    FROM (SELECT *, {_SLOT} AS slot FROM periscope.stream_events_v
        WHERE type = 'stream-lifecycle' AND {{these}} AND {{range}} AND {{slots}})
    GROUP BY tenant_id, stream_id, claim_epoch)
SELECT f.tenant_id, f.stream_id, f.claim_epoch, {VERSION},
    last.1 = 'ended' OR {_SIGN} < {{horizon}} AS closed, closed AND last.1 != 'ended' AS anomalous, began,
    if(last.1 = 'ended', said, {_SIGN}) AS ended,
    intDiv(greatest({_MICROS}(ended) - {_MICROS}(began), 0), {SECOND}), most_viewers, up, down, last.2, last.3,
    if(anomalous, 'SILENT', last.4), last.5
FROM (SELECT tenant_id, stream_id, claim_epoch,
        argMaxIf(tuple(toString(status), toString(node_id), toString(cluster_id), toString(reason), detail),
            (occurred_at, event_id), type = 'stream-lifecycle') AS last,
        maxIf(occurred_at, type = 'stream-lifecycle') AS said, max(occurred_at) AS heard,
        minIf(occurred_at, type = 'stream-lifecycle') AS began, max(viewers) AS most_viewers,
        max(up_bytes) AS up, max(down_bytes) AS down
    FROM periscope.stream_events_v WHERE {{these}} AND (tenant_id, stream_id, claim_epoch) IN touched
    GROUP BY tenant_id, stream_id, claim_epoch) AS f
LEFT JOIN (SELECT tenant_id, stream_id, claim_epoch, max(occurred_at) AS seen
    FROM periscope.stream_health_v
    WHERE {{these}} AND {{since}} AND (tenant_id, stream_id, claim_epoch) IN touched
    GROUP BY tenant_id, stream_id, claim_epoch) AS h
ON f.tenant_id = h.tenant_id AND f.stream_id = h.stream_id AND f.claim_epoch = h.claim_epoch
"""

STATEMENTS = {
    Kind.SESSIONS: {"viewer_sessions_final": _VIEWER},
    Kind.CLAIMS: {"stream_sessions_final": _CLAIM},
}
"""Kind → table → the statement that writes it."""
