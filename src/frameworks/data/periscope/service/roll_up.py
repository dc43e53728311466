"""Recomputing the buckets that changed: the same path for fresh, late and replayed events."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from frameworks.data.periscope.domain import Kind, Mark

AT_ONCE = 400
"""Buckets recomputed by one statement."""
ROUNDS = 50
"""Statements of one turn, so that a turn ends."""


@dataclass(frozen=True, slots=True)
class Dirty:
    """A mark as it was read; `generation` tells it from a later mark of the same bucket."""

    mark: Mark
    generation: int


class Turn(Protocol):
    """Marks, held by the one process whose turn it is."""

    async def oldest(self, kind: Kind, limit: int) -> Sequence[Dirty]:
        """The marks that have waited longest."""

    async def clear(self, done: Sequence[Dirty]) -> None:
        """Forget these marks, unless they were made again meanwhile."""


class Marks(Protocol):
    """Where marks wait."""

    def turn(self) -> AbstractAsyncContextManager[Turn | None]:
        """A turn of this process, or None while another process has it; nothing is cleared unless it ends well."""


class Buckets(Protocol):
    """The roll-ups."""

    async def recompute(self, kind: Kind, dirty: Sequence[Mark]) -> None:
        """Write a new version of these buckets from the facts there are now."""


class RollUp:
    """Brings buckets up to date with facts."""

    def __init__(self, marks: Marks, buckets: Buckets) -> None:
        self._marks = marks
        self._buckets = buckets

    async def run(self) -> int:
        """Recompute what waits; the number of buckets done."""
        done = 0
        for kind in Kind:
            for _ in range(ROUNDS):
                count = await self._round(kind)
                done += count
                if count < AT_ONCE:
                    break
        return done

    async def _round(self, kind: Kind) -> int:
        """Read marks, then facts, then clear what was read: a fact that comes between leaves its mark behind."""
        async with self._marks.turn() as turn:
            dirty = await turn.oldest(kind, AT_ONCE) if turn is not None else []
            if turn is None or not dirty:
                return 0
            await self._buckets.recompute(kind, [entry.mark for entry in dirty])
            await turn.clear(dirty)
        return len(dirty)
