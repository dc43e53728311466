"""Bridge's metrics."""

from frameworks.kit.metrics import counter

SOCKETS_ENDED = counter(
    "frameworks_bridge_sockets_ended_total",
    "Subscription sockets that Bridge closed, by close code; 4400 and 1002 are clients that speak something else, "
    "4403 bad credentials, 4408 clients that fell silent, 4429 and 1013 too many of them.",
    ("code",),
)
TELEMETRY = counter(
    "frameworks_bridge_telemetry_total",
    "Reports of players by kind (boot, session, cmcd) and outcome; refused ones bear a token that is forged, expired "
    "or for something else, repeated ones were counted before, limited ones came too often.",
    ("kind", "outcome"),
)
UNSENT = counter(
    "frameworks_bridge_events_dropped_total",
    "Events of Bridge's own that could not be recorded: the disk or Decklog is behind.",
)
