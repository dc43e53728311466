"""Helmsman's metrics."""

from frameworks.kit.metrics import counter, gauge

TRIGGERS = counter(
    "frameworks_helmsman_triggers_total",
    "Triggers by name and outcome; bad ones mean a node we do not understand.",
    ("trigger", "outcome"),
)
SESSIONS = gauge("frameworks_helmsman_sessions", "Open viewer sessions of the node.")
PENDING = gauge("frameworks_helmsman_wal_bytes", "Bytes of events waiting for Decklog.")
