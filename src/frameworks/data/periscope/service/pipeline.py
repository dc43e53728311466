"""What the pipeline does now, for operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from frameworks.data.periscope.service.history import Row


@dataclass(frozen=True, slots=True)
class Topic:
    """How far a reader of the log got."""

    topic: str
    group: str
    lag: int
    running: bool
    last_error: str


class Readers(Protocol):
    """Whoever reads the log, in whatever process."""

    async def topics(self) -> Sequence[Topic]:
        """The readers heard of lately."""


class Reading(Protocol):
    """The log."""

    async def dead_letters(self) -> int:
        """Records no one could read."""


class Rates(Protocol):
    """What arrived lately."""

    async def pipeline(self) -> tuple[Sequence[Row], int]:
        """Events a minute by type over all tenants, and how many no table claims."""


class Waiting(Protocol):
    """Marks."""

    async def waiting(self) -> tuple[int, int]:
        """How many marks wait, and since when the oldest (microseconds; 0 when none)."""


class Totals(Protocol):
    """Current state over all tenants."""

    async def totals(self) -> tuple[int, int]:
        """Live streams and open sessions."""


@dataclass(frozen=True, slots=True)
class Status:
    """The pipeline at one moment."""

    topics: Sequence[Topic]
    rates: Sequence[Row]
    unclaimed: int
    dead_letters: int
    dirty: int
    oldest_dirty_at: int
    live_streams: int
    open_sessions: int


class Pipeline:
    """Gathers the status."""

    def __init__(
        self, readers: Readers, reading: Reading, rates: Rates, waiting: Waiting, totals: Totals
    ) -> None:
        self._readers = readers
        self._reading = reading
        self._rates = rates
        self._waiting = waiting
        self._totals = totals

    async def status(self) -> Status:
        """The pipeline now."""
        rates, unclaimed = await self._rates.pipeline()
        dirty, oldest = await self._waiting.waiting()
        streams, sessions = await self._totals.totals()
        return Status(
            topics=await self._readers.topics(),
            rates=rates,
            unclaimed=unclaimed,
            dead_letters=await self._reading.dead_letters(),
            dirty=dirty,
            oldest_dirty_at=oldest,
            live_streams=streams,
            open_sessions=sessions,
        )
