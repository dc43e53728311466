"""Settings of Periscope."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "PERISCOPE_"

    batch_records: int = 256
    """Log records that become one insert."""
    batch_wait: timedelta = timedelta(seconds=1)
    """How long to wait for the first record of a batch."""
    roll_up_every: timedelta = timedelta(seconds=5)
    """How often buckets that changed are recomputed."""
    sessions_kept: timedelta = timedelta(days=15)
    """How long a closed viewer session is remembered, so that a late or repeated event can not open it again."""
