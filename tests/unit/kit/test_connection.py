"""One HTTP connection: whole requests pass, heads are bounded in size and time, a stalled client is cut off."""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from frameworks.kit import metrics
from frameworks.kit.host.connection import (
    BODY_SECONDS,
    HEAD_SECONDS,
    LINGER_SECONDS,
    MAX_HEAD,
    MAX_PIPELINED,
    STALLED_SECONDS,
    Connection,
    connection_of,
)

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.ended = ""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body, once it is whole; `/early` at once."""
    body, more = b"", scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """A name to find the test's own refusals by."""
    return str(request.node.name)[:60]


@pytest.fixture
async def wire() -> Wire:
    """The client's end."""
    return Wire()


@pytest.fixture
async def connection(wire: Wire, service: str) -> Connection:
    """The server's end."""
    config = uvicorn.Config(echo, log_config=None, ws="none")
    made = connection_of(service)(config, ServerState(), {})
    made.connection_made(wire)
    return made


def refused(service: str, reason: str) -> float:
    """How often the test's connection was refused."""
    found = metrics.REGISTRY.get_sample_value(
        "frameworks_http_refused_total", {"service": service, "reason": reason}
    )
    return found or 0.0


async def settle() -> None:
    """Let the application answer."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_request_in_pieces_is_answered(connection: Connection, wire: Wire) -> None:
    for byte in b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello":
        connection.data_received(bytes([byte]))
    await settle()
    assert wire.written.endswith(b"\r\n\r\nhello")
    assert not wire.ended


async def test_a_long_body_is_no_long_head(connection: Connection, wire: Wire) -> None:
    connection.data_received(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n")
    connection.data_received(b"a" * 50_000)
    await settle()
    connection.data_received(b"a" * 49_999)
    await settle()
    assert wire.written.startswith(b"HTTP/1.1 200")


async def test_a_head_without_end_is_refused(connection: Connection, wire: Wire, service: str) -> None:
    connection.data_received(b"GET /x HTTP/1.1\r\nHost: h\r\nX: ")
    connection.data_received(b"a" * MAX_HEAD)
    assert wire.written.startswith(b"HTTP/1.1 431")
    assert (wire.ended, refused(service, "head")) == ("closed", 1)


@pytest.mark.parametrize("headers", [b"X: y\r\n" * 101, b"X: " + b"a" * MAX_HEAD + b"\r\n"])
async def test_a_head_that_is_too_long_is_refused(connection: Connection, wire: Wire, headers: bytes) -> None:
    connection.data_received(b"GET /x HTTP/1.1\r\nHost: h\r\n" + headers + b"\r\n")
    await settle()
    assert wire.written.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01", b"GET /x HTTP/1.1\r\n\r\n", b"BREW / HTTP/1.1\r\n"])
async def test_what_is_not_http_is_refused(
    connection: Connection, wire: Wire, service: str, garbage: bytes
) -> None:
    connection.data_received(garbage)
    assert wire.written.startswith(b"HTTP/1.1 400")
    assert (wire.ended, refused(service, "malformed")) == ("closed", 1)


async def test_requests_ahead_of_their_answers_are_bounded(
    connection: Connection, wire: Wire, service: str
) -> None:
    connection.data_received(GET * MAX_PIPELINED)
    assert not wire.ended
    connection.data_received(GET * 2)
    assert (wire.ended, refused(service, "pipelined")) == ("closed", 1)


async def test_a_head_has_to_come_in_time(connection: Connection, wire: Wire) -> None:
    now = connection.loop.time()
    connection.data_received(b"GET /x")
    connection.look(now + HEAD_SECONDS - 1)
    assert not wire.ended
    connection.look(now + HEAD_SECONDS + 1)
    assert wire.written.startswith(b"HTTP/1.1 408")


async def test_a_body_has_to_come_in_time(connection: Connection, wire: Wire) -> None:
    connection.data_received(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
    connection.look(connection.loop.time() + BODY_SECONDS + 1)
    assert wire.written.startswith(b"HTTP/1.1 408")


async def test_a_body_nobody_waits_for_may_not_go_on(connection: Connection, wire: Wire) -> None:
    connection.data_received(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
    await settle()
    assert wire.written.startswith(b"HTTP/1.1 200")
    connection.look(connection.loop.time() + LINGER_SECONDS + 1)
    assert wire.ended == "closed"
    assert wire.written.count(b"HTTP/1.1") == 1


async def test_an_application_may_take_its_time(connection: Connection, wire: Wire) -> None:
    connection.data_received(GET)
    connection.look(connection.loop.time() + 3600)
    assert not wire.ended


async def test_a_client_that_reads_nothing_is_cut_off(
    connection: Connection, wire: Wire, service: str
) -> None:
    connection.data_received(GET)
    await settle()
    now = connection.loop.time()
    for second in range(40):
        wire.unsent = 1000 - second
        connection.look(now + second)
    assert not wire.ended
    connection.look(now + 40 + STALLED_SECONDS)
    assert (wire.ended, refused(service, "stalled")) == ("aborted", 1)
