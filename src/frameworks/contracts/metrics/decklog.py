"""Decklog's metrics."""

from frameworks.kit.metrics import counter

ACCEPTED = counter(
    "frameworks_decklog_accepted_total", "Events made durable, by sort of sender.", ("sender",)
)
REFUSED = counter(
    "frameworks_decklog_refused_total",
    "Events refused, by reason; a growing attribution.* or sender.* means a misconfigured or a lying edge.",
    ("code",),
)
