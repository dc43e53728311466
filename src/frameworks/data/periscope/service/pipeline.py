"""What the pipeline does now, for operators; what does not answer is named, the rest is told all the same."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from frameworks.contracts.flow import Trouble
from frameworks.data.periscope.service.history import Row
from frameworks.data.periscope.service.patience import Patience
from frameworks.data.periscope.service.processes import Processes, Reader, Report
from frameworks.data.periscope.service.troubles import Seen, missed, troubles
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Unavailable

FRESH = 0.9
"""Seconds that a status serves everybody who asks."""
COUNTED = 5.0
"""Seconds that what has to be counted in the stores is kept."""
WITHIN = 3.0
"""Seconds an engine may take."""

T = TypeVar("T")


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
class Engine:
    """Whether an engine answers, and why not."""

    name: str
    up: bool = True
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted in the stores; what could not be is as it was last."""

    rates: Sequence[Row] = ()
    unclaimed: int = 0
    dead_letters: int = 0
    dirty: int = 0
    oldest_dirty_at: int = 0
    live_streams: int = 0
    open_sessions: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The pipeline at one moment."""

    at: int
    counts: Counts
    engines: Sequence[Engine]
    processes: Sequence[Report]
    topics: Sequence[Reader]
    troubles: Sequence[Trouble]


@dataclass(slots=True)
class _Kept:
    """An answer for a while, asked for once however many wait."""

    age: float
    at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Pipeline:
    """Gathers the status."""

    def __init__(
        self,
        processes: Processes,
        reading: Reading,
        rates: Rates,
        waiting: Waiting,
        totals: Totals,
        clock: Clock,
    ) -> None:
        self._processes = processes
        self._reading = reading
        self._rates = rates
        self._waiting = waiting
        self._totals = totals
        self._clock = clock
        self._counted, self._told = _Kept(COUNTED), _Kept(FRESH)
        self._counts = Counts()
        self._engines: dict[str, Engine] = {}
        self._patience = Patience()
        self._status: Status | None = None

    async def status(self) -> Status:
        """The pipeline now, at most a second old."""
        async with self._told.lock:
            if self._status is None or self._is_old(self._told):
                await self._count()
                self._status = await self._gathered()
                self._told.at = self._clock.monotonic()
            return self._status

    def facts(self) -> Mapping[str, object]:
        """What `/health` says: counted when somebody asked last, or by the loop that asks now and then."""
        found = self._counts
        return {
            "dead_letters": found.dead_letters,
            "dirty_buckets": found.dirty,
            "oldest_dirty_at": found.oldest_dirty_at,
            "unclaimed": found.unclaimed,
            "engines": {e.name: {"up": e.up, "reason": e.reason} for e in self._engines.values()},
            "problems": [
                {"code": t.code, "message": t.message, "remedy": t.remedy, "broken": t.broken}
                for t in (self._status.troubles if self._status else ())
            ],
        }

    def _is_old(self, kept: _Kept) -> bool:
        return self._clock.monotonic() - kept.at >= kept.age

    async def _gathered(self) -> Status:
        reports = await self._processes.all()
        fresh = [report for report in reports if not self._processes.is_silent(report)]
        topics = _topics(fresh)
        engines = sorted(self._engines.values(), key=lambda engine: engine.name)
        now = micros(self._clock.now())
        away = {engine.name: (engine.code, engine.reason) for engine in engines if not engine.up}
        silent = [report for report in reports if self._processes.is_silent(report)]
        seen = Seen(
            now, away, fresh, silent, topics,
            dead_letters=self._counts.dead_letters,
            unclaimed=self._counts.unclaimed,
            oldest_dirty_at=self._counts.oldest_dirty_at,
        )  # fmt: skip
        return Status(now, self._counts, engines, [*fresh, *missed(fresh, silent)], topics, troubles(seen))

    async def _count(self) -> None:
        """Ask every engine, together; each answers for itself."""
        if not self._is_old(self._counted):
            return
        before = self._counts
        stored, dirty, letters, totals = await asyncio.gather(
            self._asked("clickhouse", self._rates.pipeline, (before.rates, before.unclaimed)),
            self._asked("clickhouse", self._waiting.waiting, (before.dirty, before.oldest_dirty_at)),
            self._asked("eventlog", self._reading.dead_letters, before.dead_letters),
            self._asked("postgresql", self._totals.totals, (before.live_streams, before.open_sessions)),
        )
        answers = [
            ("clickhouse", stored[1] or dirty[1]),
            ("eventlog", letters[1]),
            ("postgresql", totals[1]),
        ]
        self._engines = {name: Engine(name, away is None, *(away or ())) for name, away in answers}
        self._counts = Counts(
            rates=stored[0][0],
            unclaimed=stored[0][1],
            dead_letters=letters[0],
            dirty=dirty[0][0],
            oldest_dirty_at=dirty[0][1],
            live_streams=totals[0][0],
            open_sessions=totals[0][1],
        )
        self._counted.at = self._clock.monotonic()

    async def _asked(
        self, engine: str, ask: Callable[[], Coroutine[Any, Any, T]], last: T
    ) -> tuple[T, tuple[str, str] | None]:
        """The answer, or the last one with code and reason why there is none now."""
        try:
            return await self._patience.ask(ask.__qualname__, ask, WITHIN), None
        except TimeoutError:
            return last, (f"{_FAMILIES[engine]}.slow", f"no answer within {WITHIN:g} s.")
        except Unavailable as away:
            return last, (away.code, away.message)


_FAMILIES = {"clickhouse": "analytics", "postgresql": "sql", "eventlog": "eventlog"}


def _topics(reports: Sequence[Report]) -> list[Reader]:
    """The readers of every process, those of one group put together."""
    found: dict[tuple[str, str], list[Reader]] = {}
    for report in reports:
        for reader in report.readers:
            found.setdefault((reader.topic, reader.group), []).append(reader)
    return [_together(found[key]) for key in sorted(found)]


def _together(readers: Sequence[Reader]) -> Reader:
    worst = max(readers, key=lambda reader: reader.worst_lag)
    stopped = next((reader for reader in readers if reader.last_error), readers[0])
    return Reader(
        topic=worst.topic,
        group=worst.group,
        lag=sum(reader.lag for reader in readers),
        running=not stopped.last_error,
        last_error=stopped.last_error,
        reason=stopped.reason,
        worst_lag=worst.worst_lag,
        worst_partition=worst.worst_partition,
        per_second=sum(reader.per_second for reader in readers),
        unclaimed=sum(reader.unclaimed for reader in readers),
    )
