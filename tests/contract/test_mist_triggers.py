"""The trigger client against handlers that answer, refuse, redirect, garble, hang or are not there."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fixtures_mist import Exchange, FakeHelmsman, says

from frameworks.kit import trace
from frameworks.kit.clock import SystemClock
from frameworks.media.mist.api.triggers import LANES, TriggerClient
from frameworks.media.mist.protocols.trigger import Action, Handler


@dataclass
class Configured:
    """Handlers as the storage holds them."""

    handlers: Mapping[str, Sequence[Handler]] = field(default_factory=dict)
    serverid: str = "node-1"


def client(url: str, trigger: str, *, onfail: Action | None = None, sync: bool = True) -> TriggerClient:
    """A client with one handler for one trigger, impatient."""
    configured = Configured({trigger: [Handler(url, sync=sync, onfail=onfail)]})
    return TriggerClient(SystemClock(), configured, instance="i" * 16, version="1", quiet=0.2)


@asynccontextmanager
async def running(triggers: TriggerClient) -> AsyncIterator[None]:
    """With its lanes."""
    tasks = [asyncio.create_task(triggers.run(lane)) for lane in range(LANES)]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_unconfigured_trigger_asks_nobody() -> None:
    triggers = client("http://127.0.0.1:9/", "USER_NEW")
    assert await triggers.ask("PUSH_REWRITE", "key", ["a"]) is None


async def test_both_dialects_decide(fake_helmsman: FakeHelmsman) -> None:
    triggers = client(fake_helmsman.url, "PUSH_REWRITE")
    verdict = await triggers.ask("PUSH_REWRITE", "key", ["url", "host", "key"], pid=77)
    assert verdict is not None
    assert (verdict.action, verdict.value) == (Action.VALUE, "live+key")
    assert fake_helmsman.heard[0].headers["X-PID"] == "77"
    fake_helmsman.answers["PUSH_REWRITE"] = lambda _: says(
        "", X_Mist_Trigger_Action="deny", X_Mist_Trigger_Reason="No."
    )
    verdict = await triggers.ask("PUSH_REWRITE", "key", ["url", "host", "key"])
    assert verdict is not None
    assert (verdict.action, verdict.reason, verdict.failed) == (Action.DENY, "No.", False)


async def test_a_hung_handler_is_tried_five_times_with_one_uuid(fake_helmsman: FakeHelmsman) -> None:
    fake_helmsman.answers["USER_NEW"] = lambda _: None
    triggers = client(fake_helmsman.url, "USER_NEW", onfail=Action.DENY)
    verdict = await triggers.ask("USER_NEW", "live+a", ["live+a"])
    assert verdict is not None
    assert (verdict.action, verdict.failed) == (Action.DENY, True)
    attempts = [exchange.headers for exchange in fake_helmsman.of("USER_NEW")]
    assert [headers["X-Attempt"] for headers in attempts] == ["1", "2", "3", "4", "5"]
    assert len({headers["X-Trigger-UUID"] for headers in attempts}) == 1
    assert len({trace_of(exchange) for exchange in fake_helmsman.of("USER_NEW")}) == 1
    assert triggers.tallies["USER_NEW"].fails == 1


def trace_of(exchange: Exchange) -> str:
    """The trace a firing was sent in."""
    return exchange.headers["traceparent"].split("-")[1]


async def test_a_firing_is_within_the_trace_it_happened_in_or_begins_one(fake_helmsman: FakeHelmsman) -> None:
    triggers = client(fake_helmsman.url, "USER_NEW")
    await triggers.ask("USER_NEW", "live+a", ["live+a"])
    await triggers.ask("USER_NEW", "live+a", ["live+a"])
    token = trace.current.set("0af7651916cd43dd8448eb211c80319c")
    await triggers.ask("USER_NEW", "live+a", ["live+a"])
    trace.current.reset(token)
    traces = [trace_of(exchange) for exchange in fake_helmsman.of("USER_NEW")]
    assert len(set(traces)) == 3
    assert traces[2] == "0af7651916cd43dd8448eb211c80319c"


async def test_what_is_told_later_keeps_the_trace_it_happened_in(fake_helmsman: FakeHelmsman) -> None:
    triggers = client(fake_helmsman.url, "STREAM_BUFFER", sync=False)
    token = trace.current.set("0af7651916cd43dd8448eb211c80319c")
    triggers.tell("STREAM_BUFFER", "live+a", ["live+a", "FULL"])
    trace.current.reset(token)
    async with running(triggers):
        told = await fake_helmsman.wait_for("STREAM_BUFFER")
    assert trace_of(told) == "0af7651916cd43dd8448eb211c80319c"


async def test_an_error_status_is_final(fake_helmsman: FakeHelmsman) -> None:
    fake_helmsman.answers["PUSH_REWRITE"] = lambda _: b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"
    triggers = client(fake_helmsman.url, "PUSH_REWRITE")
    verdict = await triggers.ask("PUSH_REWRITE", "key", ["a"])
    assert verdict is not None
    assert (verdict.value, verdict.failed) == ("true", True)
    assert len(fake_helmsman.heard) == 1


async def test_nobody_there_is_a_failure() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    verdict = await client(f"http://127.0.0.1:{port}/", "PLAY_REWRITE", onfail=Action.DENY).ask(
        "PLAY_REWRITE", "pb", ["pb"]
    )
    assert verdict is not None
    assert verdict.failed


async def test_a_redirect_is_followed(fake_helmsman: FakeHelmsman) -> None:
    def once(exchange: Exchange) -> bytes:
        if len(fake_helmsman.heard) == 0:
            return b"HTTP/1.1 307 There\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        return says("live+found")

    fake_helmsman.answers["PUSH_REWRITE"] = once
    verdict = await client(fake_helmsman.url, "PUSH_REWRITE").ask("PUSH_REWRITE", "key", ["a"])
    assert verdict is not None
    assert verdict.value == "live+found"


async def test_garbage_and_wrong_actions_are_failures(fake_helmsman: FakeHelmsman) -> None:
    triggers = client(fake_helmsman.url, "USER_NEW", onfail=Action.DENY)
    for answer in (
        b"garbage\r\n\r\n",
        says("true", X_Mist_Trigger_Action="keep"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    ):
        fake_helmsman.answers["USER_NEW"] = lambda _, answer=answer: answer  # type: ignore[misc]
        verdict = await triggers.ask("USER_NEW", "live+a", ["x"])
        assert verdict is not None
        assert verdict.failed


async def test_asynchronous_triggers_leave_in_order_and_read_no_answer(fake_helmsman: FakeHelmsman) -> None:
    fake_helmsman.answers["STREAM_BUFFER"] = lambda _: None
    triggers = client(fake_helmsman.url, "STREAM_BUFFER", sync=False)
    async with running(triggers):
        for index in range(20):
            triggers.tell("STREAM_BUFFER", "live+a", ["live+a", str(index)])
        await fake_helmsman.wait_for("STREAM_BUFFER", count=20)
    assert sorted(int(exchange.lines[1]) for exchange in fake_helmsman.heard) == list(range(20))
    assert triggers.tallies["STREAM_BUFFER"].fails == 0


async def test_the_queue_is_bounded() -> None:
    triggers = client("http://127.0.0.1:9/", "STREAM_BUFFER", sync=False)
    for _ in range(2000):
        triggers.tell("STREAM_BUFFER", "live+a", ["live+a"])
    assert triggers.dropped == 2000 - 1024


async def test_a_stopping_node_still_tells_what_it_ended(fake_helmsman: FakeHelmsman) -> None:
    triggers = client(fake_helmsman.url, "STREAM_END", sync=False)
    for index in range(5):
        triggers.tell("STREAM_END", "live+a", ["live+a", str(index)])
    await triggers.flush(5.0)
    await fake_helmsman.wait_for("STREAM_END", count=5)
    assert [exchange.lines[1] for exchange in fake_helmsman.heard] == ["0", "1", "2", "3", "4"]
