"""Signalman's metrics."""

from frameworks.kit.metrics import counter, gauge

PUSHED = counter("frameworks_signalman_pushed_total", "Changes handed to the subscribers of their tenant.")
DELIVERED = counter(
    "frameworks_signalman_delivered_total", "Changes written to sockets, once for each socket."
)
OPENED = counter(
    "frameworks_signalman_opened_total",
    "Subscriptions begun: resumed where they were left, or with a snapshot and why; many of too_old or gap mean "
    "that less is kept than clients need (SIGNALMAN_CHANGES), or that they are slow.",
    ("outcome",),
)
SOCKETS = gauge("frameworks_signalman_sockets", "Sockets open now.")
REFUSED = counter(
    "frameworks_signalman_refused_total",
    "Sockets refused before they were open, by reason; growing means an attack, a client without a valid "
    "credential, or a limit that is too low.",
    ("reason",),
)
CUT = counter(
    "frameworks_signalman_cut_total",
    "Sockets ended from this side, by reason; slow means that clients can not keep up.",
    ("reason",),
)
FROM_ANEW = counter(
    "frameworks_signalman_begun_total",
    "Times this replica began to follow the log; more than its starts mean that the log lost records.",
)
