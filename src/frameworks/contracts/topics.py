"""The log's topics, the event types and where each belongs: channel, attribution role, oneof field, spec name."""

from dataclasses import dataclass
from enum import Enum

ANALYTICS_EVENTS = "analytics_events"
DEAD_LETTERS = "dead_letters"
OWNERS = {ANALYTICS_EVENTS: "decklog", DEAD_LETTERS: "periscope"}
"""Topic → the one service that writes it."""
PARTITIONS = 8
"""Partitions of `analytics_events`; a stream's (or node's) events always share one."""

SCHEMA_VERSION = 1
"""Version of `events.proto` this code writes; N−1 is read too."""


class Role(Enum):
    """Which attribution lets a node write an event type; NODE needs none beyond the node's own identity."""

    INGEST = "ingest"
    VIEW = "view"
    NODE = "node"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class EventType:
    """One event type: its wire name (the spec's), its field in `Event.data`, who may write it, its live channel."""

    name: str
    field: str
    roles: frozenset[Role]
    channel: str
    spec: str


def _type(name: str, field: str, roles: set[Role], channel: str, spec: str) -> EventType:
    return EventType(name, field, frozenset(roles), channel, spec)


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
    )
}

CHANNELS = frozenset({"streams", "analytics", "system"})
