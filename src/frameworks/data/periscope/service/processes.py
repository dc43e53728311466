"""What the processes of the platform say of themselves, whoever they said it to."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from frameworks.data.periscope.domain import SECOND
from frameworks.data.periscope.service.patience import Patience
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Unavailable

FORGOTTEN = 600 * SECOND
SILENT = 15 * SECOND
MOST = 1000
"""Processes remembered."""
WITHIN = 1.0
"""Seconds that PostgreSQL may take before a report is kept in memory only."""


class Looped(msgspec.Struct, frozen=True):
    """A loop that does not do well."""

    module: str = ""
    loop: str = ""
    state: str = ""
    restarts: int = 0
    last_error: str = ""


class Reader(msgspec.Struct, frozen=True):
    """How far a process has read a topic."""

    topic: str = ""
    group: str = ""
    lag: int = 0
    running: bool = False
    last_error: str = ""
    reason: str = ""
    worst_lag: int = 0
    worst_partition: int = 0
    per_second: float = 0.0
    unclaimed: int = 0


class Depth(msgspec.Struct, frozen=True):
    """How much of an edge's log waits for Decklog."""

    node: str = ""
    bytes: int = 0
    limit: int = 0


class Report(msgspec.Struct, frozen=True):
    """What one process says."""

    id: str = ""
    process: str = ""
    modules: tuple[str, ...] = ()
    status: str = ""
    loops: tuple[Looped, ...] = ()
    readers: tuple[Reader, ...] = ()
    rates: dict[str, float] = {}
    levels: dict[str, float] = {}
    nodes: tuple[Depth, ...] = ()
    reported_at: int = 0


class Shared(Protocol):
    """Where every process of Periscope finds all reports."""

    async def keep(self, report: Report) -> None:
        """Replace what this process said before."""

    async def all(self, since: int) -> Sequence[Report]:
        """The reports since then (microseconds)."""


class Processes:
    """Remembers reports here, and where others of our kind find them; either is enough for a while."""

    def __init__(self, shared: Shared, clock: Clock) -> None:
        self._shared = shared
        self._clock = clock
        self._patience = Patience()
        self._heard: dict[str, Report] = {}

    async def report(self, report: Report) -> None:
        """Take a report; its time is ours."""
        told = msgspec.structs.replace(report, reported_at=micros(self._clock.now()))
        self._heard.pop(told.id, None)
        self._heard[told.id] = told
        while len(self._heard) > MOST:
            del self._heard[next(iter(self._heard))]
        try:
            await self._patience.ask(told.id, lambda: self._shared.keep(told), WITHIN)
        except (Unavailable, TimeoutError):
            return

    async def all(self) -> list[Report]:
        """The latest report of each process heard of in the last ten minutes, by name."""
        since = micros(self._clock.now()) - FORGOTTEN
        try:
            told = await self._patience.ask("", lambda: self._shared.all(since), WITHIN)
            found = {report.id: report for report in told}
        except (Unavailable, TimeoutError):
            found = {}
        for report in self._heard.values():
            known = found.get(report.id)
            if report.reported_at > since and (known is None or known.reported_at < report.reported_at):
                found[report.id] = report
        return sorted(found.values(), key=lambda report: (report.process, report.id))

    def is_silent(self, report: Report) -> bool:
        """Whether it should have reported again by now."""
        return micros(self._clock.now()) - report.reported_at > SILENT
