"""What facts say of usage windows: one statement, a pure function of the facts that reach into each window.

What was said twice counts once: of a session, or of a stream's claim, the last fact that covers a window speaks for it;
a live second that several facts cover is one. A total falls into its windows as differences of one rounded running
total, so that the shares add up to it exactly. A fact changes only windows it covers, which are those it marks.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from frameworks.data.periscope.domain import BUCKET, LONGEST_SESSION, SECOND, UsageKey
from frameworks.data.periscope.service.usage_windows import Amounts, Meter
from frameworks.kit.analytics import Analytics, Scope

_MINE = """tenant_id IN {tenants:Array(UUID)} AND cluster_id = {cluster:String}
    AND occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
    AND occurred_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')"""
_WANTED = "(tenant, slot) IN (SELECT arrayJoin(arrayZip({tenants:Array(UUID)}, {slots:Array(UInt64)})))"

_LASTED = f"""toUnixTimestamp64Micro(occurred_at) AS ended, ended - toInt64(lasted) AS began,
        arrayJoin(range(toUInt64(intDiv(began, {BUCKET})), toUInt64(intDiv(greatest(began, ended - 1), {BUCKET})) + 1))
            AS slot"""
"""From a column `lasted` (microseconds): when it began and ended, one row a window it covers."""

_INSIDE = (
    f"greatest(fact.began, slot * {BUCKET}) AS first, least(fact.ended, slot * {BUCKET} + {BUCKET}) AS last"
)


def _share(total: str) -> str:
    amount, whole = f"toUInt128({total})", "toUInt128(fact.ended - fact.began)"
    until_last = f"intDiv({amount} * toUInt128(last - fact.began), {whole})"
    until_first = f"intDiv({amount} * toUInt128(first - fact.began), {whole})"
    return f"toInt64(if(fact.ended = fact.began, {amount}, {until_last} - {until_first}))"


_SESSIONS = f"""
SELECT tenant, slot, toInt64(sum(seconds_here)) AS viewer_seconds, toInt64(sum(up_here)) AS egress_bytes,
    toInt64(sum(down_here)) AS ingress_bytes, toInt64(0) AS stream_seconds,
    toInt64(arrayMax(arrayCumSum(arrayMap(step -> step.2, arraySort(groupArrayArray(
        [(first, toInt8(1)), (greatest(last, first + 1), toInt8(-1))])))))) AS peak_viewers, toInt64(0) AS api_requests
FROM (SELECT tenant, slot, {_INSIDE}, {_share("fact.length")} AS seconds_here, {_share("fact.up")} AS up_here,
        {_share("fact.down")} AS down_here
    FROM (SELECT tenant_id AS tenant, slot, stream_id, node_id, session_id,
            argMax(tuple(began, ended, length, up_bytes, down_bytes)::Tuple(began Int64, ended Int64,
                length UInt64, up UInt64, down UInt64), (ended, event_id)) AS fact
        FROM (SELECT tenant_id, stream_id, node_id, session_id, event_id, up_bytes, down_bytes,
                least(seconds, {LONGEST_SESSION // SECOND}) AS length, length * {SECOND} AS lasted, {_LASTED}
            FROM periscope.connection_events_v WHERE {_MINE} AND action = 'disconnect')
        GROUP BY tenant, slot, stream_id, node_id, session_id)
    WHERE {_WANTED})
GROUP BY tenant, slot
"""

_LIFECYCLES = f"""SELECT tenant_id, stream_id, node_id, claim_epoch, event_id, status, down_bytes,
        least(duration_ms, {LONGEST_SESSION // 1000}) * 1000 AS lasted, {_LASTED}
    FROM periscope.stream_events_v WHERE {_MINE} AND type = 'stream-lifecycle' AND duration_ms > 0"""

_STREAMS = f"""
SELECT tenant, slot, 0, 0, 0, toInt64(sum(seconds)), 0, 0
FROM (SELECT tenant, slot, stream_id, uniqExact(second) AS seconds
    FROM (SELECT tenant_id AS tenant, slot, stream_id, arrayJoin(range(
            toUInt64(greatest(intDiv(began, {SECOND}), slot * 300)),
            toUInt64(least(intDiv(ended, {SECOND}), slot * 300 + 300)))) AS second
        FROM ({_LIFECYCLES}) WHERE {_WANTED})
    GROUP BY tenant, slot, stream_id)
GROUP BY tenant, slot
"""

_INGRESS = f"""
SELECT tenant, slot, 0, 0, toInt64(sum(here)), 0, 0, 0
FROM (SELECT tenant, slot, {_INSIDE}, {_share("fact.down")} AS here
    FROM (SELECT tenant_id AS tenant, slot, stream_id, node_id, claim_epoch,
            argMax(tuple(began, ended, down_bytes)::Tuple(began Int64, ended Int64, down UInt64), (ended, event_id))
                AS fact
        FROM ({_LIFECYCLES} AND status = 'ended' AND down_bytes > 0)
        GROUP BY tenant, slot, stream_id, node_id, claim_epoch)
    WHERE {_WANTED})
GROUP BY tenant, slot
"""

_REQUESTS = f"""
SELECT tenant, slot, 0, 0, 0, 0, 0, toInt64(sum(requests))
FROM (SELECT tenant_id AS tenant, requests, toUInt64(intDiv(toUnixTimestamp64Micro(occurred_at), {BUCKET})) AS slot
    FROM periscope.api_requests_v WHERE {_MINE})
WHERE {_WANTED} GROUP BY tenant, slot
"""

_MEASURE = f"""
SELECT tenant, slot, {", ".join(f"sum({meter}) AS {meter}_all" for meter in Meter)}
FROM ({_SESSIONS} UNION ALL {_STREAMS} UNION ALL {_INGRESS} UNION ALL {_REQUESTS})
GROUP BY tenant, slot
"""


class ClickHouseMeters:
    """Measures usage windows."""

    def __init__(self, analytics: Analytics) -> None:
        self._analytics = analytics

    async def measure(self, keys: Sequence[UsageKey]) -> dict[UsageKey, Amounts]:
        """What the facts there are now say of these windows of one cluster; what used nothing is left out."""
        cluster = keys[0].cluster
        assert all(key.cluster == cluster for key in keys)
        params: dict[str, object] = {
            "cluster": cluster,
            "tenants": [key.tenant for key in keys],
            "slots": [key.at // BUCKET for key in keys],
            "from": min(key.at for key in keys),
            "until": max(key.at for key in keys) + BUCKET + LONGEST_SESSION,
        }
        rows = await self._analytics.query(_MEASURE, params, Scope.system("measures usage"))
        return {
            UsageKey(UUID(str(row["tenant"])), cluster, int(row["slot"]) * BUCKET): _amounts(row)
            for row in rows
        }


def _amounts(row: Mapping[str, Any]) -> Amounts:
    found = {meter.value: int(row[f"{meter}_all"]) for meter in Meter}
    return {meter: amount for meter, amount in found.items() if amount}
