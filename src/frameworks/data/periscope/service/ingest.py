"""Records become facts, marks and state, in an order that survives a crash after any step.

Facts first, then the marks of the buckets they change, then state, then dead letters; the offsets are committed by the
caller after all of them. Every step can be repeated: facts are found once by event id, a mark twice is one mark, state
only moves forward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from frameworks.data.periscope.domain import (
    BadFrames,
    Decoded,
    Mark,
    SessionChange,
    StreamChange,
    marks,
    newest,
)


class Facts(Protocol):
    """The analytics engine."""

    async def insert(self, frames: Sequence[bytes]) -> None:
        """Store framed events; raises BadFrames when it can not read them, Unavailable when it is away."""

    async def probe(self) -> None:
        """Raises Unavailable unless the engine would store a good event now."""


class State(Protocol):
    """Marks and current state; each call is one transaction."""

    async def mark(self, dirty: Sequence[Mark]) -> None:
        """Remember that these buckets must be recomputed."""

    async def reduce(self, streams: Sequence[StreamChange], sessions: Sequence[SessionChange]) -> None:
        """Move state forward; older and repeated changes do nothing."""


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
    """What became of a batch."""

    stored: int
    buried: int


class Ingest:
    """The one writer of history."""

    def __init__(self, facts: Facts, state: State, dead_letters: DeadLetters) -> None:
        self._facts = facts
        self._state = state
        self._dead_letters = dead_letters

    async def take(self, batch: Sequence[Arrived]) -> Taken:
        """Store a batch; when it returns, the offsets may be committed. Raises Unavailable to be called again."""
        letters = [
            Letter(frame, arrived.headers, arrived.origin, "no event")
            for arrived in batch
            for frame in arrived.decoded.bad
        ]
        frames = [frame for arrived in batch for frame in arrived.decoded.frames]
        refused = await self._insert(frames)
        letters += _letters(batch, refused)
        await self._state.mark(sorted_marks(batch))
        await self._state.reduce(
            newest(chain.from_iterable(arrived.decoded.streams for arrived in batch)),
            [change for arrived in batch for change in arrived.decoded.sessions],
        )
        if letters:
            await self._dead_letters.bury(letters)
        return Taken(stored=len(frames) - len(refused), buried=len(letters))

    async def _insert(self, frames: Sequence[bytes]) -> set[bytes]:
        """Insert all but the frames the engine can not read, which are returned."""
        if not frames:
            return set()
        try:
            await self._facts.insert(frames)
        except BadFrames:
            # A broken schema refuses every frame; only an engine that takes good ones may call a frame bad.
            await self._facts.probe()
            return await self._bisect(frames)
        return set()

    async def _bisect(self, frames: Sequence[bytes]) -> set[bytes]:
        if len(frames) == 1:
            return set(frames)
        middle = len(frames) // 2
        refused: set[bytes] = set()
        for half in (frames[:middle], frames[middle:]):
            try:
                await self._facts.insert(half)
            except BadFrames:
                refused |= await self._bisect(half)
        return refused


def sorted_marks(batch: Sequence[Arrived]) -> list[Mark]:
    """Marks of a batch in one order for every writer, so that two of them can not deadlock."""
    found = marks(chain.from_iterable(arrived.decoded.facts for arrived in batch))
    return sorted(found, key=lambda mark: (mark.tenant, mark.kind.value, mark.subject, mark.bucket))


def _letters(batch: Sequence[Arrived], refused: set[bytes]) -> list[Letter]:
    return [
        Letter(frame, arrived.headers, arrived.origin, "refused by the analytics engine")
        for arrived in batch
        for frame in arrived.decoded.frames
        if refused and frame in refused
    ]
