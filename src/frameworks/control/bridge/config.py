"""Settings of Bridge."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar = "BRIDGE_"

    port: int = 18000
    """The HTTP port of /graphql, /graphql/ws and /auth."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses and networks of proxies whose X-Forwarded headers are believed; `unix` for unix sockets."""
    tenant_per_minute: int = 1200
    """Operations a tenant may run each minute."""
    tenant_burst: int = 200
    """Operations a tenant may run at once after a pause."""
    public_per_minute: int = 60
    """Operations a client address may run each minute without a credential."""
    public_burst: int = 30
    """Operations a client address may run at once without a credential."""
    sockets_per_caller: int = 50
    """Subscription sockets one tenant, or one address without a credential, may hold open."""
    secure_cookies: bool = False
    """Send session cookies over TLS only, even when a request seems to have come without."""
    edge_domain: str = "localhost"
    """The host name publishers and viewers are told when their cluster names none of its own."""
    rtmp_port: int = 1935
    """The RTMP port publishers are told."""
    foghorn_address: str = "127.0.0.1:18008"
    """Where a new edge node reaches Foghorn."""
    telemetry_per_minute: int = 120
    """Reports of players a client address may send each minute."""
    requests_told_every: timedelta = timedelta(minutes=1)
    """How often the number of API requests is written to history."""
