"""RTMP and RTMPS listeners: publishers in, tracks and frames out, each peer within its limits."""

import asyncio
import ipaddress
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, cast

from frameworks.kit import log, trace
from frameworks.kit.clock import Clock, SystemClock, random_bytes
from frameworks.kit.errors import Fault, Kind, Refusal
from frameworks.media.mist.domain import Frame
from frameworks.media.mist.protocols.rtmp.events import (
    Connected,
    Metadata,
    PublishEnded,
    PublishRequested,
    Refused,
    ServerEvent,
)
from frameworks.media.mist.protocols.rtmp.handshake import NONCE
from frameworks.media.mist.protocols.rtmp.media import Item, MediaReader
from frameworks.media.mist.protocols.rtmp.messages import Message
from frameworks.media.mist.protocols.rtmp.refusals import Limits
from frameworks.media.mist.protocols.rtmp.server import ServerSession
from frameworks.media.mist.servers.publishing import Connection, Ending, Gate, Ingest

SWEEP = 1.0
"""Seconds between looks at the deadlines of all connections."""
LINGER = 2.0
"""Seconds a refused peer has to read why, before its connection is cut."""
HANDSHAKE = 10.0
"""Seconds for a TLS handshake."""
UNREAD = 256 << 10
"""Bytes a peer may leave unread."""


class TooManyConnections(Refusal):
    """The listener is full."""

    kind = Kind.LIMITED
    code: ClassVar = "mist.rtmp.connections"


class TooManyFromAddress(Refusal):
    """One address holds all the connections it may."""

    kind = Kind.LIMITED
    code: ClassVar = "mist.rtmp.connections_per_address"


class TooSlowToPublish(Refusal):
    """No admitted publish request in time."""

    kind = Kind.TIMEOUT
    code: ClassVar = "mist.rtmp.unauthenticated_time"


class Idle(Refusal):
    """An admitted publisher that sends nothing."""

    kind = Kind.TIMEOUT
    code: ClassVar = "mist.rtmp.idle"


class NotReading(Refusal):
    """A peer that makes us answer and does not read the answers."""

    kind = Kind.LIMITED
    code: ClassVar = "mist.rtmp.not_reading"


class KeyDenied(Refusal):
    """The gate said no."""

    kind = Kind.FORBIDDEN
    code: ClassVar = "mist.rtmp.denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What all peers of a listener together, and each alone, may use."""

    connections: int = 1_000
    connections_per_address: int = 64
    """An IPv6 address counts with its /64."""
    publish_seconds: float = 15.0
    """From connecting to an admitted publish request, the gate's own time included."""
    idle_seconds: float = 20.0
    session: Limits = field(default_factory=Limits)


class RtmpServer:
    """One or more listeners of publishers; `refused` is told the code of every refusal."""

    def __init__(
        self,
        gate: Gate,
        *,
        limits: ServerLimits | None = None,
        clock: Clock | None = None,
        refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        self.gate = gate
        self.limits = limits or ServerLimits()
        self.clock = clock or SystemClock()
        self.refusals: Counter[str] = Counter()
        self.log = log.get("mist")
        self._refused = refused
        self._listeners: list[asyncio.Server] = []
        self._connections: set[_Peer] = set()
        self._addresses: Counter[str] = Counter()
        self._sweeper: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Serve on an address (RTMPS with `tls`); returns the port bound."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: _Peer(self, secure=tls is not None),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE if tls else None,
        )
        self._listeners.append(listener)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
        return int(listener.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Peers connected now."""
        return len(self._connections)

    async def close(self) -> None:
        """Stop listening and drop every publisher."""
        for listener in self._listeners:
            listener.close()
        for peer in list(self._connections):
            peer.end(Ending("CLEAN_SIGNAL", "The server is shutting down."), linger=False)
        for listener in self._listeners:
            await listener.wait_closed()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    def count(self, refusal: Refusal) -> None:
        """Remember a refusal by its code."""
        self.refusals[refusal.code] += 1
        self._refused(refusal.code)

    def enter(self, peer: "_Peer", address: str) -> Refusal | None:
        """Make room for a new peer, or say why there is none."""
        if len(self._connections) >= self.limits.connections:
            return TooManyConnections("The server has no room for another connection.")
        if self._addresses[address] >= self.limits.connections_per_address:
            return TooManyFromAddress("This address has too many connections.")
        self._connections.add(peer)
        self._addresses[address] += 1
        return None

    def leave(self, peer: "_Peer", address: str) -> None:
        """Give a peer's room back."""
        if peer in self._connections:
            self._connections.discard(peer)
            self._addresses[address] -= 1
            self._addresses += Counter()

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep(SWEEP)
            now = self.clock.monotonic()
            for peer in list(self._connections):
                peer.check(now)


def _bucket(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


class _Peer(asyncio.Protocol):
    """One connection, from its first byte until the socket is gone."""

    def __init__(self, server: RtmpServer, *, secure: bool) -> None:
        self._server = server
        self._secure = secure
        self._session = ServerSession(random_bytes(NONCE), server.limits.session)
        self._media = MediaReader()
        self._ingest: Ingest | None = None
        self._deciding: asyncio.Task[None] | None = None
        self._encoder = ""
        self._started = self._heard = server.clock.monotonic()
        self._ended: float | None = None
        self._host, self._port, self._address = "", 0, ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or close it at once when there is no room."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._host, self._port = str(peer[0]), int(peer[1])
        self._address = _bucket(self._host)
        self._transport.set_write_buffer_limits(high=UNREAD)
        refusal = self._server.enter(self, self._address)
        if refusal is not None:
            self._server.count(refusal)
            self._ended = self._started
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self._server.leave(self, self._address)
        if self._deciding is not None:
            self._deciding.cancel()
        self._detach(Ending("CLEAN_REMOTE_CLOSE", "The publisher closed the connection."))

    def pause_writing(self) -> None:
        """The peer reads too little of what we answer."""
        self._refuse(NotReading("Too many answers are unread."))

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer; after the end they are read and dropped, so that it can read why."""
        if self._ended is None:
            self._heard = self._server.clock.monotonic()
            self._process(self._session.receive(data))

    def check(self, now: float) -> None:
        """Look at the deadlines."""
        limits = self._server.limits
        if self._ended is not None:
            if now - self._ended >= LINGER:
                self._transport.abort()
        elif self._ingest is None:
            if now - self._started >= limits.publish_seconds:
                self._refuse(TooSlowToPublish("No publish request was admitted in time."))
        elif now - self._heard >= limits.idle_seconds:
            self._refuse(Idle("Nothing was received for too long."), machine="CLEAN_INACTIVE")

    def kick(self, reason: str) -> None:
        """Drop the publisher."""
        self.end(Ending("CLEAN_INTENDED_STOP", reason))

    def end(self, ending: Ending, *, linger: bool = True) -> None:
        """Tell the peer, tell the ingest, and close; with `linger` the peer first has time to read it."""
        if self._ended is not None:
            return
        self._ended = self._server.clock.monotonic()
        self._session.close(ending.human)
        self._flush()
        self._detach(ending)
        if linger and self._transport.can_write_eof():
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()

    def _process(self, events: list[ServerEvent]) -> None:
        for event in events:
            if self._ended is not None:
                return
            if type(event) is Message:
                self._media_message(event)
            else:
                self._steer(event)
        self._flush()

    def _steer(self, event: ServerEvent) -> None:
        match event:
            case Connected(encoder=encoder):
                self._encoder = encoder
            case PublishRequested():
                self._transport.pause_reading()
                self._deciding = asyncio.create_task(self._decide(event))
                self._deciding.add_done_callback(self._decided)
            case Metadata(values=values):
                self._media.metadata(values)
            case PublishEnded():
                self.end(Ending("CLEAN_EOF", "The publisher ended the stream."))
            case Refused(refusal=refusal):
                self._refuse(refusal)

    def _media_message(self, message: Message) -> None:
        try:
            items = self._media.read(message, self._heard)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if self._ingest is not None:
            self._deliver(self._ingest, items)

    def _deliver(self, ingest: Ingest, items: list[Item]) -> None:
        for item in items:
            if self._ended is not None:
                return
            if isinstance(item, Frame):
                ingest.frame(item)
            else:
                ingest.tracks(item.tracks)

    async def _decide(self, request: PublishRequested) -> None:
        trace.current.set(trace.here())
        try:
            answer = await self._server.gate.admit(request.url, self._host, request.key)
            if isinstance(answer, str):
                self._admit(answer, request)
            else:
                self._deny(answer.reason)
        except Fault as fault:
            self._deny(fault.message)

    def _decided(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._deny("The server could not decide; try again.")
            context = {"message": "admitting a publisher failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _admit(self, runtime_name: str, request: PublishRequested) -> None:
        if self._ended is not None:
            return
        connection = Connection(
            "RTMP", self._host, self._port, request.app, self._encoder, self._secure, self.kick
        )
        self._ingest = self._server.gate.attach(runtime_name, connection)
        self._heard = self._server.clock.monotonic()
        self._session.accept()
        self._flush()
        self._server.log.info(
            "publisher.admitted", stream=runtime_name, encoder=self._encoder, secure=self._secure
        )
        self._process(self._session.receive(b""))
        if self._ended is None:
            self._transport.resume_reading()

    def _deny(self, reason: str) -> None:
        if self._ended is None:
            self._session.deny(reason)
            self._refuse(KeyDenied(reason))

    def _refuse(self, refusal: Refusal, machine: str = "UNKNOWN") -> None:
        if self._ended is None:
            self._server.count(refusal)
            self._server.log.info("publisher.refused", code=refusal.code, attached=self._ingest is not None)
            self.end(Ending(machine, refusal.message))

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _detach(self, ending: Ending) -> None:
        ingest, self._ingest = self._ingest, None
        if ingest is not None:
            ingest.closed(ending)
