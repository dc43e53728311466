"""Settings of Signalman."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "SIGNALMAN_"

    buffer: int = 256
    """Frames kept for a slow subscriber; the oldest are dropped, and it is told."""
    per_tenant: int = 200
    """Subscriptions a tenant may have at once."""
    remembered: int = 2000
    """Last states kept per watched tenant, for the snapshot."""
    linger: timedelta = timedelta(minutes=5)
    """How long a tenant's last states are kept after its last subscriber left."""
