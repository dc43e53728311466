"""The log's topics, the event types and where each belongs: channel, attribution role, oneof field, spec name."""

from dataclasses import dataclass
from enum import Enum

ANALYTICS_EVENTS = "analytics_events"
SERVICE_EVENTS = "service_events"
DEAD_LETTERS = "dead_letters"
UNREADABLE_EVENTS = "unreadable_events"
USAGE_WINDOWS = "usage_windows"
OWNERS = {
    ANALYTICS_EVENTS: "decklog",
    SERVICE_EVENTS: "decklog",
    UNREADABLE_EVENTS: "decklog",
    DEAD_LETTERS: "periscope",
    USAGE_WINDOWS: "periscope",
}
"""Topic → the one service that writes it."""
PARTITIONS = 8
"""Partitions of `analytics_events` and `service_events`; a stream's (or node's) events always share one."""
USAGE_PARTITIONS = 4
"""Partitions of `usage_windows`; a cluster's records share one."""

SCHEMA_VERSION = 2
"""Version of `events.proto` this code writes.

Every version up to this one is read. An event of a later version is refused, and so is one with fields its reader does
not know: what enters history was understood. So readers are upgraded before writers: Periscope and Decklog, then edges.
"""


class Role(Enum):
    """Which attribution lets a node write an event type; NODE needs none beyond the node's own identity."""

    INGEST = "ingest"
    VIEW = "view"
    NODE = "node"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class EventType:
    """One event type: its wire name (the spec's), its field in `Event.data`, who may write it, where it goes."""

    name: str
    field: str
    roles: frozenset[Role]
    channel: str
    spec: str
    topic: str = ANALYTICS_EVENTS


def _type(
    name: str, field: str, roles: set[Role], channel: str, spec: str, topic: str = ANALYTICS_EVENTS
) -> EventType:
    return EventType(name, field, frozenset(roles), channel, spec, topic)


STREAM_INGEST = _type("stream-ingest", "stream_ingest", {Role.INGEST}, "streams", "Stream Ingest Events")
STREAM_VIEW = _type("stream-view", "stream_view", {Role.VIEW}, "analytics", "Stream View Events")
STREAM_LIFECYCLE = _type(
    "stream-lifecycle", "stream_lifecycle", {Role.INGEST}, "streams", "Stream Lifecycle Events"
)
STREAM_BUFFER = _type("stream-buffer", "stream_buffer", {Role.INGEST}, "streams", "Stream Lifecycle Events")
TRACK_LIST = _type("track-list", "track_list", {Role.INGEST}, "streams", "Stream Metrics Detailed Events")
USER_CONNECTION = _type(
    "user-connection", "user_connection", {Role.VIEW}, "analytics", "User Connection Events"
)
STREAM_METRICS = _type(
    "stream-metrics", "stream_metrics", {Role.INGEST}, "analytics", "Stream Metrics Events"
)
NODE_LIFECYCLE = _type("node-lifecycle", "node_lifecycle", {Role.NODE}, "system", "Node Monitoring Events")
LOAD_BALANCING = _type("load-balancing", "load_balancing", {Role.SERVICE}, "system", "Load Balancing Events")
PUSH_LIFECYCLE = _type("push-lifecycle", "push_lifecycle", {Role.INGEST}, "streams", "Push Lifecycle Events")
RECORDING_LIFECYCLE = _type(
    "recording-lifecycle", "recording_lifecycle", {Role.INGEST}, "streams", "Recording Lifecycle Events"
)
STREAM_METRICS_DETAILED = _type(
    "stream-metrics-detailed",
    "stream_metrics_detailed",
    {Role.INGEST, Role.VIEW},
    "analytics",
    "Stream Metrics Detailed Events",
)
CLIENT_SAMPLE = _type("client-sample", "client_sample", {Role.VIEW}, "analytics", "Stream Metrics Events")
STORAGE_SAMPLE = _type("storage-sample", "storage_sample", {Role.INGEST}, "system", "Node Monitoring Events")
PLAYER_BOOT = _type(
    "player-boot", "player_boot", {Role.SERVICE, Role.VIEW}, "analytics", "User Connection Events"
)
PLAYER_SESSION = _type(
    "player-session", "player_session", {Role.SERVICE, Role.VIEW}, "analytics", "User Connection Events"
)
API_REQUESTS = _type("api-requests", "api_requests", {Role.SERVICE}, "system", "")
SERVICE_EVENT = _type("service", "service_event", {Role.SERVICE}, "system", "", SERVICE_EVENTS)

EVENT_TYPES: dict[str, EventType] = {
    t.name: t
    for t in (
        STREAM_INGEST,
        STREAM_VIEW,
        STREAM_LIFECYCLE,
        STREAM_BUFFER,
        TRACK_LIST,
        USER_CONNECTION,
        STREAM_METRICS,
        NODE_LIFECYCLE,
        LOAD_BALANCING,
        PUSH_LIFECYCLE,
        RECORDING_LIFECYCLE,
        STREAM_METRICS_DETAILED,
        CLIENT_SAMPLE,
        STORAGE_SAMPLE,
        PLAYER_BOOT,
        PLAYER_SESSION,
        API_REQUESTS,
        SERVICE_EVENT,
    )
}

_AUDIT = frozenset({SERVICE_EVENT.name})
WRITERS: dict[str, frozenset[str]] = {
    "foghorn": frozenset({LOAD_BALANCING.name}),
    "bridge": frozenset({PLAYER_BOOT.name, PLAYER_SESSION.name, API_REQUESTS.name}),
    "commodore": _AUDIT,
    "quartermaster": _AUDIT,
    "purser": _AUDIT,
}
"""Service → the event types it may write; every other service may write none."""

CHANNELS = frozenset({"streams", "analytics", "system"})
