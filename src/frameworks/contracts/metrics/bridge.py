"""Bridge's metrics."""

from frameworks.kit.metrics import counter

SOCKETS_ENDED = counter(
    "frameworks_bridge_sockets_ended_total",
    "Subscription sockets that Bridge closed, by close code; 4400 and 1002 are clients that speak something else, "
    "4403 bad credentials, 4408 clients that fell silent, 4429 and 1013 too many of them.",
    ("code",),
)
