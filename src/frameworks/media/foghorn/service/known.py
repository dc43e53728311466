"""Streams Foghorn knows: resolved by Commodore, remembered on disk, served stale while Commodore is away."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Protocol

import msgspec

from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import NotFound, Unavailable

Ask = Callable[[str], Awaitable["KnownStream"]]
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
    max_viewers: int = 0
    """How many may watch the tenant's streams at once; 0 is as many as come."""


class Directory(Protocol):
    """Who knows streams: Commodore."""

    async def resolve(self, playback_id: str) -> KnownStream:
        """The stream behind a playback id. Raises NotFound, Unavailable."""

    async def resolve_internal(self, internal_name: str) -> KnownStream:
        """The stream behind an internal name. Raises NotFound, Unavailable."""


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
        self._known: OrderedDict[str, KnownStream] = OrderedDict()
        self._by_name: dict[str, str] = {}
        self._of_tenant: dict[str, set[str]] = {}
        self._doubted: set[str] = set()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._asking: dict[str, asyncio.Task[KnownStream]] = {}
        self._changed = False
        for stream in memory.read():
            self._keep(stream)

    async def resolve(self, playback_id: str) -> KnownStream:
        """The stream, from memory when fresh, from Commodore otherwise, from memory again when Commodore is away."""
        return await self._found(playback_id, self._known.get(playback_id), self._directory.resolve)

    async def named(self, internal_name: str) -> KnownStream:
        """The same by the name nodes use."""
        known = self._known.get(self._by_name.get(internal_name, ""))
        return await self._found(internal_name, known, self._directory.resolve_internal)

    def knows(self, internal_name: str) -> bool:
        """Whether it is known whose this stream is."""
        return internal_name in self._by_name

    def of_tenant(self, tenant: str) -> AbstractSet[str]:
        """Internal names of the tenant's streams that were resolved here."""
        return self._of_tenant.get(tenant, frozenset())

    def doubt(self, tenant: str) -> None:
        """Something about a tenant has changed: ask Commodore again next time, however fresh the answers are."""
        self._doubted |= {self._by_name[name] for name in self.of_tenant(tenant)}

    def save(self) -> None:
        """Write what is known to disk, when it changed."""
        if self._changed:
            self._changed = False
            self._memory.write(list(self._known.values()))

    async def _found(self, name: str, known: KnownStream | None, ask: Ask) -> KnownStream:
        age = micros(self._clock.now()) - known.resolved_at if known else 0
        if known and age <= self._fresh and known.playback_id not in self._doubted:
            return known
        if self._unknown.get(name, -1.0) > self._clock.monotonic():
            raise _missing()
        try:
            return await asyncio.shield(self._ask(name, known, ask))
        except Unavailable:
            if known and age <= self._stale:
                return known
            raise

    def _ask(self, name: str, known: KnownStream | None, ask: Ask) -> "asyncio.Task[KnownStream]":
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.create_task(self._question(name, known, ask))
            task.add_done_callback(lambda done: self._answered(name, done))
        return task

    def _answered(self, name: str, task: "asyncio.Task[KnownStream]") -> None:
        del self._asking[name]
        if not task.cancelled():
            task.exception()

    async def _question(self, name: str, known: KnownStream | None, ask: Ask) -> KnownStream:
        if known is not None:
            # What becomes doubtful while the question is on its way stays doubtful.
            self._doubted.discard(known.playback_id)
        try:
            found = await ask(name)
        except NotFound:
            if known is not None:
                self._drop(known.playback_id)
            self._unknown[name] = self._clock.monotonic() + 2.0
            while len(self._unknown) > MAX_UNKNOWN:
                self._unknown.popitem(last=False)
            raise
        except Unavailable:
            if known is not None:
                self._doubted.add(known.playback_id)
            raise
        return self._keep(msgspec.structs.replace(found, resolved_at=micros(self._clock.now())))

    def _keep(self, stream: KnownStream) -> KnownStream:
        self._known[stream.playback_id] = stream
        self._known.move_to_end(stream.playback_id)
        self._by_name[stream.internal_name] = stream.playback_id
        self._of_tenant.setdefault(stream.tenant_id, set()).add(stream.internal_name)
        self._changed = True
        while len(self._known) > MAX_KNOWN:
            self._drop(next(iter(self._known)))
        return stream

    def _drop(self, playback_id: str) -> None:
        stream = self._known.pop(playback_id, None)
        if stream is None:
            return
        self._doubted.discard(playback_id)
        self._by_name.pop(stream.internal_name, None)
        of_tenant = self._of_tenant[stream.tenant_id]
        of_tenant.discard(stream.internal_name)
        if not of_tenant:
            del self._of_tenant[stream.tenant_id]
        self._changed = True


def _missing() -> NotFound:
    return NotFound("There is no stream with this playback id.")
