"""The media node's metrics."""

from frameworks.kit.metrics import counter

REFUSED_PUBLISHERS = counter(
    "frameworks_mist_publishers_refused_total",
    "Publishers refused, by code; `mist.rtmp.denied` are keys that Helmsman refused, the others are peers that "
    "speak something else, stall, or are too many.",
    ("code",),
)
REFUSED_REQUESTS = counter(
    "frameworks_mist_requests_refused_total",
    "Viewers' requests and connections refused, by status or by what ran out. 404 is normal for streams that "
    "ended; growing `connections` mean the node is full.",
    ("reason",),
)
DROPPED_REPORTS = counter(
    "frameworks_mist_player_reports_dropped_total",
    "Players' own reports (CMCD) that were passed over, by reason: `no_room` means that Helmsman fetches none, "
    "`too_many` that one session tells of more sorts than players have.",
    ("reason",),
)
