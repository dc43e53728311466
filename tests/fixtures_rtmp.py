"""A gate that knows one key, an ingest that remembers everything, and an RTMP listener that has them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from frameworks.kit.clock import Clock
from frameworks.kit.errors import Conflict
from frameworks.media.mist.domain import Frame, Track
from frameworks.media.mist.servers.publishing import Connection, Denied, Ending
from frameworks.media.mist.servers.rtmp import RtmpServer, ServerLimits

KEY = "sk_" + "a" * 32


@dataclass
class Recorder:
    """An ingest that remembers everything."""

    connection: Connection
    kicks: bool = False
    tracked: list[tuple[Track, ...]] = field(default_factory=list)
    frames: dict[int, list[Frame]] = field(default_factory=lambda: {1: [], 2: []})
    reason: asyncio.Future[Ending] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    first: asyncio.Event = field(default_factory=asyncio.Event)

    def tracks(self, tracks: Sequence[Track]) -> None:
        self.tracked.append(tuple(tracks))
        if self.kicks:
            self.connection.kick("These tracks can not be carried.")

    def frame(self, frame: Frame) -> None:
        self.frames[frame.track].append(frame)
        self.first.set()

    def closed(self, reason: Ending) -> None:
        self.reason.set_result(reason)


@dataclass
class OneKey:
    """A gate that knows one key."""

    asked: list[tuple[str, str, str]] = field(default_factory=list)
    attached: asyncio.Queue[Recorder] = field(default_factory=asyncio.Queue)
    deciding: asyncio.Event = field(default_factory=asyncio.Event)
    decide: asyncio.Event = field(default_factory=asyncio.Event)
    """Set from the start; clear it to keep publishers waiting."""
    taken: bool = False
    kicks_tracks: bool = False

    def __post_init__(self) -> None:
        self.decide.set()

    async def admit(self, push_url: str, host: str, key: str) -> str | Denied:
        self.asked.append((push_url, host, key))
        self.deciding.set()
        await self.decide.wait()
        return "live+x" if key == KEY else Denied("This stream key is not known.")

    def attach(self, runtime_name: str, connection: Connection) -> Recorder:
        if self.taken:
            raise Conflict("This stream is live already.")
        recorder = Recorder(connection, self.kicks_tracks)
        self.attached.put_nowait(recorder)
        return recorder


@asynccontextmanager
async def serving(
    limits: ServerLimits | None = None, clock: Clock | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[OneKey, RtmpServer, int]]:
    """A listener on a free port."""
    gate = OneKey()
    server = RtmpServer(gate, limits=limits, clock=clock)
    port = await server.listen("127.0.0.1", 0, tls=tls)
    try:
        yield gate, server, port
    finally:
        await server.close()
