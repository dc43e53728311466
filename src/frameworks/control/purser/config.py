"""Settings of Purser: the limits of the free plan."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "PURSER_"

    free_max_streams: int = 3
    """How many streams a tenant on the free plan may have."""
    free_max_live_streams: int = 3
    """How many of them may be live at the same time."""
    free_max_viewers: int = 200
    """How many viewers all its streams may have at the same time."""
    free_max_ingest_kbps: int = 20_000
    """The highest bitrate a publisher may send, in kbit/s."""
