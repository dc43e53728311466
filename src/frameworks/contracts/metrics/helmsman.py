"""Helmsman's metrics."""

from frameworks.kit.metrics import counter, gauge

TRIGGERS = counter(
    "frameworks_helmsman_triggers_total",
    "Triggers by name and outcome; bad ones mean a node we do not understand.",
    ("trigger", "outcome"),
)
SESSIONS = gauge("frameworks_helmsman_sessions", "Open viewer sessions of the node.")
PENDING = gauge("frameworks_helmsman_wal_bytes", "Bytes of events waiting for Decklog.")
STOPPED = counter(
    "frameworks_helmsman_publishers_stopped_total",
    "Publishers cut off, by reason. BITRATE_LIMIT: they sent more than their plan allows.",
    ("reason",),
)
OVER_LIMIT = gauge(
    "frameworks_helmsman_publishers_over_limit", "Publishers that send more than their plan allows right now."
)
REFUSED_VIEWERS = counter(
    "frameworks_helmsman_viewers_refused_total",
    "Viewers the node turned away, by reason and by who decided: foghorn, or the node while Foghorn is away.",
    ("reason", "by"),
)
NODE_ANSWERS = gauge("frameworks_helmsman_node_answers", "1 while the media node answers its agent, else 0.")
UNSAMPLED = counter(
    "frameworks_helmsman_clients_unsampled_total",
    "Connections left out of a turn of samples, since the node has more viewers than it samples at a time.",
)
PLAYER_REPORTS = counter(
    "frameworks_helmsman_player_reports_total",
    "Players' own reports (CMCD) in requests for media: told, or invalid, or of sessions and streams that are not "
    "known here.",
    ("outcome",),
)
