"""The viewers' listener against peers that stall, wait, send noise, or speak TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fixtures_mist import RunningNode, eventually, running_node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameworks.kit.clock import FakeClock
from frameworks.media.mist.outputs.http.connection import Exchange
from frameworks.media.mist.outputs.http.server import HttpServer

ASK = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def large(exchange: Exchange) -> None:
    """Answer with more than any socket buffers."""
    exchange.reply(200, "video/mp4", [bytes(1 << 20)] * 64)


@asynccontextmanager
async def serving(
    route: Callable[[Exchange], None], clock: FakeClock
) -> AsyncIterator[tuple[HttpServer, int]]:
    """A listener under a fake clock."""
    server = HttpServer(route, clock, most=10, most_per_address=10, exempt=frozenset())
    port = await server.listen("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.close()


async def connected(server: HttpServer, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that the server has seen."""
    before = server.connections
    streams = await asyncio.open_connection("127.0.0.1", port)
    await eventually(lambda: _true(server.connections > before))
    return streams


async def _true(condition: bool) -> bool | None:
    return condition or None


async def test_a_viewer_that_reads_too_slowly_is_cut_off() -> None:
    clock = FakeClock()
    async with serving(large, clock) as (server, port):
        reader, writer = await connected(server, port)
        writer.write(ASK)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await clock.advance(9)
        server.sweep()
        assert server.connections == 1
        await clock.advance(2)
        server.sweep()
        await eventually(lambda: _true(server.connections == 0))
        writer.close()


async def test_a_connection_that_asks_nothing_is_closed() -> None:
    clock = FakeClock()
    async with serving(large, clock) as (server, port):
        reader, writer = await connected(server, port)
        await clock.advance(31)
        server.sweep()
        assert await reader.read() == b""
        writer.close()


async def test_half_a_request_times_out() -> None:
    clock = FakeClock()
    async with serving(large, clock) as (server, port):
        reader, writer = await connected(server, port)
        writer.write(ASK[:20])
        await writer.drain()
        connection = next(iter(server._connections))
        await eventually(lambda: _true(connection._parser.is_mid_request))
        await clock.advance(11)
        server.sweep()
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_one_address_can_not_take_every_place() -> None:
    clock = FakeClock()
    async with serving(large, clock) as (server, port):
        held = [await connected(server, port) for _ in range(10)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await _is_refused(reader)
        for _, opened in (*held, (reader, writer)):
            opened.close()
        await eventually(lambda: _true(server.connections == 0))


async def _is_refused(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_a_viewer_that_leaves_is_forgotten_while_it_waits() -> None:
    clock, gone = FakeClock(), asyncio.Event()

    def never(exchange: Exchange) -> None:
        exchange.on_gone = gone.set

    async with serving(never, clock) as (server, port):
        _, writer = await connected(server, port)
        writer.write(ASK)
        await writer.drain()
        connection = next(iter(server._connections))
        await eventually(lambda: _true(connection._exchange is not None))
        writer.close()
        await gone.wait()


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_noise_gets_an_answer_or_a_closed_connection(mist: RunningNode, noise: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(mist.http.rpartition(":")[2]))
    try:
        for piece in noise:
            writer.write(piece)
        writer.write(b"\r\n\r\n\0\0\0\0")
        writer.write_eof()
        async with asyncio.timeout(20):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    writer.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("node")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, pkcs8, unencrypted))
    return chain, private


async def test_viewers_may_be_served_over_tls(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    async with running_node(tls_certificate=chain, tls_key=key) as node:
        port = int(node.http.rpartition(":")[2])
        trust = ssl.create_default_context(cafile=str(chain))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="node")
        writer.write(b"GET /json_x.js HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        assert answer.endswith(b'{"error": "Stream is offline"}')
        writer.close()
        await writer.wait_closed()


async def test_publishers_may_be_served_over_tls(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    async with running_node(tls_certificate=chain, tls_key=key) as node:
        trust = ssl.create_default_context(cafile=str(chain))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", node.ports["rtmps"], ssl=trust, server_hostname="node"
        )
        writer.write(b"\x03" + bytes(1536))
        assert (await reader.readexactly(1)) == b"\x03"
        writer.close()
        await writer.wait_closed()
