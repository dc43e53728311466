"""A trigger's trace is in every event it makes and in every line about it; what nobody triggered has none."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures_decklog import Yard
from test_exchanges import EXCHANGES, SECRET
from test_recorded_events import RUNTIME, Node

from frameworks.kit import http, log, trace
from frameworks.media.helmsman.api import PREFIX
from frameworks.media.helmsman.service.measuring import LiveStream
from frameworks.media.helmsman.service.sampling import ClientReading

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def node(yard: Yard, tmp_path: Path) -> Node:
    return Node(yard, tmp_path)


async def fire(node: Node, name: str, **headers: str) -> None:
    """The recorded request of this name, through the listener as the module makes it."""
    exchange = EXCHANGES[name]
    door: Any = node.door
    app = http.protect(door, http.Policy(service="helmsman", access_log=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as client:
        url = f"{PREFIX}{SECRET}/{exchange.trigger.lower()}"
        answer = await client.post(url, content=exchange.body, headers=exchange.headers | headers)
    assert answer.status_code == 200


async def test_every_event_of_a_trigger_carries_its_trace(node: Node) -> None:
    for name in ("push_rewrite", "stream_buffer_full", "live_track_list", "push_end_clean"):
        await fire(node, name, traceparent=trace.header(TRACE))
    for name in ("play_rewrite", "user_new"):
        await fire(node, name, traceparent=trace.header(OTHER))
    events = await node.delivered()
    assert node.wire.refused == []
    traces = {(event.type, event.trace_id) for event in events}
    publisher = {"stream-ingest", "stream-lifecycle", "stream-buffer", "track-list", "push-lifecycle"}
    viewer = {"stream-view", "user-connection"}
    assert traces == {(kind, TRACE) for kind in publisher} | {(kind, OTHER) for kind in viewer}


async def test_a_node_that_sends_no_trace_is_given_one_for_each_trigger(node: Node) -> None:
    for name in ("push_rewrite", "stream_buffer_full"):
        await fire(node, name)
    by_trace: dict[str, list[str]] = {}
    for event in await node.delivered():
        by_trace.setdefault(event.trace_id, []).append(event.type)
    assert sorted(by_trace.values()) == [
        ["stream-buffer", "stream-lifecycle"],
        ["stream-ingest", "stream-lifecycle"],
    ]
    assert all(len(bytes.fromhex(found)) == 16 for found in by_trace)


async def test_what_is_sampled_has_no_trace(node: Node) -> None:
    for name in ("push_rewrite", "play_rewrite", "user_new"):
        await fire(node, name, traceparent=trace.header(TRACE))
    node.picture.streams = [LiveStream(RUNTIME, 1, 1, 0, 0, 0, {})]
    session = EXCHANGES["user_new"].body.decode().split("\n")[5]
    for up in (10, 50_010):
        node.readings = [ClientReading(session, RUNTIME, "HLS", 9, up, 0, 700, 40, 2, 1)]
        await node.sampling.sample_clients()
        await node.yard.clock.advance(10)
    assert {event.trace_id for event in await node.delivered() if event.type == "client-sample"} == {""}


async def test_the_lines_about_a_trigger_say_its_trace(node: Node) -> None:
    lines = io.StringIO()
    log.setup(stream=lines)
    await fire(node, "push_rewrite", traceparent=trace.header(TRACE))
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert {line["trace"] for line in said} == {TRACE}
    assert {"publish.admitted", "trigger.answered"} <= {line["event"] for line in said}
