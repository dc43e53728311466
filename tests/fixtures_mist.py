"""A media node on free ports, a Helmsman that answers as it is told, and publishers made of numbers."""

import asyncio
import gc
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import Any, TypeVar

import httpx
import pytest

from frameworks.kit.clock import SystemClock
from frameworks.media.mist.api.triggers import LANES
from frameworks.media.mist.config import Settings
from frameworks.media.mist.domain import Codec, Frame, Track
from frameworks.media.mist.module import Node
from frameworks.media.mist.protocols.trigger import Action, Verdict

T = TypeVar("T")

AVC_CONFIG = bytes.fromhex("0142c01effe1000a6742c01e95a0500aff2201000468ce3c80")
VIDEO = Track(1, Codec.H264, AVC_CONFIG, 90_000, 640, 360, codec_string="avc1.42c01e")
AUDIO = Track(2, Codec.AAC, bytes.fromhex("1190"), 48_000, channels=2, rate=48_000, codec_string="mp4a.40.2")


def picture(index: int, *, fps: int = 25, gop: int = 50, size: int = 1000) -> Frame:
    """The `index`-th picture of a steady encoder."""
    keyframe = index % gop == 0
    data = (size - 4).to_bytes(4, "big") + bytes([0x65 if keyframe else 0x41]) * (size - 4)
    return Frame(1, index * 90_000 // fps, 0, keyframe, data)


def sound(index: int, *, size: int = 200) -> Frame:
    """The `index`-th AAC frame."""
    return Frame(2, index * 1024, 0, True, b"\x21" * size)


def media(seconds: float, *, start: float = 0.0, fps: int = 25, gop: int = 50) -> list[Frame]:
    """Both tracks of a steady encoder, in the order they would come."""
    first, last = round(start * fps), round((start + seconds) * fps)
    frames = [picture(index, fps=fps, gop=gop) for index in range(first, last)]
    frames += [
        sound(index) for index in range(int(start * 48_000 / 1024), int((start + seconds) * 48_000 / 1024))
    ]
    scale = {1: 90_000, 2: 48_000}
    return sorted(frames, key=lambda frame: Fraction(frame.dts, scale[frame.track]))


CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf", b"dinf"}


def boxes(data: bytes, path: str = "") -> Iterator[tuple[str, bytes]]:
    """(path, content) of every box, depth first; sizes must add up exactly."""
    offset = 0
    while offset < len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        assert size >= 8
        assert offset + size <= len(data)
        content = data[offset + 8 : offset + size]
        name = f"{path}/{kind.decode('latin-1')}"
        yield name, content
        if kind in CONTAINERS:
            yield from boxes(content, name)
        offset += size


@dataclass
class FakeHerald:
    """`answers` are the verdicts by trigger; `told` and `asked` are (trigger, lines) in order."""

    answers: dict[str, Verdict] = field(default_factory=dict)
    asked: list[tuple[str, list[str]]] = field(default_factory=list)
    told: list[tuple[str, list[str]]] = field(default_factory=list)
    pids: list[int | None] = field(default_factory=list)

    async def ask(
        self, trigger: str, stream: str, lines: Sequence[str], *, pid: int | None = None
    ) -> Verdict | None:
        """Answer from the table."""
        self.asked.append((trigger, list(lines)))
        self.pids.append(pid)
        return self.answers.get(trigger)

    def tell(self, trigger: str, stream: str, lines: Sequence[str], *, pid: int | None = None) -> None:
        """Remember."""
        self.told.append((trigger, list(lines)))

    def names(self) -> list[str]:
        """Triggers told, with the state of STREAM_BUFFER."""
        return [f"{name} {lines[1]}" if name == "STREAM_BUFFER" else name for name, lines in self.told]


def value(text: str) -> Verdict:
    """A verdict with a value."""
    return Verdict(Action.VALUE, text)


def deny(reason: str = "") -> Verdict:
    """A refusal."""
    return Verdict(Action.DENY, "", reason)


@dataclass
class Exchange:
    """One trigger as it arrived."""

    trigger: str
    headers: dict[str, str]
    lines: list[str]


Answerer = Callable[[Exchange], bytes | None]
"""The whole HTTP answer to a trigger; None never answers."""


def says(body: str, **headers: str) -> bytes:
    """A 200 answer."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{lines}\r\n{body}".encode()


def _allow(exchange: Exchange) -> bytes | None:
    return says("true")


@dataclass
class FakeHelmsman:
    """Takes triggers over HTTP, remembers them, answers by name."""

    url: str = ""
    answers: dict[str, Answerer] = field(default_factory=dict)
    heard: list[Exchange] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one trigger."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(headers["Content-Length"]))
            exchange = Exchange(headers["X-Trigger"], headers, body.decode().split("\n"))
            answer = self.answers.get(exchange.trigger, _allow)(exchange)
            async with self.news:
                self.heard.append(exchange)
                self.news.notify_all()
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    def of(self, trigger: str) -> list[Exchange]:
        """All firings of one trigger so far."""
        return [exchange for exchange in self.heard if exchange.trigger == trigger]

    async def wait_for(self, trigger: str, *, count: int = 1) -> Exchange:
        """The `count`-th firing of a trigger."""
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(lambda: len(self.of(trigger)) >= count)
        return self.of(trigger)[count - 1]

    def config(self, **changes: Mapping[str, Any]) -> dict[str, Any]:
        """`config.triggers` with this as the handler of everything the node fires."""
        sync = {"PUSH_REWRITE": "deny", "PLAY_REWRITE": "deny", "USER_NEW": "deny"}
        told = ("PUSH_INPUT_CLOSE", "STREAM_BUFFER", "LIVE_TRACK_LIST", "STREAM_END", "USER_END")
        entries = {name: [self._entry(name, sync=True, onfail=fail)] for name, fail in sync.items()}
        entries |= {name: [self._entry(name, sync=False)] for name in told}
        for name, change in changes.items():
            entries[name] = [self._entry(name, sync=True) | dict(change)]
        return entries

    def _entry(self, name: str, *, sync: bool, onfail: str = "") -> dict[str, Any]:
        entry: dict[str, Any] = {"handler": f"{self.url}/{name.lower()}", "sync": sync, "streams": []}
        return entry | ({"onfail": onfail} if onfail else {})


@asynccontextmanager
async def helmsman() -> AsyncIterator[FakeHelmsman]:
    """A fake Helmsman that lets everything happen: any key is `live+` and itself."""
    fake = FakeHelmsman()
    fake.answers["PUSH_REWRITE"] = lambda exchange: says(f"live+{exchange.lines[2]}")
    fake.answers["PLAY_REWRITE"] = lambda exchange: says(
        exchange.lines[0] if "+" in exchange.lines[0] else f"live+{exchange.lines[0]}"
    )
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()


class BareHost:
    """As much of a host as a node needs."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.stopping = asyncio.Event()


@dataclass
class RunningNode:
    """A node that serves, and how to reach it."""

    node: Node
    http: str
    rtmp: str
    api: httpx.AsyncClient
    ports: dict[str, int]

    async def command(self, **commands: Any) -> dict[str, Any]:
        """Run commands of the control API."""
        answer = await self.api.post("/api2", json=commands)
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    async def configure(self, fake: FakeHelmsman, **changes: Mapping[str, Any]) -> None:
        """What Helmsman does first."""
        config = {"triggers": fake.config(**changes), "serverid": "node-1", "prometheus": "secret"}
        reply = await self.command(config=config, addstream={"live": {"name": "live", "source": "push://"}})
        assert "error" not in reply


@asynccontextmanager
async def running_node(**settings: Any) -> AsyncIterator[RunningNode]:
    """A node with its loops, on free ports."""
    chosen: dict[str, Any] = {
        "http_port": 0,
        "rtmp_port": 0,
        "rtmps_port": 0,
        "grace": timedelta(seconds=2),
        "trusted_proxies": ("127.0.0.1",),
    } | settings
    node = Node(BareHost(), Settings(**chosen))  # type: ignore[arg-type]
    ports = await node.open()

    async def ticks() -> None:
        while True:
            await asyncio.sleep(0.25)
            node.tick()

    tasks = [asyncio.create_task(ticks())]
    tasks += [asyncio.create_task(node.triggers.run(lane)) for lane in range(LANES)]
    transport = httpx.ASGITransport(app=node.api, client=("127.0.0.1", 5))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as api:
            yield RunningNode(
                node, f"http://127.0.0.1:{ports['http']}", f"rtmp://127.0.0.1:{ports['rtmp']}", api, ports
            )
    finally:
        await node.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        gc.collect()


@pytest.fixture
async def fake_helmsman() -> AsyncIterator[FakeHelmsman]:
    """A Helmsman that allows everything."""
    async with helmsman() as fake:
        yield fake


@pytest.fixture
async def mist(fake_helmsman: FakeHelmsman) -> AsyncIterator[RunningNode]:
    """A node configured by `fake_helmsman`."""
    async with running_node() as node:
        await node.configure(fake_helmsman)
        yield node


async def eventually(found: Callable[[], Awaitable[T | None]], *, seconds: float = 30.0) -> T:
    """The first answer that is not None."""
    for _ in range(round(seconds / 0.02)):
        if (answer := await found()) is not None:
            return answer
        await asyncio.sleep(0.02)
    raise TimeoutError("it never came to be")
