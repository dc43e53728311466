"""What happens on the node while things break, told by a seed, and what history must say of it afterwards."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from fault_node import FaultNode, OnAir, health_line
from fixtures_platform import Stream

CONNECTORS = ("HLS", "CMAF", "WebRTC")
COMES_BACK = 0.2
"""Share of viewers whose player is back under a new session at once."""


@dataclass(frozen=True, order=True)
class Watched:
    """One viewer session as the node counted it; times in milliseconds."""

    stream: str
    opened_ms: int
    closed_ms: int
    connector: str
    seconds: int
    up: int
    down: int


@dataclass
class Truth:
    """The totals of one story, from what was answered."""

    watched: list[Watched] = field(default_factory=list)
    admitted: Counter[str] = field(default_factory=Counter)
    buffers: Counter[tuple[str, str]] = field(default_factory=Counter)
    tracks: Counter[str] = field(default_factory=Counter)
    ended: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Stream → (bytes up, bytes down) of its last end."""


class Story:
    """Streams that begin, are watched, come back and end."""

    def __init__(self, node: FaultNode, seed: int) -> None:
        self._node = node
        self._random = Random(seed)
        self.truth = Truth()

    async def tell(self, streams: list[Stream], seconds: float) -> Truth:
        """Run it all; returns when every trigger was taken."""
        async with asyncio.TaskGroup() as group:
            for stream in streams:
                group.create_task(self._broadcast(stream, Random(self._random.random()), seconds))
        return self.truth

    async def _broadcast(self, stream: Stream, random: Random, seconds: float) -> None:
        await asyncio.sleep(random.uniform(0, 1))
        runtime = await self._publish(stream)
        on_air = self._node.streams[runtime]
        takes_over = random.random() < 0.5
        async with asyncio.TaskGroup() as group:
            for _ in range(random.randint(3, 9)):
                group.create_task(self._watch(stream, runtime, Random(random.random()), seconds))
            if takes_over:
                group.create_task(self._come_back(stream, runtime, random.uniform(1, seconds)))
            group.create_task(self._run_dry(stream, runtime, random.uniform(1, seconds), on_air))
        up, down = random.randint(1, 10**9), random.randint(1, 10**9)
        await self._end(stream, runtime, up, down)

    async def _publish(self, stream: Stream) -> str:
        url = f"rtmp://127.0.0.1:1935/live/{stream.key}"
        while True:
            answer = await self._node.fire("PUSH_REWRITE", url, "192.0.2.7", stream.key)
            if answer.action == "value":
                break
            await asyncio.sleep(0.3)
        runtime = answer.body
        self._node.streams.setdefault(runtime, OnAir())
        self.truth.admitted[stream.stream_id] += 1
        await self._buffer(stream, runtime, "FULL", health_line())
        await self._node.fire("LIVE_TRACK_LIST", runtime, health_line())
        self.truth.tracks[stream.stream_id] += 1
        return runtime

    async def _come_back(self, stream: Stream, runtime: str, after: float) -> None:
        """The encoder's connection drops, and it is back at once."""
        await asyncio.sleep(after)
        if not self._node.streams[runtime].stopped.is_set():
            await self._node.fire("PUSH_INPUT_CLOSE", runtime, "rtmp", "192.0.2.7", "1")
            await self._publish(stream)

    async def _run_dry(self, stream: Stream, runtime: str, after: float, on_air: OnAir) -> None:
        await asyncio.sleep(after)
        await self._buffer(stream, runtime, "DRY", health_line())
        await self._buffer(stream, runtime, "RECOVER", health_line())

    async def _buffer(self, stream: Stream, runtime: str, state: str, health: str = "") -> None:
        await self._node.fire("STREAM_BUFFER", runtime, state, *([health] if health else []))
        self.truth.buffers[stream.stream_id, state] += 1

    async def _watch(self, stream: Stream, runtime: str, random: Random, seconds: float) -> None:
        on_air = self._node.streams[runtime]
        await asyncio.sleep(random.uniform(0, seconds * 0.7))
        while True:
            await self._session(stream, runtime, random, seconds)
            if random.random() > COMES_BACK or on_air.stopped.is_set():
                return

    async def _session(self, stream: Stream, runtime: str, random: Random, seconds: float) -> None:
        connector = random.choice(CONNECTORS)
        host, url = f"203.0.113.{random.randint(1, 250)}", f"http://127.0.0.1/hls/{runtime}/index.m3u8"
        while True:
            session = f"{random.getrandbits(64):016x}"
            self._node.sessions[session] = (runtime, connector)
            opened = await self._node.fire("USER_NEW", runtime, host, "1", connector, url, session)
            if opened.body == "true":
                break
            # Nobody can say whose the stream is right now: the player tries again.
            del self._node.sessions[session]
            await asyncio.sleep(0.3)
        on_air = self._node.streams[runtime]
        on_air.viewers += 1
        await _unless(on_air.stopped, random.uniform(0.1, seconds * 0.5))
        lasted, up, down = random.randint(1, 500), random.randint(1, 10**8), random.randint(1, 10**5)
        ending = ("", connector, host, "", str(lasted), str(up), str(down), "[UA:fault]", "", "", "", session)
        closed = await self._node.fire("USER_END", runtime, *ending[1:])
        del self._node.sessions[session]
        on_air.viewers -= 1
        self.truth.watched.append(
            Watched(stream.stream_id, opened.at, closed.at, connector, lasted, up, down)
        )

    async def _end(self, stream: Stream, runtime: str, up: int, down: int) -> None:
        await self._buffer(stream, runtime, "EMPTY")
        await self._node.fire("PUSH_INPUT_CLOSE", runtime, "rtmp", "192.0.2.7", "1")
        await self._node.fire("STREAM_END", runtime, str(down), str(up), "0", "0", "0", "0")
        del self._node.streams[runtime]
        self.truth.ended[stream.stream_id] = up, down


async def _unless(event: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until it happens."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
