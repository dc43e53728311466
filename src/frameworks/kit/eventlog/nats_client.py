"""nats-py's client, with a path of our own for records: in pieces as they arrive, to whoever listens, without a queue.

Connecting, signing in, coming back and requests stay nats-py's. What this relies on inside it is pinned by
`tests/unit/kit/eventlog/test_nats_client.py`.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any, cast
from urllib.parse import ParseResult

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import Transport
from nats.errors import ConnectionClosedError, OutboundBufferLimitError, ProtocolError

from frameworks.kit.eventlog.nats_wire import LONGEST_LINE, Incoming, Take

PORT = 4222
ROOM = 256 * 1024
"""Bytes that may have arrived and wait to be parsed; then the server has to wait."""
UNSENT = 256 * 1024 * 1024
"""Bytes that may wait for a server that takes nothing, until it counts as away."""


class Pieces(asyncio.Protocol):
    """One connection: what arrives is kept in the pieces it came in."""

    def __init__(self) -> None:
        self.socket: asyncio.Transport
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._full = self._ended = False
        self._failure: Exception | None = None
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.socket = cast("asyncio.Transport", transport)  # uvloop's do not inherit it

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self._pieces.append(data)
        self._size += len(data)
        self._arrived.set()
        if self._size > ROOM and not self._full:
            self._full = True
            self.socket.pause_reading()

    def eof_received(self) -> None:
        """Nothing more comes; asyncio closes the socket."""
        self._ended = True
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everybody go who waits."""
        self._failure = exc
        self.eof_received()
        self._writable.set()
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        """The server is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    @property
    def at_end(self) -> bool:
        """Whether nothing is left and nothing more comes."""
        return self._ended and not self._pieces

    async def read(self) -> bytes:
        """The next piece, waiting for it; empty at the end, OSError when the connection broke."""
        while not self._pieces and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        if not self._pieces:
            if self._failure is not None:
                raise self._failure
            return b""
        found = self._pieces.popleft()
        self._size -= len(found)
        if self._full and self._size <= ROOM and not self.socket.is_closing():
            self._full = False
            self.socket.resume_reading()
        return found

    def put_back(self, data: bytes) -> None:
        """Be read again."""
        if data:
            self._pieces.appendleft(data)
            self._size += len(data)

    async def drain(self) -> None:
        """Wait until more may be written; OSError when the connection broke."""
        await self._writable.wait()
        if self.lost.done():
            raise self._failure or ConnectionResetError("the connection was lost")


class PieceTransport(Transport):
    """What nats-py reads from and writes to."""

    def __init__(self) -> None:
        self._pieces: Pieces | None = None

    @property
    def _now(self) -> Pieces:
        if self._pieces is None:
            raise ConnectionResetError("not connected")
        return self._pieces

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Open a connection."""
        async with asyncio.timeout(connect_timeout):
            loop = asyncio.get_running_loop()
            _, self._pieces = await loop.create_connection(Pieces, uri.hostname or "", uri.port or PORT)

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """Encrypt from here on."""
        host = uri if isinstance(uri, str) else uri.hostname
        encrypted, plain = Pieces(), self._now.socket
        async with asyncio.timeout(connect_timeout):
            loop = asyncio.get_running_loop()
            made = await loop.start_tls(plain, encrypted, ssl_context, server_hostname=host)
        assert made is not None
        encrypted.socket = made
        self._pieces = encrypted

    def write(self, payload: bytes) -> None:
        """Send."""
        self._now.socket.write(payload)

    def writelines(self, payload: Sequence[bytes]) -> None:
        """Send all."""
        self._now.socket.writelines(payload)

    async def read(self, buffer_size: int) -> bytes:
        """The next piece, as it came."""
        return await self._now.read()

    async def readline(self) -> bytes:
        """One line."""
        found = b""
        while b"\n" not in found and not self._now.at_end:
            found += await self._now.read()
            if len(found) > LONGEST_LINE:
                raise ProtocolError("nats: a line without an end")
        line, end, rest = found.partition(b"\n")
        self._now.put_back(rest)
        return line + end

    async def drain(self) -> None:
        """Wait until more may be written."""
        await self._now.drain()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        if self._pieces is not None:
            await asyncio.shield(self._pieces.lost)

    def close(self) -> None:
        """Let go of the connection."""
        if self._pieces is not None:
            self._pieces.socket.close()

    def at_eof(self) -> bool:
        """Whether nothing more comes."""
        return self._pieces is None or self._pieces.at_end

    def __bool__(self) -> bool:
        """Always, so that nats-py makes none of its own."""
        return True


@contextmanager
def cancellable() -> Iterator[None]:
    """Raise the cancellation that came meanwhile, and that the block has lost.

    `asyncio.wait_for` of Python 3.11 loses one that comes together with its result, nats-py one that comes while it
    hands over what to write; whoever cancelled would then wait for ever.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


class RecordClient(Client):
    """A client that also hands messages on at once, takes what to send in pieces, and can be cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self._takes: dict[int, Take] = {}
        self._transport = PieceTransport()
        self._ps = Incoming(self, self._takes)

    async def request(self, *args: Any, **options: Any) -> Msg:
        """As the client's own."""
        with cancellable():
            return await super().request(*args, **options)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        with cancellable():
            return await super()._flush_pending(force_flush)

    async def listen(self, subject: str, take: Take) -> Subscription:
        """Give every message on `subject` to `take`, also after a reconnect; `unlisten` ends it."""
        subscription = await self.subscribe(subject)
        self._takes[subscription._id] = take
        return subscription

    async def unlisten(self, subscription: Subscription) -> None:
        """Nothing more comes; also while the server is away."""
        self._takes.pop(subscription._id, None)
        if not self.is_closed:
            await subscription.unsubscribe()

    async def send(self, pieces: Sequence[bytes]) -> None:
        """Write whole messages to the server, in order, as soon as it takes them."""
        if not self.is_connected:
            raise ConnectionClosedError
        if self._pending_data_size > UNSENT:
            raise OutboundBufferLimitError
        self._pending.extend(pieces)
        self._pending_data_size += sum(map(len, pieces))
        assert self._flush_queue is not None
        if self._flush_queue.empty():  # a full one is not waited for: what is in it writes this too
            await self._flush_pending()
