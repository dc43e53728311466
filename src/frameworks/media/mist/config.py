"""The media node's settings."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read from `MIST_*`."""

    PREFIX: ClassVar[str] = "MIST_"

    address: str = "127.0.0.1"
    """Address on which publishers and viewers are served."""

    http_port: int = 8080
    """Port for viewers: HLS, LL-HLS, posters, stream facts."""

    rtmp_port: int = 1935
    """Port for publishers."""

    rtmps_port: int = 1936
    """Port for publishers over TLS, open when there is a certificate."""

    api_port: int = 4242
    """Loopback port of the control API, which configures everything else."""

    public_url: str = ""
    """Where viewers reach this node; the address and HTTP port when empty."""

    tls_certificate: Path | None = None
    """PEM chain; with `tls_key` it makes the viewers' port HTTPS and opens RTMPS."""

    tls_key: Path | None = None
    """PEM key of `tls_certificate`."""

    state: Path | None = None
    """File in which the API's `save` keeps the configuration; without it a restart forgets."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For is believed."""

    part: timedelta = timedelta(milliseconds=250)
    """Length of an LL-HLS part, as far as the frame rate allows."""

    segment: timedelta = timedelta(seconds=2)
    """A segment ends at the first keyframe after this time."""

    window: timedelta = timedelta(seconds=20)
    """How much of a stream a playlist lists."""

    grace: timedelta = timedelta(seconds=10)
    """How long a stream outlives its publisher, unless its configuration says otherwise."""

    viewer_idle: timedelta = timedelta(seconds=8)
    """A viewer that asks for nothing for this long has gone."""

    play_cache: timedelta = timedelta(seconds=15)
    """How long a viewer's PLAY_REWRITE answer serves its next requests."""

    max_streams: int = 200
    """Streams carried at once."""

    max_viewers: int = 5000
    """Viewer sessions at once."""

    max_connections: int = 20000
    """Viewers' connections at once."""

    max_connections_per_address: int = 500
    """Viewers' connections of one address at once; trusted proxies are exempt."""
