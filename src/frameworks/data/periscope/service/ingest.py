"""Records become facts, marks and state, in an order that survives a crash after any step.

Facts first, then the marks of the buckets they change, then state, then dead letters; the offsets are committed by the
caller after all of them. Every step can be repeated: facts are found once by event id, a mark twice is one mark, state
only moves forward.
"""

from asyncio import Semaphore, ensure_future, gather
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from frameworks.contracts.framing import frame, join
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.periscope.domain import (
    BadFrames,
    Decoded,
    Fact,
    Mark,
    SessionChange,
    StreamChange,
    UsageKey,
    marks,
    newest,
    usage_keys,
)
from frameworks.data.periscope.service.closing import SilentClaim, SilentSession

DOORS_AT_ONCE = 2
"""Types inserted at a time."""


class Facts(Protocol):
    """The analytics engine."""

    async def insert(self, kind: str, frames: Sequence[bytes]) -> None:
        """Store framed events of one type; raises BadFrames when it can not read them, Unavailable when it is away."""

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
class Arrived:
    """A decoded record with its headers and its place in the log (`topic/partition/offset`)."""

    decoded: Decoded
    headers: Mapping[str, str]
    origin: str


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

    async def take(self, batch: Sequence[Arrived]) -> Taken:
        """Store a batch; when it returns, the offsets may be committed. Raises Unavailable to be called again."""
        parts = _by_type(batch)
        refused = {kind: frames for kind, frames in await self._store(parts) if frames}
        letters = [*_unread(batch), *_refused(batch, refused)]
        facts = [fact for arrived in batch for fact in arrived.decoded.facts]
        await self._mark(batch, facts)
        if letters:
            await self._dead_letters.bury(letters)
        stored = {kind: len(events) - len(refused.get(kind, ())) for kind, events in parts.items()}
        unclaimed = sum(count for kind, count in stored.items() if kind not in EVENT_TYPES)
        return Taken(stored=sum(stored.values()), buried=len(letters), unclaimed=unclaimed)

    async def _store(self, parts: Mapping[str, Sequence[bytes]]) -> list[tuple[str, set[bytes]]]:
        """Every type through its own door; by type, the frames that were refused."""
        tasks = [ensure_future(self._insert(kind, events)) for kind, events in parts.items()]
        try:
            return list(zip(parts, await gather(*tasks), strict=True))
        finally:
            for task in tasks:
                task.cancel()

    async def _mark(self, batch: Sequence[Arrived], facts: Sequence[Fact]) -> None:
        touched = {one for arrived in batch for one in arrived.decoded.touched}
        await self._marks.mark(marks(chain(facts, *(one.facts() for one in touched))))
        if used := sorted(usage_keys(facts), key=lambda key: (key.tenant, key.cluster, key.at)):
            await self._state.mark_usage(used)
        await self._state.reduce(
            newest(chain.from_iterable(arrived.decoded.streams for arrived in batch)),
            [change for arrived in batch for change in arrived.decoded.sessions],
        )

    async def _insert(self, kind: str, events: Sequence[bytes]) -> set[bytes]:
        """Insert all but the frames the engine can not read, which are returned."""
        async with self._doors:
            try:
                await self._facts.insert(kind, [join(events)])
            except BadFrames:
                # A broken schema refuses every frame; only an engine that takes good ones may call a frame bad.
                await self._facts.probe(kind)
                return await self._bisect(kind, [frame(event) for event in events])
        return set()

    async def _bisect(self, kind: str, frames: Sequence[bytes]) -> set[bytes]:
        if len(frames) == 1:
            return set(frames)
        middle = len(frames) // 2
        refused: set[bytes] = set()
        for half in (frames[:middle], frames[middle:]):
            try:
                await self._facts.insert(kind, half)
            except BadFrames:
                refused |= await self._bisect(kind, half)
        return refused


def _by_type(batch: Sequence[Arrived]) -> dict[str, list[bytes]]:
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for arrived in batch:
        for kind, events in arrived.decoded.parts.items():
            found[kind] += events
    return found


def _unread(batch: Sequence[Arrived]) -> list[Letter]:
    return [
        Letter(bad, arrived.headers, arrived.origin, "no event")
        for arrived in batch
        for bad in arrived.decoded.bad
    ]


def _refused(batch: Sequence[Arrived], refused: Mapping[str, set[bytes]]) -> list[Letter]:
    """The refused frames, each with the record it came in."""
    return [
        Letter(framed, arrived.headers, arrived.origin, "refused by the analytics engine")
        for kind, frames in refused.items()
        for arrived in batch
        for framed in map(frame, arrived.decoded.parts.get(kind, ()))
        if framed in frames
    ]
