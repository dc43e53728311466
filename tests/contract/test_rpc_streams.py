"""Streams of requests and responses behave alike in process and over a socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fixtures_echo import LEAK, Side, identity

from frameworks.kit.errors import (
    Forbidden,
    NotFound,
    Unavailable,
)
from frameworks.kit.identity import TrustStore
from frameworks.kit.rpc import reading


async def test_a_stream_of_requests_is_summed(side: Side) -> None:
    leaks: list[str] = []

    async def notes() -> AsyncIterator[Any]:
        for number in range(100):
            leaks.append(LEAK.get())
            yield side.note(number=number)

    token = LEAK.set("the caller's")
    total = await side.stub.Sum(notes())
    LEAK.reset(token)
    assert total.number == 4950
    assert set(leaks) == {"the caller's"}
    assert set(side.echo.leaks) == {"nothing"}


async def test_requests_may_come_from_a_list(side: Side) -> None:
    assert (await side.stub.Sum([side.note(number=2), side.note(number=3)])).number == 5


async def test_a_servicer_may_answer_before_the_requests_end(side: Side) -> None:
    forever = asyncio.Event()

    async def notes() -> AsyncIterator[Any]:
        yield side.note(number=7)
        yield side.note(number=-1)
        await forever.wait()

    assert (await side.stub.Sum(notes())).number == 7


async def test_a_source_of_requests_that_fails_cancels_the_call_and_the_caller_sees_why(side: Side) -> None:
    async def notes() -> AsyncIterator[Any]:
        yield side.note(number=7)
        await side.echo.reached.wait()
        raise LookupError("the source broke")

    with pytest.raises(LookupError, match="the source broke"):
        await side.stub.Sum(notes())
    await side.echo.cancelled.wait()


async def test_a_stream_of_responses_arrives_in_order(side: Side) -> None:
    call = side.stub.Repeat(side.note(number=100))
    assert [reply.number async for reply in call] == list(range(100))
    assert ("seen-by", "echo") in list(await call.trailing_metadata())


async def test_responses_before_a_refusal_arrive_first(side: Side) -> None:
    replies = aiter(side.stub.Repeat(side.note("refuse", 3)))
    assert [(await anext(replies)).number for _ in range(3)] == [0, 1, 2]
    with pytest.raises(NotFound) as caught:
        await anext(replies)
    assert caught.value.code == "echo.no_such_note"


async def test_a_stream_is_denied_before_the_servicer(side: Side, echo_trust: TrustStore) -> None:
    with pytest.raises(Forbidden):
        async for _ in side.stub_as(identity(echo_trust, "commodore")).Repeat(side.note(number=3)):
            pass
    assert not side.echo.cancelled.is_set()


async def test_a_refusal_is_told_also_to_who_is_still_sending(side: Side, echo_trust: TrustStore) -> None:
    stub = side.stub_as(identity(echo_trust, "commodore"))
    for _ in range(40):
        with pytest.raises(Forbidden):
            async for _ in stub.Chat([side.note("x" * 65536)] * 64):
                pass


async def test_leaving_a_stream_ends_the_servicer(side: Side) -> None:
    with reading(side.stub.Repeat(side.note("wait", 3))) as replies:
        async for reply in replies:
            if reply.number == 2:
                break
    await side.echo.cancelled.wait()


async def test_dropping_a_stream_ends_the_servicer(side: Side) -> None:
    async for _ in side.stub.Repeat(side.note("wait", 3)):
        break
    await side.echo.cancelled.wait()


async def test_a_slow_reader_holds_the_servicer_back(side: Side) -> None:
    call = side.stub.Repeat(side.note("x" * 10, 1_000_000))
    await anext(aiter(call))
    for _ in range(100):
        await asyncio.sleep(0)
    assert side.echo.sent < 500_000
    call.cancel()


async def test_a_deadline_ends_a_stream(side: Side) -> None:
    with pytest.raises(Unavailable) as caught:
        async for _ in side.stub.Repeat(side.note("wait", 1), timeout=0.2):
            pass
    assert caught.value.code == "rpc.deadline"
    await side.echo.cancelled.wait()


async def test_both_directions_stream_at_once(side: Side) -> None:
    answered = asyncio.Event()

    async def notes() -> AsyncIterator[Any]:
        yield side.note("one")
        await answered.wait()
        yield side.note("two")

    seen = []
    async for reply in side.stub.Chat(notes()):
        seen.append(reply.text)
        answered.set()
    assert seen == ["ONE", "TWO"]
