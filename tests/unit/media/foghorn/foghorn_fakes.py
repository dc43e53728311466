"""Everyone around Foghorn as fakes: Commodore, the file of known streams, the record of decisions; and a fleet."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import NotFound, Unavailable
from frameworks.kit.geo import Geo, Place
from frameworks.media.foghorn.domain import Fleet, NodeFacts, Position, StreamPresence, Weights
from frameworks.media.foghorn.service.known import KnownStream, KnownStreams
from frameworks.media.foghorn.service.nodes import Nodes
from frameworks.media.foghorn.service.orders import Order, Orders, Told
from frameworks.media.foghorn.service.routing import Decision, IngestTarget, NodeAddresses, Router
from frameworks.media.foghorn.service.seats import SETTLING, Seats
from frameworks.media.foghorn.service.viewers import VirtualViewers

PLAYBACK = "pb0123456789abcd"
INTERNAL = "q7w8e9r0t1y2u3i4o5p6a7s8d9f0g1h2"
KEY = "sk_" + "k3y0" * 8
STREAM = KnownStream(PLAYBACK, INTERNAL, "stream-1", "tenant-1", title="First light", clusters=("c1",))
LIVE = StreamPresence(viewers=0, inputs=1, rate=200_000)
STARTING = StreamPresence(viewers=0, inputs=1, rate=0, ready=False)
UTRECHT, TOKYO = Position(52.1, 5.1), Position(35.7, 139.7)


@dataclass
class Commodore:
    """Knows streams by playback id and one key; can be away, can be slow."""

    streams: dict[str, KnownStream] = field(default_factory=lambda: {PLAYBACK: STREAM})
    away: bool = False
    gate: asyncio.Event | None = None
    asked: int = 0

    async def resolve(self, playback_id: str) -> KnownStream:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise Unavailable("away")
        if playback_id not in self.streams:
            raise NotFound("none")
        return self.streams[playback_id]

    async def resolve_internal(self, internal_name: str) -> KnownStream:
        found = [
            stream.playback_id for stream in self.streams.values() if stream.internal_name == internal_name
        ]
        return await self.resolve(found[0] if found else "")

    async def ingest_target(self, stream_key: str) -> IngestTarget:
        if self.away:
            raise Unavailable("away")
        if stream_key != KEY:
            raise NotFound("none")
        return IngestTarget("stream-1", "tenant-1", False, ("c1",))


@dataclass
class Memory:
    """The file of known streams."""

    kept: list[KnownStream] = field(default_factory=list)
    writes: int = 0

    def read(self) -> list[KnownStream]:
        return list(self.kept)

    def write(self, streams: list[KnownStream]) -> None:
        self.kept = streams
        self.writes += 1


@dataclass
class OrderFile:
    """The file of orders."""

    kept: list[Order] = field(default_factory=list)

    def read(self) -> list[Order]:
        return list(self.kept)

    def write(self, found: list[Order]) -> None:
        self.kept = found


@dataclass
class Decisions:
    """The record of decisions."""

    taken: list[Decision] = field(default_factory=list)

    def record(self, decision: Decision) -> None:
        self.taken.append(decision)


class TwoPlaces(Geo):
    """Puts two documentation addresses on the map."""

    def place(self, address: str) -> Place | None:
        found = {"198.51.100.4": ("NL", UTRECHT), "203.0.113.9": ("JP", TOKYO)}.get(address)
        return Place(found[0], "", 1, found[1].latitude, found[1].longitude) if found else None


@dataclass
class Platform:
    """Foghorn's services wired as its module wires them."""

    clock: FakeClock = field(default_factory=FakeClock)
    commodore: Commodore = field(default_factory=Commodore)
    memory: Memory = field(default_factory=Memory)
    decisions: Decisions = field(default_factory=Decisions)
    order_file: OrderFile = field(default_factory=OrderFile)
    told: list[tuple[str, Told]] = field(default_factory=list)
    connected: bool = True

    def __post_init__(self) -> None:
        self.fleet = Fleet()
        self.viewers = VirtualViewers(self.fleet, self.clock, timedelta(seconds=30))
        self.nodes: Nodes[str] = Nodes(
            self.fleet,
            self.viewers,
            self.clock,
            stale_after=timedelta(seconds=90),
            forget_after=timedelta(minutes=5),
        )
        self.known = KnownStreams(
            self.commodore, self.memory, self.clock, fresh=timedelta(seconds=10), stale=timedelta(hours=24)
        )
        self.seats = Seats(self.known, self.viewers, self.clock)
        self.orders = Orders(self.order_file, self.fleet, self.viewers, self.clock, self.tell)
        self.router = Router(
            self.fleet,
            self.nodes.addresses,
            self.known,
            self.commodore,
            self.viewers,
            self.seats,
            self.decisions,
            TwoPlaces(None),
            self.clock,
            Weights(),
            fallbacks=2,
        )

    def report(
        self,
        node: str,
        presence: StreamPresence | None = LIVE,
        *,
        boot: str = "boot-1",
        cluster: str = "c1",
        where: Position | None = None,
        up: int = 0,
        outputs: tuple[str, ...] = ("HLS_CMAF", "HLS"),
        answers: bool = True,
        stream: str = INTERNAL,
    ) -> None:
        """A node's report, with or without the stream."""
        facts = NodeFacts(
            node=node,
            cluster=cluster,
            owner="operator",
            cpu_permille=0,
            memory_used=0,
            memory_total=100,
            up=up,
            limit=125_000_000,
            where=where,
            capabilities=frozenset({"edge", "ingest"}),
            streams={stream: presence} if presence else {},
        )
        paths = {"HLS_CMAF": "cmaf", "HLS": "hls"}
        urls = {name: f"http://{node}:8080/{paths[name]}/$/index.m3u8" for name in outputs}
        addresses = NodeAddresses(f"http://{node}:8080", f"rtmp://{node}:1935/live", "", urls)
        self.nodes.report(facts, addresses, boot, answers=answers)

    def tell(self, node: str, told: Told) -> bool:
        """A node's connection."""
        if self.connected:
            self.told.append((node, told))
        return self.connected

    async def settle(self) -> None:
        """Let the time pass in which nodes come back and tell what they have."""
        await self.clock.advance(SETTLING)

    def reserved(self, node: str) -> float:
        """Bytes per second promised to viewers on their way to the node."""
        row = self.fleet.row(node)
        return 0.0 if row is None else float(self.fleet.reserved[row])


def suspended(stream: KnownStream = STREAM) -> KnownStream:
    """The stream of an account that may not stream."""
    return msgspec.structs.replace(stream, suspended=True)
