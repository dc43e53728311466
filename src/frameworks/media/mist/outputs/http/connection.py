"""One viewer's connection: requests in order, answers from memory, and an end to those who stall."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from frameworks.media.mist.protocols import http1
from frameworks.media.mist.protocols.http1 import BadRequest, Request, RequestParser

HEAD_SECONDS = 10.0
IDLE_SECONDS = 30.0
UNSENT = 256 * 1024
"""Bytes waiting in the socket's buffer above which the next request is not looked at."""
SLOWEST = 8 * 1024
"""Bytes per second below which a viewer is cut off."""
PACE_SECONDS = 10.0
"""Over how long that is measured."""

CORS = (
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Expose-Headers: *\r\n"
    "Timing-Allow-Origin: *\r\n"
    "X-Content-Type-Options: nosniff\r\n"
)
PREFLIGHT = CORS + (
    "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"
    "Access-Control-Allow-Headers: *, Authorization, Range\r\n"
    "Access-Control-Max-Age: 86400\r\n"
)


class Listener(Protocol):
    """What a connection needs of its server."""

    def admits(self, connection: "Connection", address: str) -> bool:
        """Whether there is room for another connection."""

    def left(self, connection: "Connection") -> None:
        """The connection is gone."""

    def refused(self, reason: str) -> None:
        """Count a refusal, by its status or by what it was about."""

    def handle(self, exchange: "Exchange") -> None:
        """Answer a request now, or keep the exchange and answer later."""

    def now(self) -> float:
        """Monotonic seconds."""


class Exchange:
    """A request and the way to answer it, exactly once; `on_gone` is called when the viewer leaves first."""

    def __init__(self, connection: "Connection", request: Request) -> None:
        self.request = request
        self.address = connection.address
        self.secure = connection.secure
        self.on_gone: Callable[[], None] | None = None
        self._connection = connection
        self.is_answered = False

    def reply(
        self, status: int, kind: str, body: Sequence[bytes], *, headers: str = "", ranged: bool = False
    ) -> int:
        """Send an answer; returns the body bytes put on the wire, 0 when the viewer is gone."""
        if self.is_answered:
            return 0
        self.is_answered = True
        size = sum(map(len, body))
        lines = f"Content-Type: {kind}\r\n{headers}{CORS}"
        wanted = self.request.headers.get("range") if ranged and status == 200 else None
        if wanted is not None:
            try:
                chosen = http1.byte_range(wanted, size)
            except BadRequest:
                return self._connection.answer(416, [], f"Content-Range: bytes */{size}\r\n{CORS}")
            if chosen is not None:
                lines += f"Content-Range: bytes {chosen[0]}-{chosen[1]}/{size}\r\n"
                return self._connection.answer(206, _slice(body, *chosen), lines)
        return self._connection.answer(status, body, lines + ("Accept-Ranges: bytes\r\n" if ranged else ""))

    def fail(self, status: int, text: str, *, headers: str = "") -> None:
        """Answer with a sentence that is not to be cached."""
        self.reply(status, "text/plain", [text.encode()], headers=f"Cache-Control: no-store\r\n{headers}")

    def preflight(self) -> None:
        """Answer OPTIONS."""
        self.is_answered = True
        self._connection.answer(204, None, PREFLIGHT)


def _slice(body: Sequence[bytes], first: int, last: int) -> list[bytes]:
    """Bytes `first` to `last` of a body in pieces, copying only the pieces that are cut."""
    found, offset = [], 0
    for piece in body:
        start, end = max(0, first - offset), min(len(piece), last + 1 - offset)
        if start < end:
            found.append(piece[start:end])
        offset += len(piece)
    return found


class Connection(asyncio.Protocol):
    """Parses, hands requests to the listener one at a time, writes answers, watches the clock."""

    def __init__(self, listener: Listener, *, secure: bool) -> None:
        self.address = ""
        self.secure = secure
        self._listener = listener
        self._parser = RequestParser()
        self._exchange: Exchange | None = None
        self._failed: BadRequest | None = None
        self._paused = False
        self._ending = False
        self._advancing = False
        self._since = listener.now()
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A viewer connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        if not self._listener.admits(self, self.address):
            self._ending = True
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The viewer is gone."""
        self._ending = True
        self._listener.left(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.on_gone is not None:
            exchange.on_gone()

    def data_received(self, data: bytes) -> None:
        """Bytes of the viewer."""
        if self._ending or self._failed is not None:
            return
        if not self._parser.is_mid_request and self._exchange is None:
            self._since = self._listener.now()
        try:
            self._parser.feed(data)
        except BadRequest as failed:
            self._failed = failed
        self._advance()

    def pause_writing(self) -> None:
        """The viewer reads slower than we send."""
        self._paused = True
        self._since = self._listener.now()
        self._unsent = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """The viewer caught up."""
        self._paused = False
        self._since = self._listener.now()
        self._advance()

    def _advance(self) -> None:
        """Start on the next request, when there is one and nothing holds it back."""
        self._advancing = True
        while self._exchange is None and not self._paused and not self._ending:
            request = self._parser.next()
            if request is None:
                break
            self._exchange = Exchange(self, request)
            self._listener.handle(self._exchange)
        self._advancing = False
        if self._failed is not None and self._exchange is None and not self._ending:
            self._refuse(self._failed.status, self._failed.message)

    def _refuse(self, status: int, text: str) -> None:
        self._ending = True
        self._listener.refused(str(status))
        body = text.encode()
        lines = f"Content-Type: text/plain\r\n{CORS}"
        self._transport.write(http1.response_head(status, len(body), lines, keep_alive=False) + body)
        self._transport.close()

    def answer(self, status: int, body: Sequence[bytes] | None, lines: str) -> int:
        """Write the answer to the current request; returns the body bytes written."""
        exchange, self._exchange = self._exchange, None
        if exchange is None or self._ending:
            return 0
        if status >= 400:
            self._listener.refused(str(status))
        keep = exchange.request.keep_alive and self._failed is None
        size = None if body is None else sum(map(len, body))
        head = http1.response_head(status, size, lines, keep_alive=keep)
        sent = bool(body) and exchange.request.method != "HEAD"
        self._transport.writelines([head, *body] if sent and body else [head])
        self._since = self._listener.now()
        self._unsent = self._transport.get_write_buffer_size()
        if not keep:
            self._ending = True
            self._transport.close()
        elif not self._advancing:
            self._advance()
        return (size or 0) if sent else 0

    def check(self, now: float) -> None:
        """Look at the clock: cut off a viewer that stalls in a request, a download, or between them."""
        waited = now - self._since
        if self._paused or self._transport.is_closing():
            self._check_pace(now, waited)
        elif self._exchange is None:
            if self._parser.is_mid_request and waited > HEAD_SECONDS:
                self._refuse(408, "The request took too long.")
            elif waited > IDLE_SECONDS:
                self._ending = True
                self._transport.close()

    def _check_pace(self, now: float, waited: float) -> None:
        if waited < PACE_SECONDS:
            return
        left = self._transport.get_write_buffer_size()
        if self._unsent - left < SLOWEST * waited:
            self._listener.refused("slow")
            self._transport.abort()
        self._since, self._unsent = now, left

    def close(self) -> None:
        """Cut the connection."""
        self._ending = True
        self._transport.abort()
