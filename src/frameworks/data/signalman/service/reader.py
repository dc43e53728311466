"""A subscription that is read: the gRPC way to follow a tenant."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from frameworks.data.signalman.domain.changes import Change
from frameworks.data.signalman.service.ring import Cursor, Entry
from frameworks.data.signalman.service.watched import Snapshot, Watched
from frameworks.kit.errors import Fault, Unauthenticated

BATCH = 64


class Mark(Enum):
    """What a message means that is no change."""

    CHANGE = 0
    SNAPSHOT_STARTED = 1
    SNAPSHOT_FINISHED = 2
    RESUMED = 3
    POSITION = 4


@dataclass(frozen=True, slots=True)
class Opening:
    """How a subscription begins: where it was left, or with a snapshot."""

    cursor: Cursor
    snapshot: Snapshot | None
    position: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """One message: a change, a state of a snapshot, or a mark."""

    mark: Mark
    change: Change | None = None
    snapshot: bool = False
    position: str = ""
    reason: str = ""
    complete: bool = True


class Reader:
    """One open subscription; it reads at its own pace, and is given a snapshot when it was too slow."""

    def __init__(
        self,
        watched: Watched,
        opening: Opening,
        again: Callable[[], Awaitable[Opening]],
        expires: datetime | None,
    ) -> None:
        self.watched = watched
        self._opening = opening
        self._cursor = opening.cursor
        self._again = again
        self._expires = expires
        self._told = opening.position
        self._arrived = asyncio.Event()
        self._closed = False
        self._fault: Fault | None = None

    def offer(self, entry: Entry, number: int) -> None:
        """Change `number` has arrived."""
        if not self._cursor.passes(entry.change, number):
            self._arrived.set()

    def beat(self, now: datetime, vector: Sequence[int]) -> None:
        """Time passes: the log was read up to `vector`."""
        self._cursor.reached(vector)
        if self._expires is not None and self._expires <= now:
            self._fault = Unauthenticated("The credential has expired.")
        self._arrived.set()

    def close(self) -> None:
        """End the subscription after what is queued."""
        self._closed = True
        self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[Pushed]:
        for pushed in _told(self._opening):
            yield pushed
        while self._fault is None:
            self._arrived.clear()
            if self._cursor.is_lost:
                opening = await self._again()
                self._cursor, self._told = opening.cursor, opening.position
                for pushed in _told(opening):
                    yield pushed
                continue
            news = self._cursor.read(BATCH)
            for change, position in news:
                self._told = position
                yield Pushed(Mark.CHANGE, change, position=position)
            if news:
                continue
            if self._closed:
                return
            if self._is_behind():
                self._told = self.watched.position
                yield Pushed(Mark.POSITION, position=self._told)
                continue
            await self._arrived.wait()
        raise self._fault

    def _is_behind(self) -> bool:
        """Whether nothing it wants happened since the position it was last told."""
        return not self._cursor.is_ahead and self._cursor.is_done and self._told != self.watched.position


def _told(opening: Opening) -> Iterator[Pushed]:
    """The beginning of a subscription."""
    found = opening.snapshot
    if found is None:
        yield Pushed(Mark.RESUMED, position=opening.position)
        return
    yield Pushed(Mark.SNAPSHOT_STARTED, snapshot=True, reason=found.reason, complete=found.complete)
    for change in found.states:
        yield Pushed(Mark.CHANGE, change, snapshot=True)
    yield Pushed(Mark.SNAPSHOT_FINISHED, snapshot=True, position=found.position)
