"""Hours made of five-minute buckets, and days made of hours: sums, maxima and sketches lose nothing on the way."""

from frameworks.data.periscope.domain import HOURS_AND_DAYS, Kind
from frameworks.data.periscope.store.choosing import VERSION

_HEALTH_SUMS = (
    *("samples", "bitrate_kbps_sum", "fps_milli_sum", "buffer_ms_sum", "jitter_ms_sum"),
    *("health_score_sum", "issue_samples", "bandwidth_in_bps_sum", "bandwidth_out_bps_sum", "viewers_sum"),
    *("packets_sent", "packets_lost", "live_us"),
)
_NODE_SUMS = (
    *("samples", "cpu_permille_sum", "memory_permille_sum", "disk_permille_sum", "shm_permille_sum"),
    *("bandwidth_in_bps_sum", "bandwidth_out_bps_sum", "streams_sum", "unhealthy"),
)
_HEALTH = {
    "node_id": "argMax(b.node_id, b.bucket)",
    **{name: f"sum(b.{name})" for name in _HEALTH_SUMS},
    **{
        name: f"max(b.{name})"
        for name in ("jitter_ms_max", "bandwidth_out_bps_max", "viewers_max", "packet_loss_max")
    },
    "issues": "arraySlice(arraySort(groupUniqArrayArray(b.issues)), 1, 16)",
    **{name: f"sumMap(b.{name})" for name in ("tiers", "codecs")},
}
_FROM_BUCKETS = {
    "buckets": "count()",
    **{
        f"{name}_us": f"sumMap(mapApply((k, v) -> (k, intDiv(v * b.live_us, b.samples)), b.{name}))"
        for name in ("tiers", "codecs")
    },
}
_FROM_HOURS = {"buckets": "sum(b.buckets)", **{f"{n}_us": f"sumMap(b.{n}_us)" for n in ("tiers", "codecs")}}
_LIFECYCLE = {
    "cluster_id": "max(b.cluster_id)",
    **{name: f"sum(b.{name})" for name in ("views", "ingest_us", "ingress_bytes", "dry", "recovered")},
}
_VIEWERS = {
    "country": "b.country",
    "cluster_id": "b.cluster_id",
    **{name: f"sum(b.{name})" for name in ("opened", "closed", "viewer_us", "egress_bytes", "ingress_bytes")},
    **{name: f"uniqCombined64MergeState(b.{name})" for name in ("unique_viewers", "cities")},
}
_NODES = {
    "cluster_id": "argMax(b.cluster_id, b.bucket)",
    **{name: f"sum(b.{name})" for name in _NODE_SUMS},
    **{
        f"{n}_max": f"max(b.{n}_max)"
        for n in ("cpu_permille", "memory_permille", "disk_permille", "shm_permille")
    },
    "streams_max": "max(b.streams_max)",
}
_PEAKS = {"viewers": "max(b.viewers)"}


def _statement(source: str, seconds: int, made: dict[str, str], *, subject: str, keys: str = "") -> str:
    """The source's rows of each period, added up."""
    names = ", ".join((*("tenant_id", subject, "bucket", "version"), *made))
    return f"""
INSERT INTO periscope.{{into}} ({names})
SELECT tenant_id, {subject}, toDateTime(slot * {seconds}, 'UTC'), {VERSION}, {", ".join(made.values())}
FROM (SELECT *, toUInt64(intDiv(toUnixTimestamp(bucket), {seconds})) AS slot FROM periscope.{{{source}}} FINAL
    WHERE {{these}} AND {{buckets}} AND {{slots}}) AS b
GROUP BY tenant_id, {subject}, slot{keys}
"""


_MADE = {
    "health": (_HEALTH, "stream_id", ""),
    "lifecycle": (_LIFECYCLE, "stream_id", ""),
    "viewers": (_VIEWERS, "stream_id", ", b.country, b.cluster_id"),
    "peaks": (_PEAKS, "stream_id", ""),
    "nodes": (_NODES, "node_id", ""),
}


def _period(name: str, source: str, seconds: int) -> str:
    made, subject, keys = _MADE[name]
    if name == "health":
        made = made | (_FROM_HOURS if seconds == 86_400 else _FROM_BUCKETS)
    return _statement(f"{name}_{source}", seconds, made, subject=subject, keys=keys)


def _of(kind: Kind) -> dict[str, str]:
    names = ("viewers", "peaks") if kind in (Kind.VIEWERS_1H, Kind.VIEWERS_1D) else (kind.value[:-3],)
    grain = kind.value[-2:]
    source, seconds = ("5m", 3600) if grain == "1h" else ("1h", 86_400)
    return {f"{name}_{grain}": _period(name, source, seconds) for name in names}


STATEMENTS = {kind: _of(kind) for kind in HOURS_AND_DAYS}
"""Kind → table → the statement that writes it."""
