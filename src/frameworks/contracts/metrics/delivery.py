"""Metrics of the edge's event delivery, labelled by the service that owns the log."""

from frameworks.kit.metrics import counter

RECORDED = counter("frameworks_delivery_recorded_total", "Events made durable at the edge.", ("service",))
ACKNOWLEDGED = counter("frameworks_delivery_acknowledged_total", "Events Decklog made durable.", ("service",))
REFUSED = counter(
    "frameworks_delivery_refused_total",
    "Events Decklog will never take, and records nobody can read, kept in quarantine: look at refused.bin.",
    ("service",),
)
RETRIES = counter(
    "frameworks_delivery_retries_total",
    "Attempts that found Decklog away; growing means it is down.",
    ("service",),
)
