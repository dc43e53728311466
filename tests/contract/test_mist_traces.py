"""All that a node asks and tells of one publisher, or of one viewer, is one trace; on either event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop
from fixtures_http import http_client
from fixtures_mist import AUDIO, VIDEO, Exchange, FakeHelmsman, RunningNode, helmsman, media, running_node
from test_rtmp_server import TRACKS

from frameworks.kit import trace
from frameworks.media.mist.domain import Frame
from frameworks.media.mist.hub.lease import Publisher
from frameworks.media.mist.servers.rtmp_client import RtmpPublisher

KEY = "sk_" + "a" * 32
TRACE = "0af7651916cd43dd8448eb211c80319c"
Run = Callable[[Coroutine[Any, Any, None]], None]


def trace_of(exchange: Exchange) -> str:
    """The trace a trigger was sent in."""
    return exchange.headers["traceparent"].split("-")[1]


async def until(over: asyncio.Event) -> AsyncIterator[Frame]:
    """Three seconds of media at once, then nothing until it is over."""
    for frame in media(3.0):
        yield frame
    await over.wait()


async def publish(mist: RunningNode, over: asyncio.Event) -> None:
    """Our own publisher, on the node."""
    await RtmpPublisher(f"{mist.rtmp}/live/{KEY}").publish(TRACKS, until(over))


async def a_publisher_is_one_trace() -> None:
    async with helmsman() as fake, running_node() as mist:
        await mist.configure(fake)
        traces = []
        for count in (1, 2):
            over = asyncio.Event()
            publishing = asyncio.create_task(publish(mist, over))
            asked = await fake.wait_for("PUSH_REWRITE", count=count)
            told = await fake.wait_for("STREAM_BUFFER", count=count)
            over.set()
            await publishing
            left = await fake.wait_for("PUSH_INPUT_CLOSE", count=count)
            ended = await fake.wait_for("STREAM_END", count=count)
            assert told.lines[1] == "FULL"
            assert len({trace_of(one) for one in (asked, told, left, ended)}) == 1
            traces.append(trace_of(asked))
            fake.heard = [heard for heard in fake.heard if heard.lines[1:2] not in (["EMPTY"], ["DRY"])]
        assert len(set(traces)) == 2


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
async def test_a_publisher_is_one_trace_from_its_key_to_its_streams_end(run: Run) -> None:
    await asyncio.to_thread(run, a_publisher_is_one_trace())


async def test_a_viewer_is_one_trace_its_own_or_the_callers(
    fake_helmsman: FakeHelmsman, mist: RunningNode
) -> None:
    lease = mist.node.hub.open("live+abc", Publisher("h", "RTMP", 1, lambda _: None), None)
    lease.tracks([VIDEO, AUDIO])
    for frame in media(4.6):
        lease.frame(frame)
    async with http_client(base_url=mist.http) as client:
        for headers in ({"traceparent": trace.header(TRACE)}, {"traceparent": "garbage"}, {}):
            token = str(len(fake_helmsman.of("USER_NEW")))
            answer = await client.get(
                f"/cmaf/abc/~{token}/index.m3u8", headers=headers | {"x-forwarded-for": f"192.0.2.{token}"}
            )
            assert answer.status_code == 200
    for session in mist.node.audience.sessions():
        mist.node.audience.end(session)
    await fake_helmsman.wait_for("USER_END", count=3)
    mist.node.hub.nuke("live+abc")
    played = [trace_of(exchange) for exchange in fake_helmsman.of("PLAY_REWRITE")]
    opened = [trace_of(exchange) for exchange in fake_helmsman.of("USER_NEW")]
    ended = [trace_of(exchange) for exchange in fake_helmsman.of("USER_END")]
    assert played == opened
    assert sorted(ended) == sorted(opened)
    assert opened[0] == TRACE
    assert len(set(opened)) == 3
