"""Streams Foghorn knows: resolved by Commodore, remembered on disk, served stale while Commodore is away."""

import asyncio
from collections import OrderedDict
from datetime import timedelta
from typing import Protocol

import msgspec

from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import NotFound, Unavailable

MAX_KNOWN = 50_000
MAX_UNKNOWN = 10_000


class KnownStream(msgspec.Struct, frozen=True):
    """What a playback id means. `clusters` are where the tenant may be served, best first."""

    playback_id: str
    internal_name: str
    stream_id: str
    tenant_id: str
    title: str = ""
    description: str = ""
    clusters: tuple[str, ...] = ()
    created_at: int = 0
    recording_enabled: bool = False
    suspended: bool = False
    resolved_at: int = 0
    """Microseconds since the epoch."""


class Directory(Protocol):
    """Who knows streams: Commodore."""

    async def resolve(self, playback_id: str) -> KnownStream:
        """The stream behind a playback id. Raises NotFound, Unavailable."""


class Memory(Protocol):
    """Where known streams survive a restart."""

    def read(self) -> list[KnownStream]:
        """All that was kept."""

    def write(self, streams: list[KnownStream]) -> None:
        """Keep these instead."""


class KnownStreams:
    """Resolves playback ids with one question at a time per id; remembers answers and, briefly, misses."""

    def __init__(
        self, directory: Directory, memory: Memory, clock: Clock, *, fresh: timedelta, stale: timedelta
    ) -> None:
        self._directory = directory
        self._memory = memory
        self._clock = clock
        self._fresh = fresh / timedelta(microseconds=1)
        self._stale = stale / timedelta(microseconds=1)
        self._known = OrderedDict((s.playback_id, s) for s in memory.read())
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._asking: dict[str, asyncio.Task[KnownStream]] = {}
        self._changed = False

    async def resolve(self, playback_id: str) -> KnownStream:
        """The stream, from memory when fresh, from Commodore otherwise, from memory again when Commodore is away."""
        known = self._known.get(playback_id)
        age = micros(self._clock.now()) - known.resolved_at if known else 0
        if known and age <= self._fresh:
            return known
        if self._unknown.get(playback_id, -1.0) > self._clock.monotonic():
            raise _missing()
        try:
            return await asyncio.shield(self._ask(playback_id))
        except Unavailable:
            if known and age <= self._stale:
                return known
            raise

    def save(self) -> None:
        """Write what is known to disk, when it changed."""
        if self._changed:
            self._changed = False
            self._memory.write(list(self._known.values()))

    def _ask(self, playback_id: str) -> "asyncio.Task[KnownStream]":
        task = self._asking.get(playback_id)
        if task is None:
            task = self._asking[playback_id] = asyncio.create_task(self._question(playback_id))
            task.add_done_callback(lambda done: self._answered(playback_id, done))
        return task

    def _answered(self, playback_id: str, task: "asyncio.Task[KnownStream]") -> None:
        del self._asking[playback_id]
        if not task.cancelled():
            task.exception()

    async def _question(self, playback_id: str) -> KnownStream:
        try:
            found = await self._directory.resolve(playback_id)
        except NotFound:
            self._changed |= self._known.pop(playback_id, None) is not None
            self._unknown[playback_id] = self._clock.monotonic() + 2.0
            while len(self._unknown) > MAX_UNKNOWN:
                self._unknown.popitem(last=False)
            raise
        stream = msgspec.structs.replace(found, resolved_at=micros(self._clock.now()))
        self._known[playback_id] = stream
        self._known.move_to_end(playback_id)
        self._changed = True
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return stream


def _missing() -> NotFound:
    return NotFound("There is no stream with this playback id.")
