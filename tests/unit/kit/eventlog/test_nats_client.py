"""Our path through nats-py's client, against a server that a test scripts; fails when nats-py changes inside."""

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import Transport
from nats.errors import ConnectionClosedError, OutboundBufferLimitError
from nats.protocol.parser import Parser

from frameworks.kit.eventlog import nats_client
from frameworks.kit.eventlog.nats_client import ROOM, PieceTransport, RecordClient

INFO = b'INFO {"server_id":"x","version":"2.15.1","headers":true,"max_payload":8388608}\r\n'


class Server:
    """The other end of every connection a client makes, one at a time."""

    def __init__(self) -> None:
        self.url = ""
        self.said: list[bytes] = []
        self.heard = asyncio.Event()
        self.writer: asyncio.StreamWriter
        self.reading = asyncio.Event()
        self.reading.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        writer.write(INFO)
        while line := await reader.readline():
            await self.reading.wait()
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
            self.said.append(line)
            self.heard.set()
        writer.close()

    async def until(self, line: bytes, times: int = 1) -> None:
        while self.said.count(line) < times:
            self.heard.clear()
            await self.heard.wait()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    here = Server()
    listening = await asyncio.start_server(here.serve, "127.0.0.1", 0)
    here_at = listening.sockets[0].getsockname()[1]
    here.url = f"nats://127.0.0.1:{here_at}"
    yield here
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[RecordClient]:
    made = RecordClient()
    await made.connect(server.url, reconnect_time_wait=0, pending_size=0, error_cb=ignored)
    yield made
    await made.close()


async def ignored(_: Exception) -> None:
    """Tests lose connections on purpose."""


class Heard:
    """What a listener was told, and when it is enough."""

    def __init__(self, enough: int = 1) -> None:
        self.messages: list[tuple[bytes, bytes, bytes, bytes]] = []
        self.done = asyncio.Event()
        self._enough = enough

    def take(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        self.messages.append((subject, reply, headers, payload))
        if len(self.messages) == self._enough:
            self.done.set()


async def test_what_is_relied_on_inside_nats_py_is_there() -> None:
    assert inspect.iscoroutinefunction(Parser.parse)
    assert inspect.iscoroutinefunction(Client._flush_pending)
    assert list(inspect.signature(Client._process_msg).parameters) == [
        "self",
        "sid",
        "subject",
        "reply",
        "data",
        "headers",
    ]
    plain = Client()
    assert isinstance(plain._ps, Parser)
    assert plain._transport is None
    assert plain._pending == []
    assert plain._pending_data_size == 0
    assert plain._flush_queue is None
    assert Subscription(plain, 5)._id == 5
    assert {"buf", "state"} <= vars(plain._ps).keys()
    assert Transport.__abstractmethods__ <= vars(PieceTransport).keys()


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(
    server: Server, client: RecordClient
) -> None:
    asked = asyncio.create_task(client.request("a", timeout=5))
    async with asyncio.timeout(5):
        while not client._resp_map:
            server.heard.clear()
            await server.heard.wait()
    [answer] = client._resp_map.values()
    answer.set_result(Msg(client))
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_a_cancellation_while_what_to_write_is_handed_over_is_not_lost(client: RecordClient) -> None:
    queue, full = client._flush_queue, asyncio.Queue[asyncio.Future[None]](1)
    full.put_nowait(asyncio.get_running_loop().create_future())
    client._flush_queue = full
    listening = asyncio.create_task(client.subscribe("a"))
    await asyncio.sleep(0)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    client._flush_queue = queue


async def test_a_listener_gets_messages_in_order_and_others_theirs(
    server: Server, client: RecordClient
) -> None:
    heard, queued = Heard(2), await client.subscribe("b")
    await client.listen("a", heard.take)
    await server.until(b"SUB a  2\r\n")
    value = bytes(3 * ROOM)
    server.writer.write(
        b"HMSG a 2 r 12 %d\r\nNATS/1.0\r\n\r\n%b\r\nMSG b 1 3\r\none\r\nMSG a 2 3\r\ntwo\r\n"
        % (len(value) + 12, value)
    )
    await heard.done.wait()
    assert heard.messages == [(b"a", b"r", b"NATS/1.0\r\n\r\n", value), (b"a", b"", b"", b"two")]
    assert (await queued.next_msg()).data == b"one"


async def test_a_listener_goes_on_after_a_reconnect(server: Server, client: RecordClient) -> None:
    heard = Heard()
    await client.listen("a", heard.take)
    await server.until(b"SUB a  1\r\n")
    server.writer.write(b"MSG a 1 10\r\nhalf")
    server.writer.close()
    await server.until(b"SUB a  1\r\n", times=2)
    server.writer.write(b"MSG a 1 3\r\none\r\n")
    await heard.done.wait()
    assert heard.messages == [(b"a", b"", b"", b"one")]


async def test_garbage_makes_it_connect_again(server: Server, client: RecordClient) -> None:
    await client.listen("a", Heard().take)
    await server.until(b"SUB a  1\r\n")
    server.writer.write(b"MSG a 1 x\r\n")
    await server.until(b"SUB a  1\r\n", times=2)


async def test_who_has_left_gets_nothing_more(server: Server, client: RecordClient) -> None:
    heard, other = Heard(), Heard()
    left = await client.listen("a", heard.take)
    await client.listen("b", other.take)
    await client.unlisten(left)
    await server.until(b"UNSUB 1 \r\n")
    server.writer.write(b"MSG a 1 3\r\none\r\nMSG b 2 3\r\ntwo\r\n")
    await other.done.wait()
    assert heard.messages == []


async def test_one_can_leave_after_the_connection_was_closed(client: RecordClient) -> None:
    left = await client.listen("a", Heard().take)
    await client.close()
    await client.unlisten(left)
    with pytest.raises(ConnectionClosedError):
        await client.send([b"PUB a 0\r\n", b"", b"\r\n"])


async def test_what_is_sent_arrives_whole_and_in_order(server: Server, client: RecordClient) -> None:
    await asyncio.gather(*(client.send([b"PUB a %d\r\n" % n, b"x" * n, b"\r\n"]) for n in (1, 2, 3)))
    await server.until(b"xxx\r\n")
    assert server.said[-6:] == [
        b"PUB a 1\r\n",
        b"x\r\n",
        b"PUB a 2\r\n",
        b"xx\r\n",
        b"PUB a 3\r\n",
        b"xxx\r\n",
    ]


async def test_a_server_that_takes_nothing_counts_as_away(
    server: Server, client: RecordClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_client, "UNSENT", 100_000)
    server.reading.clear()

    async def send_for_ever() -> None:
        while True:
            await client.send([b"x" * 60_000 + b"\r\n"])

    with pytest.raises(OutboundBufferLimitError):
        await send_for_ever()
    server.reading.set()
