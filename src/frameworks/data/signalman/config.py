"""Settings of Signalman."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "SIGNALMAN_"

    port: int = 18009
    """Port of the sockets: `/ws`, `/ws/streams`, `/ws/analytics`, `/ws/system`."""
    address: str = "127.0.0.1"
    """Address the sockets' port is bound to."""
    tls_certificate: Path | None = None
    """PEM certificate chain; with it the sockets are `wss`."""
    tls_key: Path | None = None
    """PEM key of `tls_certificate`."""
    origins: tuple[str, ...] = ()
    """Origins whose pages may open sockets, such as `https://example.org`; `*` for any. The own host always may."""
    sockets: int = 10_000
    """Sockets this process holds open."""
    sockets_per_tenant: int = 1000
    """Sockets a tenant may hold open."""
    sockets_unknown: int = 500
    """Sockets that may be open without having said who they are."""
    greeting: timedelta = timedelta(seconds=10)
    """How long a socket may take to say who it is."""
    ping_every: timedelta = timedelta(seconds=54)
    """How often a socket is pinged; one that said nothing since the last ping is cut."""
    write_within: timedelta = timedelta(seconds=10)
    """How long a socket may leave its buffer full before it is cut; its position tells where to go on."""
    socket_buffer: int = 256 * 1024
    """Bytes that may wait for one socket before it counts as slow."""
    per_tenant: int = 200
    """gRPC subscriptions a tenant may have at once."""
    changes: int = 2048
    """Last changes kept per watched tenant: whoever is further behind gets a snapshot."""
    changes_bytes: int = 4 * 1024 * 1024
    """Bytes of `changes`."""
    remembered: int = 2000
    """Last states kept per watched tenant, for the snapshot."""
    linger: timedelta = timedelta(minutes=5)
    """How long a tenant's last states are kept after its last subscriber left."""
    backlog: int = 10_000
    """Offsets of the log read again at the start, so that clients go on where they were."""
    backlog_bytes: int = 16 * 1024 * 1024
    """Bytes of the newest records kept, of all tenants."""
