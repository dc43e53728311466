"""What one socket follows: how it comes to share a lane, and what happens while it can not keep up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol

from frameworks.data.signalman.api.messages import change_frame, message, state_frame
from frameworks.data.signalman.domain.changes import Change, Wish
from frameworks.data.signalman.service.hub import Hub
from frameworks.data.signalman.service.lanes import Lane
from frameworks.data.signalman.service.reader import Opening
from frameworks.data.signalman.service.ring import Cursor, Entry
from frameworks.data.signalman.service.watched import Watched

AT_ONCE = 64
"""Messages written before looking whether the socket still takes any."""

Seed = Callable[[], Awaitable[Iterable[Change]]]


class Outlet(Protocol):
    """The socket, as far as it is written to."""

    def send(self, frames: bytes) -> None:
        """Write whole frames."""

    def begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this in the background, unless the socket ends."""


class Feed:
    """Either in a lane, where every byte is shared, or reading the ring at the socket's own pace."""

    __slots__ = (
        "_cursor", "_hub", "_lane", "_outlet", "_paused", "_restarting", "_script", "_seed", "_settled", "_told",
        "_watched", "channels",
    )  # fmt: skip

    def __init__(self, hub: Hub, watched: Watched, outlet: Outlet, seed: Seed) -> None:
        self.channels = frozenset[str]()
        self._hub, self._watched, self._outlet, self._seed = hub, watched, outlet, seed
        self._lane: Lane | None = None
        self._cursor: Cursor | None = None
        self._script: Iterator[bytes] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._paused = self._restarting = False
        self._told = ""

    async def subscribe(self, channels: frozenset[str], position: str) -> None:
        """Follow more channels, from `position` or with a snapshot."""
        added = channels - self.channels
        if not added:
            self._outlet.send(confirmed("subscription_confirmed", self.channels))
            return
        while True:
            await self._until_settled()
            opening = await self._hub.enter(self._watched, Wish(added), self._seed, position)
            if self._lane is not None:
                self._lane.flush()
            if self._cursor is None:
                break
        self._leave_lane()
        if self.channels:
            opening.cursor.widen(Wish(self.channels | added))
        self.channels |= added
        self._begin(opening, added, [confirmed("subscription_confirmed", self.channels)])

    def unsubscribe(self, channels: frozenset[str]) -> None:
        """Follow fewer channels."""
        self.channels -= channels
        at = self._leave_lane()
        self._outlet.send(confirmed("unsubscription_confirmed", self.channels))
        if self._cursor is not None:
            self._cursor.narrow(self.channels)
        elif at is not None:
            self._follow(Cursor(self._watched.ring, Wish(self.channels), at))
        self._pump()

    def write(self, frames: bytes) -> None:
        """The lane has news."""
        self._outlet.send(frames)

    def void(self) -> None:
        """What was followed is void: begin again."""
        self._leave_lane()
        self._follow(Cursor(self._watched.ring, Wish(self.channels), -1))
        self._pump()

    def offer(self, entry: Entry, number: int) -> None:
        """Change `number` has arrived while this is not in a lane."""
        if self._cursor is None or self._cursor.passes(entry.change, number):
            return
        if not self._paused:
            asyncio.get_running_loop().call_soon(self._pump)

    def beat(self, _: datetime, vector: Sequence[int]) -> None:
        """The log was read up to `vector`."""
        if self._cursor is not None:
            self._cursor.reached(vector)
        self._pump()

    def pause(self) -> None:
        """The socket's buffer is full: read on where the lane was left, once it is not."""
        self._paused = True
        at = self._leave_lane()
        if at is not None:
            self._follow(Cursor(self._watched.ring, Wish(self.channels), at))

    def resume(self) -> None:
        """The socket takes more."""
        self._paused = False
        self._pump()

    def tell_position(self) -> None:
        """Say how far this is if nothing has said so lately."""
        if self._lane is None or self._told == self._watched.position:
            return
        self._lane.flush()
        if self._lane is not None:
            self._told = self._watched.position
            self._outlet.send(message("position", position=self._told))

    def close(self) -> None:
        """Follow nothing any more."""
        self._leave_lane()
        self._unfollow()
        self._script = None
        self.channels = frozenset()
        self._settle()

    def _begin(self, opening: Opening, channels: frozenset[str], first: list[bytes]) -> None:
        self._script = self._told_first(opening, channels, first)
        self._follow(opening.cursor)
        self._pump()

    def _told_first(self, opening: Opening, channels: frozenset[str], first: list[bytes]) -> Iterator[bytes]:
        """The frames that come before any change."""
        yield from first
        found, names = opening.snapshot, sorted(channels)
        if found is None:
            yield message("resumed", channels=names, position=opening.position)
            return
        complete = found.complete
        yield message("snapshot_started", channels=names, reason=found.reason, complete=complete)
        for change in found.states:
            yield state_frame(self._watched.tenant, change)
        yield message("snapshot_finished", channels=names, position=found.position)

    def _pump(self) -> None:
        """Write what this socket does not have, until it is full or has everything; then share the lane."""
        while self._cursor is not None and not self._paused and not self._restarting:
            if self._script is not None:
                frames = b"".join(islice(self._script, AT_ONCE))
                self._script = self._script if frames else None
            elif self._cursor.is_lost:
                self._restarting = True
                self._outlet.begin(self._restart)
                return
            else:
                tenant = self._watched.tenant
                frames = b"".join(change_frame(tenant, *news) for news in self._cursor.read(AT_ONCE))
                if not frames:
                    self._join()
                    return
            if frames:
                self._outlet.send(frames)

    def _join(self) -> None:
        """Everything was written: share the lane, unless what comes next may be known already."""
        assert self._cursor is not None
        if self._cursor.is_ahead:
            return
        self._unfollow()
        if self.channels:
            lane = self._watched.lane(self.channels)
            lane.flush()
            lane.members.add(self)
            self._lane = lane
        self._settle()

    async def _restart(self) -> None:
        """Changes were lost to this socket: a snapshot says how things are."""
        opening = await self._hub.again(self._watched, Wish(self.channels), self._seed)
        self._restarting = False
        if self._cursor is not None:
            self._unfollow()
            opening.cursor.narrow(self.channels)
            self._begin(opening, self.channels, [])

    def _follow(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._watched.followers.add(self)

    def _unfollow(self) -> None:
        self._cursor = None
        self._watched.followers.discard(self)

    def _leave_lane(self) -> int | None:
        """Out of the lane; the number of the first change that was not written."""
        lane, self._lane = self._lane, None
        if lane is None:
            return None
        lane.members.discard(self)
        at = lane.sent
        if not lane.members:
            self._watched.lanes.pop(lane.channels, None)
        return at

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
        self._settled = None

    async def _until_settled(self) -> None:
        while self._cursor is not None:
            if self._settled is None:
                self._settled = asyncio.get_running_loop().create_future()
            await self._settled


def confirmed(kind: str, channels: frozenset[str]) -> bytes:
    """The answer to an action: what is followed now."""
    return message(kind, channels=sorted(channels))
