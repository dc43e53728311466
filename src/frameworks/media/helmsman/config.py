"""Helmsman's settings."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read from `HELMSMAN_*`."""

    PREFIX: ClassVar[str] = "HELMSMAN_"

    node_id: str = "node-1"
    """The node's name in the fleet, kept for its life."""

    node_name: str = ""
    """What people call the node; the id when empty."""

    region: str = ""
    """Where the node stands, in the operator's words."""

    port: int = 18007
    """Loopback port on which the media node calls."""

    mist_api: str = "http://127.0.0.1:4242"
    """Control API of the media node."""

    public_url: str = "http://127.0.0.1:8080"
    """Where viewers reach the media node."""

    rtmp_url: str = "rtmp://127.0.0.1:1935/live"
    """Where publishers reach the media node."""

    latitude: float = 0.0
    """The node's place; 0, 0 means unknown."""

    longitude: float = 0.0
    """The node's place; 0, 0 means unknown."""

    bandwidth_limit_mbps: int = 1000
    """The node's uplink, in Mbit/s."""

    enrollment_token_file: Path | None = None
    """A file with the single-use token; read until the node is enrolled, then removed."""

    input_timeout: timedelta = timedelta(seconds=12)
    """How long a stream outlives its publisher, who may come back; in whole seconds."""

    poll: timedelta = timedelta(seconds=1)
    """How often the node's live streams are looked at."""

    metrics_every: timedelta = timedelta(seconds=5)
    """How often stream metrics become events."""

    detailed_every: timedelta = timedelta(minutes=1)
    """How often every track and output of a stream becomes an event."""

    clients_every: timedelta = timedelta(seconds=10)
    """How often viewers' connections become events."""

    client_samples: int = 500
    """Most connections sampled at a time; with more, they take turns."""

    storage_every: timedelta = timedelta(minutes=5)
    """How often what the node holds of each stream becomes an event."""

    cmcd: bool = True
    """Whether what players tell of themselves with their requests (CMCD) counts. Switch it off where players also
    report to the front: what is told twice counts twice."""

    cmcd_every: timedelta = timedelta(seconds=10)
    """How often it becomes events."""

    node_every: timedelta = timedelta(seconds=10)
    """How often the node's own state becomes an event."""

    wal_bytes: int = 268435456
    """Most bytes of events kept on disk while Decklog is away."""
