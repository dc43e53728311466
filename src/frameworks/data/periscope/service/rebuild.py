"""History computed again from facts, beside what stands, and proven equal to it or put in its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from frameworks.data.periscope.domain import BUCKET, COARSER, DAY, FROM_FACTS, Kind
from frameworks.data.periscope.service.closing import Closer

FACTS_LIVE: Mapping[str, int] = {
    "health": 29 * DAY,
    "nodes": 29 * DAY,
    "lifecycle": 89 * DAY,
    "viewers": 89 * DAY,
    "sessions": 22 * DAY,
    "claims": 29 * DAY,
}
"""How far back the facts of each kind are complete; what is older can only be kept."""

AT_ONCE = 200_000
"""Facts of days that are computed together; a day is never split."""

BY_THE_DAY = frozenset({Kind.SESSIONS})
"""Computed from facts around the part too: several days at once would see more than one day does."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what facts say; an empty side means that it is not there."""

    key: str
    standing: str
    rebuilt: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A table: rows that were compared, rows rewritten meanwhile (by the running platform), and what differs."""

    table: str
    rows: int
    rewritten: int
    differing: int
    examples: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Part:
    """Buckets of one kind from `first` until `last` (microseconds, whole days), of one tenant or of all."""

    kind: Kind
    tenant: UUID | None
    first: int
    last: int


class Shadows(Protocol):
    """Tables beside the standing ones."""

    async def open(self) -> int:
        """Make them, empty; the engine's clock."""

    async def days(self, whole: Part) -> Mapping[int, int]:
        """The days (start → facts) on which facts bear, whichever day they are of; for kinds made of facts."""

    async def compute(self, part: Part) -> None:
        """Compute a part from facts, or from the finer shadow."""

    async def compare(self, part: Part, began: int) -> Sequence[Compared]:
        """The tables of this kind in the part's range."""

    async def replace(self, part: Part, began: int) -> None:
        """Write what differs into the standing tables."""

    async def close(self) -> None:
        """Remove them."""


Progress = Callable[[str, int, int], None]


class Rebuild:
    """Computes again, compares, replaces."""

    def __init__(self, shadows: Shadows, closer: Closer, progress: Progress) -> None:
        self._shadows = shadows
        self._closer = closer
        self._progress = progress

    async def run(
        self, tenant: UUID | None, since: int | None, now: int, *, replace: bool
    ) -> Sequence[Compared]:
        """Every table, as far back as `since` and facts reach."""
        await self._closer.run()
        began = await self._shadows.open()
        try:
            wholes = [Part(kind, tenant, _since(kind, since, now), _until(now)) for kind in Kind]
            parts = await self._parts(wholes)
            for number, part in enumerate(parts, start=1):
                await self._shadows.compute(part)
                self._progress(part.kind.value, number, len(parts))
            await self._closer.run()
            found: list[Compared] = []
            for whole in wholes:
                compared = await self._shadows.compare(whole, began)
                found += compared
                if replace and any(one.differing for one in compared):
                    await self._shadows.replace(whole, began)
            return found
        finally:
            await self._shadows.close()

    async def _parts(self, wholes: Sequence[Part]) -> list[Part]:
        """What there is to compute: an hour or a day has something to say only where its buckets have."""
        days: dict[Kind, Mapping[int, int]] = {}
        for whole in wholes:
            if whole.kind in FROM_FACTS:
                days[whole.kind] = await self._shadows.days(whole)
        for finer, coarser in COARSER.items():
            days[coarser] = days[finer]
        return [part for whole in wholes for part in together(whole, days[whole.kind])]


def together(whole: Part, days: Mapping[int, int]) -> Iterator[Part]:
    """The days of `whole` that hold facts, several quiet ones in a part, empty ones only between them."""
    most = 0 if whole.kind in BY_THE_DAY else AT_ONCE
    first = last = held = 0
    for day in sorted(day for day in days if whole.first <= day < whole.last):
        if held and held + days[day] > most:
            yield Part(whole.kind, whole.tenant, first, last)
            held = 0
        first = first if held else day
        last, held = day + DAY, held + days[day]
    if held:
        yield Part(whole.kind, whole.tenant, first, last)


def _since(kind: Kind, since: int | None, now: int) -> int:
    """The first whole day that is wanted and whose facts are complete."""
    reach = now - FACTS_LIVE[kind.value.partition("_")[0]]
    return -(-max(reach, since or 0) // DAY) * DAY if since is None or since < reach else since // DAY * DAY


def _until(now: int) -> int:
    """The end of the day; clocks of nodes may be a little ahead."""
    return ((now + BUCKET) // DAY + 1) * DAY
