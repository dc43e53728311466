"""Records become facts, marks and state, in an order that survives a crash after any step.

Facts first; then, at once, the marks of what they change and state; then dead letters; the offsets are committed by
the caller after all of them. Every step can be repeated: facts are found once by event id, a mark twice is one mark,
state only moves forward.
"""

from asyncio import Semaphore, ensure_future, gather
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, TypeVar

from frameworks.contracts.framing import split
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.periscope.domain import (
    BadFrames,
    Decoded,
    Mark,
    Part,
    SessionChange,
    StreamChange,
    UsageKey,
    facts_of,
    marks,
    newest,
    usage_keys,
)
from frameworks.data.periscope.service.closing import SilentClaim, SilentSession

T = TypeVar("T")

Kinds = tuple[str, ...]
"""Types that share a door."""

DOORS_AT_ONCE = 2
"""Doors inserted into at a time."""


class Facts(Protocol):
    """The analytics engine."""

    def door(self, kind: str) -> str:
        """Where events of a type go in; types with the same door are inserted together, as any one of them."""

    async def insert(self, kind: str, frames: Sequence[bytes]) -> None:
        """Store framed events of one door; raises BadFrames when it can not read them, Unavailable when it is away."""

    async def probe(self, kind: str) -> None:
        """Raises Unavailable unless the engine would store a good event of this type now."""


class Marks(Protocol):
    """Where what must be recomputed waits."""

    async def mark(self, dirty: Collection[Mark]) -> None:
        """Remember that these must be recomputed; their facts are stored."""


class State(Protocol):
    """Current state and usage; each call is one transaction."""

    async def mark_usage(self, used: Sequence[UsageKey]) -> None:
        """Remember that these usage windows must be measured, again if they were before."""

    async def reduce(self, streams: Sequence[StreamChange], sessions: Sequence[SessionChange]) -> None:
        """Move state forward; older and repeated changes do nothing."""


class NoState:
    """Where no database is: history only, no current state and no usage."""

    async def mark_usage(self, used: Sequence[UsageKey]) -> None:
        """Nothing is billed."""

    async def reduce(self, streams: Sequence[StreamChange], sessions: Sequence[SessionChange]) -> None:
        """Nothing is asked for what is now."""

    async def presume(self, sessions: Sequence[SilentSession], claims: Sequence[SilentClaim]) -> None:
        """Neither."""


class DeadLetters(Protocol):
    """Where goes what no one can read."""

    async def bury(self, letters: Sequence["Letter"]) -> None:
        """Keep them durably."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A frame that could not be stored, with where it came from."""

    frame: bytes
    headers: Mapping[str, str]
    origin: str
    reason: str


@dataclass(frozen=True, slots=True)
class Source:
    """A record's headers and its place in the log (`topic/partition/offset`)."""

    headers: Mapping[str, str]
    origin: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """Records of one store, decoded together, and where each came from."""

    decoded: Decoded
    sources: Sequence[Source]
    store: str = ""

    def letter(self, record: int, framed: bytes, reason: str) -> Letter:
        """A frame of one of these records that could not be stored."""
        source = self.sources[record]
        return Letter(framed, source.headers, source.origin, reason)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch; `unclaimed` are stored, but only their envelopes."""

    stored: int
    buried: int
    unclaimed: int = 0


class Ingest:
    """The one writer of history."""

    def __init__(self, facts: Facts, marks: Marks, state: State, dead_letters: DeadLetters) -> None:
        self._facts = facts
        self._marks = marks
        self._state = state
        self._dead_letters = dead_letters
        self._doors = Semaphore(DOORS_AT_ONCE)

    def store_of(self, headers: Mapping[str, str]) -> str:
        """Where a record goes: there is one store."""
        return ""

    async def take(self, batch: Sequence[Arrived]) -> Taken:
        """Store a batch; when it returns, the offsets may be committed. Raises Unavailable to be called again."""
        refused = await self._store(batch)
        letters = [*_unread(batch), *chain.from_iterable(refused.values())]
        await self._mark(batch)
        if letters:
            await self._dead_letters.bury(letters)
        stored = {kinds: _count(kinds, batch) - len(found) for kinds, found in refused.items()}
        unclaimed = sum(count for kinds, count in stored.items() if EVENT_TYPES.keys().isdisjoint(kinds))
        return Taken(stored=sum(stored.values()), buried=len(letters), unclaimed=unclaimed)

    async def _store(self, batch: Sequence[Arrived]) -> Mapping[Kinds, Sequence[Letter]]:
        """Every type through its door; by the types of a door, what was refused."""
        doors: dict[str, list[str]] = {}
        for kind in sorted({kind for arrived in batch for kind in arrived.decoded.parts}):
            doors.setdefault(self._facts.door(kind), []).append(kind)
        groups = [tuple(kinds) for kinds in doors.values()]
        return dict(zip(groups, await _at_once(self._insert(kinds, batch) for kinds in groups), strict=True))

    async def _mark(self, batch: Sequence[Arrived]) -> None:
        """Three steps that read nothing of each other's and can be repeated: none waits for another."""
        facts = facts_of({span for arrived in batch for span in arrived.decoded.spans})
        steps = [self._marks.mark(marks(facts))]
        if used := sorted(usage_keys(facts), key=lambda key: (key.tenant, key.cluster, key.at)):
            steps.append(self._state.mark_usage(used))
        streams = newest(chain.from_iterable(arrived.decoded.streams for arrived in batch))
        sessions = [change for arrived in batch for change in arrived.decoded.sessions]
        await _at_once([*steps, self._state.reduce(streams, sessions)])

    async def _insert(self, kinds: Kinds, batch: Sequence[Arrived]) -> Sequence[Letter]:
        """Insert all but the frames the engine can not read, which are returned."""
        async with self._doors:
            frames = b"".join(part.frames for _, part in _parts(kinds, batch))
            try:
                await self._facts.insert(kinds[0], [frames])
            except BadFrames:
                # A broken schema refuses every frame; only an engine that takes good ones may call a frame bad.
                await self._facts.probe(kinds[0])
                return await self._bisect(kinds[0], _letters(kinds, batch))
        return ()

    async def _bisect(self, kind: str, letters: Sequence[Letter]) -> Sequence[Letter]:
        """Insert these one half after the other; those that are refused alone."""
        if len(letters) == 1:
            return letters
        middle = len(letters) // 2
        refused: list[Letter] = []
        for half in (letters[:middle], letters[middle:]):
            try:
                await self._facts.insert(kind, [letter.frame for letter in half])
            except BadFrames:
                refused += await self._bisect(kind, half)
        return refused


async def _at_once(steps: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What they return; when one fails the others end, and have ended when it is told."""
    tasks = [ensure_future(step) for step in steps]
    try:
        return await gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await gather(*tasks, return_exceptions=True)


def _parts(kinds: Kinds, batch: Sequence[Arrived]) -> list[tuple[Arrived, Part]]:
    """The events of these types."""
    every = ((arrived, arrived.decoded.parts.get(kind)) for arrived in batch for kind in kinds)
    return [(arrived, part) for arrived, part in every if part is not None]


def _count(kinds: Kinds, batch: Sequence[Arrived]) -> int:
    return sum(len(part.records) for _, part in _parts(kinds, batch))


def _unread(batch: Sequence[Arrived]) -> list[Letter]:
    return [arrived.letter(*bad, "no event") for arrived in batch for bad in arrived.decoded.bad]


def _letters(kinds: Kinds, batch: Sequence[Arrived]) -> list[Letter]:
    """Events of one door as letters, in case they are refused."""
    return [
        arrived.letter(record, framed, "refused by the analytics engine")
        for arrived, part in _parts(kinds, batch)
        for framed, record in zip(split(bytes(part.frames)), part.records, strict=True)
    ]
