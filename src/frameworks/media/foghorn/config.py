"""Foghorn's settings."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read from `FOGHORN_*`."""

    PREFIX: ClassVar[str] = "FOGHORN_"

    port: int = 18008
    """HTTP port of `/play`."""

    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Whose X-Forwarded-For places the viewer: addresses or networks of the proxies in front."""

    cpu_weight: int = 500
    """Score of an idle processor."""

    ram_weight: int = 500
    """Score of empty memory."""

    bandwidth_weight: int = 1000
    """Score of an unused uplink."""

    geo_weight: int = 1000
    """Score of a node beside the viewer; the antipode gets 0."""

    stream_bonus: int = 50
    """Added when the node has the stream already."""

    stale_after: timedelta = timedelta(seconds=90)
    """A node silent for this long is not offered any more."""

    forget_after: timedelta = timedelta(minutes=5)
    """A node silent for this long is forgotten."""

    pending_for: timedelta = timedelta(seconds=30)
    """How long a redirected viewer's bandwidth stays reserved when it never arrives."""

    resolution_fresh: timedelta = timedelta(seconds=10)
    """How long a resolved playback id is used without asking Commodore again."""

    resolution_stale: timedelta = timedelta(hours=24)
    """How long a resolved playback id is used while Commodore is away."""

    telemetry_for: timedelta = timedelta(hours=6)
    """How long a player may report with the token it was given: the longest viewing without asking again."""

    fallbacks: int = 4
    """How many further nodes an answer names."""
