"""HTTP/1.1 as a media server needs it: bytes to requests without bodies, response heads to bytes; bounded."""

from collections import deque
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qsl, unquote

import httptools

from frameworks.kit.errors import Refusal

MAX_HEAD = 16 * 1024
MAX_HEADERS = 64
MAX_QUEUED = 32

REASONS = {
    200: "OK",
    204: "No Content",
    206: "Partial Content",
    307: "Temporary Redirect",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    416: "Range Not Satisfiable",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class BadRequest(Refusal):
    """Bytes that are not a request we take; answer `status` and close."""

    code: ClassVar = "mist.bad_request"

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `path` is decoded, header names are lower case."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    keep_alive: bool
    size: int = 0
    """Bytes it took on the wire."""

    def cookie(self, name: str) -> str:
        """A cookie's value, or an empty string."""
        for pair in self.headers.get("cookie", "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return ""


class RequestParser:
    """Bytes in, requests out; raises BadRequest, after which it must not be fed again."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._unread = 0
        self._lines = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._ready: deque[Request] = deque()

    @property
    def is_mid_request(self) -> bool:
        """Whether part of a request has come."""
        return self._unread > 0

    def feed(self, received: bytes) -> None:
        """Take bytes from the peer."""
        self._unread += len(received)
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserUpgrade as upgrade:
            raise BadRequest("Upgrades are not offered.") from upgrade
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise cause if isinstance(cause, BadRequest) else BadRequest("That is not HTTP.") from error
        if self._unread > MAX_HEAD:
            raise BadRequest("The request is too long.", 431)

    def next(self) -> Request | None:
        """The next whole request, in order."""
        return self._ready.popleft() if self._ready else None

    def on_url(self, url: bytes) -> None:
        """httptools found (a piece of) the target."""
        self._url += url
        if len(self._url) > MAX_HEAD:
            raise BadRequest("The target is too long.", 431)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools found a header."""
        self._lines += 1
        if self._lines > MAX_HEADERS:
            raise BadRequest("Too many headers.", 431)
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """httptools found a body, which no request of ours has."""
        raise BadRequest("Requests have no body here.", 413)

    def on_message_complete(self) -> None:
        """httptools found the end of a request."""
        if len(self._ready) >= MAX_QUEUED:
            raise BadRequest("Too many requests at once.")
        version = self._parser.get_http_version()
        if version == "1.1" and "host" not in self._headers:
            raise BadRequest("A Host header is required.")
        method = self._parser.get_method().decode("ascii")
        self._ready.append(
            _request(
                method, self._url, self._headers, keep=self._parser.should_keep_alive(), size=self._unread
            )
        )
        self._url, self._headers, self._unread, self._lines = b"", {}, 0, 0


def _request(method: str, url: bytes, headers: dict[str, str], *, keep: bool, size: int) -> Request:
    try:
        target = url.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadRequest("The target is not ASCII.") from error
    raw_path, _, raw_query = target.partition("?")
    if not raw_path.startswith("/") and target != "*":
        raise BadRequest("The target is not a path.")
    try:
        query = dict(parse_qsl(raw_query, keep_blank_values=True, max_num_fields=32)) if raw_query else {}
    except ValueError as error:
        raise BadRequest("Too many query fields.") from error
    path = unquote(raw_path) if "%" in raw_path else raw_path
    if any(ord(character) < 0x20 or character == "\x7f" for character in path):
        raise BadRequest("The path has control characters.")
    return Request(method, target, path, query, headers, keep, size)


def response_head(status: int, length: int | None, headers: str, *, keep_alive: bool) -> bytes:
    """Status line and headers; `headers` is whole lines; `length` None for a status without a body."""
    connection = "" if keep_alive else "Connection: close\r\n"
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 {status} {REASONS[status]}\r\n{size}{connection}{headers}\r\n".encode("latin-1")


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """(first, last) of a single satisfiable range; None for a header to ignore; raises BadRequest(416)."""
    unit, _, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    if unit.strip() != "bytes" or not dash or "," in spec or not (first + last).isascii():
        return None
    if (first and not first.isdigit()) or (last and not last.isdigit()) or not (first or last):
        return None
    if len(first) > 15 or len(last) > 15:
        raise BadRequest("That range is beyond the end.", 416)
    start = int(first) if first else max(0, size - int(last))
    end = min(size - 1, int(last)) if first and last else size - 1
    if first and last and int(last) < int(first):
        return None
    if start > end or (not first and int(last) == 0):
        raise BadRequest("That range is beyond the end.", 416)
    return start, end
