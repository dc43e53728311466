"""Publishing to JetStream: what an answer, its absence and a lost connection mean for records in flight."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from nats.errors import Error as NatsError

from frameworks.kit.eventlog import Outgoing
from frameworks.kit.eventlog.nats_publishing import CROWDED, IN_FLIGHT, NotStored, Publisher
from frameworks.kit.eventlog.nats_wire import Take

STORED = b'{"stream":"t-0","seq":12}'


class Wire:
    """A client that keeps what it is given; the test answers."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.listeners: list[str] = []
        self.sent = asyncio.Event()
        self.take: Take

    def new_inbox(self) -> str:
        return "_INBOX.one"

    async def listen(self, subject: str, take: Take) -> None:
        self.listeners.append(subject)
        self.take = take

    async def send(self, pieces: Sequence[bytes]) -> None:
        self.replies += [head.split()[2] for head in pieces[::3]]
        self.sent.set()

    async def until(self, count: int) -> list[bytes]:
        while len(self.replies) < count:
            self.sent.clear()
            await self.sent.wait()
        return self.replies

    def answer(self, reply: bytes, payload: bytes = STORED, headers: bytes = b"") -> None:
        self.take(reply, b"", headers, payload)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def publisher(wire: Wire) -> Publisher:
    client: Any = wire
    return Publisher(client)


def some(count: int) -> list[Outgoing]:
    return [Outgoing("t", 0, b"value", {"a": "b"})] * count


async def test_it_returns_when_every_record_is_acknowledged(wire: Wire, publisher: Publisher) -> None:
    publishing = asyncio.create_task(publisher.publish(some(3)))
    for reply in reversed((await wire.until(3))[1:]):
        wire.answer(reply)
    await asyncio.sleep(0)
    assert not publishing.done()
    wire.answer(wire.replies[0])
    await publishing
    assert wire.listeners == ["_INBOX.one.*"]


async def test_an_answer_counts_once(wire: Wire, publisher: Publisher) -> None:
    publishing = asyncio.create_task(publisher.publish(some(2)))
    first, second = await wire.until(2)
    wire.answer(first)
    wire.answer(first)
    await asyncio.sleep(0)
    assert not publishing.done()
    wire.answer(second)
    await publishing


async def test_no_more_are_in_flight_than_may_be(wire: Wire, publisher: Publisher) -> None:
    publishing = asyncio.create_task(publisher.publish(some(IN_FLIGHT + 1)))
    await wire.until(IN_FLIGHT)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(wire.replies) == IN_FLIGHT
    for reply in list(wire.replies):
        wire.answer(reply)
    wire.answer((await wire.until(IN_FLIGHT + 1))[-1])
    await publishing


@pytest.mark.parametrize(
    ("payload", "headers", "reason"),
    [
        (b"", b"NATS/1.0 503\r\n\r\n", "no stream has this subject"),
        (b"", b"NATS/1.0 409 Leadership Change\r\n\r\n", "409 Leadership Change"),
        (
            b'{"error":{"code":503,"description":"maximum bytes exceeded"},"seq":0}',
            b"",
            "maximum bytes exceeded",
        ),
        (b"{}", b"", "an answer without an offset"),
        (b"stored!", b"", "an answer that makes no sense"),
        (b'{"seq":"12"}', b"", "an answer that makes no sense"),
    ],
)
async def test_the_first_that_is_not_stored_fails_all(
    wire: Wire, publisher: Publisher, payload: bytes, headers: bytes, reason: str
) -> None:
    publishing = asyncio.create_task(publisher.publish(some(3)))
    replies = await wire.until(3)
    wire.answer(replies[1], payload, headers)
    with pytest.raises(NotStored, match=reason):
        await publishing
    assert publisher.waiting == 0
    wire.answer(replies[0])


async def test_a_lost_connection_fails_what_is_in_flight_at_once(wire: Wire, publisher: Publisher) -> None:
    publishing = [asyncio.create_task(publisher.publish(some(2))) for _ in range(2)]
    await wire.until(4)
    publisher.lost()
    for one in publishing:
        with pytest.raises(TimeoutError, match="lost"):
            await one
    with pytest.raises(TimeoutError, match="lost"):
        await publisher.publish(some(1))
    assert publisher.waiting == 0
    assert len(wire.replies) == 4


async def test_it_goes_on_when_the_connection_is_back(wire: Wire, publisher: Publisher) -> None:
    publisher.lost()
    publisher.restored()
    publishing = asyncio.create_task(publisher.publish(some(1)))
    wire.answer((await wire.until(1))[0])
    await publishing


async def test_nothing_is_left_of_a_cancelled_publish(wire: Wire, publisher: Publisher) -> None:
    publishing = asyncio.create_task(publisher.publish(some(3)))
    replies = await wire.until(3)
    wire.answer(replies[0])
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    assert publisher.waiting == 0
    for reply in replies:
        wire.answer(reply)


async def test_an_answer_to_nobody_is_ignored(wire: Wire, publisher: Publisher) -> None:
    publishing = asyncio.create_task(publisher.publish(some(1)))
    (reply,) = await wire.until(1)
    for other in (b"_INBOX.one.", b"_INBOX.one.x", reply + b"9"):
        wire.answer(other)
    assert publisher.waiting == 1
    wire.answer(reply)
    await publishing


async def test_who_comes_when_it_is_crowded_waits(wire: Wire, publisher: Publisher) -> None:
    first = [asyncio.create_task(publisher.publish(some(IN_FLIGHT))) for _ in range(CROWDED // IN_FLIGHT)]
    await wire.until(CROWDED)
    late = asyncio.create_task(publisher.publish(some(1)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(wire.replies) == CROWDED
    for reply in wire.replies[:IN_FLIGHT]:
        wire.answer(reply)
    wire.answer((await wire.until(CROWDED + 1))[-1])
    await late
    publisher.lost()
    ended = await asyncio.gather(*first, return_exceptions=True)
    assert ended[0] is None
    assert all(isinstance(one, (TimeoutError, NatsError)) for one in ended[1:])
