"""Foghorn's metrics."""

from frameworks.kit.metrics import counter, gauge

DECISIONS = counter(
    "frameworks_foghorn_decisions_total",
    "Routing decisions by purpose and outcome; failed ones mean no node had room.",
    ("purpose", "status"),
)
DROPPED = counter(
    "frameworks_foghorn_decisions_dropped_total",
    "Decisions that could not be recorded: the disk or Decklog is behind.",
)
NODES = gauge(
    "frameworks_foghorn_nodes", "Nodes by standing; a stale one has not reported for a while.", ("standing",)
)
ABANDONED = counter("frameworks_foghorn_viewers_abandoned_total", "Redirected viewers that never arrived.")
REFUSED = counter(
    "frameworks_foghorn_viewers_refused_total",
    "Viewers refused a seat, by reason. VIEWER_LIMIT: a tenant has as many as its plan allows.",
    ("reason",),
)
ORDERS = gauge(
    "frameworks_foghorn_orders",
    "Orders to stop streams that are kept, by standing; untold ones wait for a node that is away or does not obey.",
    ("standing",),
)
