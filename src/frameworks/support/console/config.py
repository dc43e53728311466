"""The front's settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read from `CONSOLE_*`."""

    PREFIX: ClassVar[str] = "CONSOLE_"

    listen: str = "127.0.0.1"
    """Address of the public front."""

    port: int = 18090
    """Port of the public front."""

    public_url: str = "http://127.0.0.1:18090"
    """How people reach the front; goes into links, Open Graph tags and embed codes."""

    rtmp_url: str = "rtmp://127.0.0.1:1935/live"
    """Where streamers push; shown on each stream's page."""

    bridge_url: str = "http://127.0.0.1:18000"
    """Where Bridge serves `/graphql` and `/auth`."""

    foghorn_url: str = "http://127.0.0.1:18008"
    """Where Foghorn serves `/play`."""

    mailbox_url: str = ""
    """Where the demo's mailbox is; empty means there is none, and no `/mail`."""

    player_telemetry: bool = False
    """Let the page's own player tell the stream's owner how viewing goes; the official player asks its own page."""

    media_origins: tuple[str, ...] = ("http://127.0.0.1:8080",)
    """Origins of media nodes that the page may load media from."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-* headers are believed."""

    tls_certificate: Path | None = None
    """PEM certificate chain; with a key, the front speaks TLS."""

    tls_key: Path | None = None
    """PEM key of the certificate."""
