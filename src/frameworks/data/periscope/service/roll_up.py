"""Recomputing what changed, buckets, hours, days and sessions: one path for fresh, late and replayed events."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from frameworks.data.periscope.domain import FROM_FACTS, HOURS_AND_DAYS, Kind, Mark, coarser

AT_ONCE = 400
"""Buckets recomputed by one statement."""
READ_AT_ONCE = 2000
"""Marks read together."""
ROUNDS = 50
"""Rounds of one turn, so that a turn ends."""
GRAINS = (FROM_FACTS, frozenset({k for k in HOURS_AND_DAYS if k.value.endswith("1h")}), HOURS_AND_DAYS)
"""Finer kinds first, since they make coarser ones dirty."""


@dataclass(frozen=True, slots=True)
class Dirty:
    """Marks, and when they were read by the engine's clock."""

    marks: Sequence[Mark]
    read_at: int


class Marks(Protocol):
    """Where marks wait."""

    async def mark(self, dirty: Collection[Mark]) -> None:
        """Remember that these must be recomputed."""

    async def oldest(self, kinds: Collection[Kind], limit: int) -> Dirty:
        """What has waited longest, and when that was read."""

    async def done(self, marks: Sequence[Mark], read_at: int) -> None:
        """These were recomputed; they wait no longer unless they were marked at `read_at` or later."""


class Turns(Protocol):
    """Keeps processes from doing the same work at once; it would be wasted, not wrong."""

    def turn(self) -> AbstractAsyncContextManager[bool]:
        """Whether this process may work until the end of the context."""


class Alone:
    """Every turn is ours."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Always."""
        yield True


class RollUps(Protocol):
    """The tables that are computed."""

    async def recompute(self, kind: Kind, dirty: Sequence[Mark]) -> None:
        """Write a new version of these from what there is now."""


class RollUp:
    """Brings what is computed up to date with facts."""

    def __init__(self, marks: Marks, roll_ups: RollUps, turns: Turns) -> None:
        self._marks = marks
        self._roll_ups = roll_ups
        self._turns = turns

    async def run(self, grains: Sequence[frozenset[Kind]] = GRAINS) -> int:
        """Recompute what waits; how many were done."""
        done = 0
        async with self._turns.turn() as mine:
            for kinds in grains if mine else ():
                for _ in range(ROUNDS):
                    count = await self._round(kinds)
                    done += count
                    if count < READ_AT_ONCE:
                        break
        return done

    async def _round(self, kinds: Collection[Kind]) -> int:
        """Read marks, then facts, then clear what was read: a fact that comes between leaves its mark behind."""
        dirty = await self._marks.oldest(kinds, READ_AT_ONCE)
        by_kind: dict[Kind, list[Mark]] = {}
        for mark in dirty.marks:
            by_kind.setdefault(mark.kind, []).append(mark)
        for kind, marks in by_kind.items():
            for start in range(0, len(marks), AT_ONCE):
                await self._roll_ups.recompute(kind, marks[start : start + AT_ONCE])
        await self._marks.mark(coarser(dirty.marks))
        await self._marks.done(dirty.marks, dirty.read_at)
        return len(dirty.marks)
