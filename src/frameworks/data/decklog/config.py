"""Settings of Decklog."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "DECKLOG_"

    region: str = "local"
    """Where this Decklog runs; stamped on events whose sender is certified for no region."""
    retention: timedelta = timedelta(days=7)
    """How long the log keeps events."""
    service_retention: timedelta = timedelta(days=180)
    """How long the log keeps the audit trail."""
    dead_letter_retention: timedelta = timedelta(days=90)
    """How long the log keeps what nobody could read."""
    in_flight: int = 64
    """Batches being made durable at a time, of all senders; the others wait unread."""
    streams: int = 32
    """Open streams of one sender."""
    attributions: int = 20_000
    """Verified attributions remembered; each is asked for again when it was forgotten."""
