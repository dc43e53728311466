"""One HTTP/1.1 connection: uvicorn's, with a bounded head, deadlines, and every refusal counted."""

from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from frameworks.kit import metrics

MAX_HEAD = 32 * 1024
"""Bytes of a request's line and headers."""
MAX_HEADERS = 100
MAX_PIPELINED = 32
"""Requests a client may send ahead of their answers."""
HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
STALLED_SECONDS = 30.0
"""How long a client may read nothing of an answer that waits for it."""
LINGER_SECONDS = 2.0
"""How long a client that was answered before it sent its whole body has to read why."""

_REFUSED = metrics.counter(
    "frameworks_http_refused_total",
    "Requests and connections ended before the application saw them, by reason; growing means an attack, "
    "or a proxy that speaks something else.",
    ("service", "reason"),
)


class _TooLong(Exception):
    """A head beyond its limits; raised through the parser."""


class _TooMany(Exception):
    """Too many requests ahead of their answers; raised through the parser."""


class Connection(HttpToolsProtocol):
    """Serves requests of one client of `service`; `look` has to be called about once a second."""

    service: ClassVar = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head = 0
        """Bytes that came since the last request was whole."""
        self._in_body = False
        self._since = self._stalled_since = self.loop.time()
        self._unsent = 0

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._unset_keepalive_if_required()
        if self._head == 0 and not self._in_body:
            self._since = self.loop.time()
        self._head += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError as error:
            self._refuse_unparsed(error)
        else:
            if self._head > MAX_HEAD and not self._in_body:
                self._refuse(431, "head", "The request's headers are too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser found a header."""
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            raise _TooLong

    def on_headers_complete(self) -> None:
        """The head is whole: the request starts, or waits for those before it."""
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            raise _TooLong
        if self.parser.get_http_version() == "1.1" and not any(name == b"host" for name, _ in self.headers):
            raise ValueError("a Host header is required")
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _TooMany
        self._in_body = True
        self._since = self.loop.time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_body = False
        self._head = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written."""
        self._since = self.loop.time()
        super().on_response_complete()

    def look(self, now: float) -> None:
        """Once a second: end a client that stalls in its head, its body, or our answer."""
        if self.transport is None or self._ends_stalled(now):
            return
        waited, is_answered = now - self._since, self.cycle is not None and self.cycle.response_complete
        if self.transport.is_closing():
            return
        if self._in_body:
            if is_answered and waited > LINGER_SECONDS:
                self.transport.close()
            elif waited > BODY_SECONDS:
                self._refuse(408, "body_time", "The body took too long.")
        elif waited > HEAD_SECONDS and (self._head or self.cycle is None):
            self._refuse(408, "head_time", "The request took too long.")

    def _ends_stalled(self, now: float) -> bool:
        """Cut off a client that reads nothing of what waits for it; whether it was."""
        left = self.transport.get_write_buffer_size()
        if left == 0 or left != self._unsent:
            self._unsent, self._stalled_since = left, now
        if now - self._stalled_since <= STALLED_SECONDS:
            return False
        _REFUSED.labels(self.service, "stalled").inc()
        self.transport.abort()
        return True

    def _refuse_unparsed(self, error: Exception) -> None:
        match error.__context__:
            case _TooLong():
                self._refuse(431, "head", "The request's headers are too long.")
            case _TooMany():
                self._refuse(400, "pipelined", "Too many requests at once.")
            case _:
                self._refuse(400, "malformed", "That is not HTTP.")

    def _refuse(self, status: int, reason: str, sentence: str) -> None:
        _REFUSED.labels(self.service, reason).inc()
        # In the middle of an answer, a refusal would be taken for a part of it.
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            length = f"content-length: {len(sentence)}\r\n\r\n{sentence}".encode()
            self.transport.write(STATUS_LINE[status] + head + length)
        self.transport.close()


def connection_of(service: str) -> type[Connection]:
    """The connections of one service's listener."""
    return type("Connection", (Connection,), {"service": service})
