"""Decklog's metrics."""

from frameworks.kit.metrics import counter, gauge

ACCEPTED = counter(
    "frameworks_decklog_accepted_total", "Events made durable, by sort of sender.", ("sender",)
)
REFUSED = counter(
    "frameworks_decklog_refused_total",
    "Events refused, by reason; a growing attribution.* or sender.* means a misconfigured or a lying edge.",
    ("code",),
)
REPEATED = counter(
    "frameworks_decklog_repeated_total", "Events that one request held twice, and that were kept once."
)
UNREADABLE = counter(
    "frameworks_decklog_unreadable_total",
    "Bytes that are no event, kept in `unreadable_events` or dropped when too many came; growing means a sender "
    "that is broken or hostile.",
    ("fate",),
)
IN_FLIGHT = gauge(
    "frameworks_decklog_in_flight", "Batches being judged or made durable; at its limit the log is slow."
)
