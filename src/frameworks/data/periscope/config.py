"""Settings of Periscope."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "PERISCOPE_"

    batch_records: int = 4000
    """Log records that are stored together, at most."""
    batch_bytes: int = 32 * 1024**2
    """Bytes of records that are stored together, at most; below what the analytics engine takes in one request."""
    batch_wait: timedelta = timedelta(seconds=1)
    """How long to wait for the first record of a batch."""
    batch_linger: timedelta = timedelta(milliseconds=250)
    """How long to gather further records after the first: an insert costs as much for one event as for a thousand.
    While a batch is being stored the next one goes on growing, whatever this says."""
    mirrored_regions: tuple[str, ...] = ()
    """Regions whose `<region>.analytics_events` is mirrored into this log, to be read as well."""
    roll_up_every: timedelta = timedelta(seconds=5)
    """How often buckets that changed are recomputed."""
    widen_every: timedelta = timedelta(minutes=1)
    """How often hours and days whose buckets changed are recomputed."""
    silent_after: timedelta = timedelta(hours=4)
    """A session that nobody ended is closed at its last sign of life once that is this long ago."""
    close_every: timedelta = timedelta(minutes=5)
    """How often silent sessions are looked for."""
    sessions_kept: timedelta = timedelta(days=15)
    """How long a closed viewer session is remembered, so that a late or repeated event can not open it again."""
    usage_every: timedelta = timedelta(seconds=10)
    """How often usage windows that are complete, or have changed since, are published."""
    usage_settlement: timedelta = timedelta(minutes=2)
    """How long after its end a usage window waits for events that are on their way."""
    usage_patience: timedelta = timedelta(minutes=10)
    """How long a usage window waits for a node that was heard of and fell silent; later events are corrections."""
    usage_retention: timedelta = timedelta(days=365)
    """How long the topic `usage_windows` is kept."""
