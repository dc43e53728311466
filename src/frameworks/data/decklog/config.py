"""Settings of Decklog."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "DECKLOG_"

    region: str = "local"
    """Where this Decklog runs; stamped on every record as `source_region` when the event names no region."""
    retention: timedelta = timedelta(days=7)
    """How long the log keeps events."""
    dead_letter_retention: timedelta = timedelta(days=90)
    """How long the log keeps what no consumer could read."""
    attributions: int = 20_000
    """Verified attributions remembered; each is asked for again when it was forgotten."""
