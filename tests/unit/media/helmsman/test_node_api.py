"""The media node's control API as Helmsman speaks it: answers a MistServer gave, and those it should not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import pytest

from frameworks.media.helmsman.peers.mist import MistApi, NodeAway
from frameworks.media.helmsman.service.storing import Held
from frameworks.media.helmsman.service.telling import Said, Saying

NAME = "live+q7w8e9r0t1y2u3i4o5p6a7s8d9f0g1h2"
METRICS = {
    "bw": [0, 0],
    "obw": [3772, 3062236],
    "cpu": 250,
    "mem_total": 1000,
    "mem_used": 400,
    "shm_total": 100,
    "shm_used": 10,
    "outputs": {
        "CMAF": "http://HOST:8080/cmaf/$/",
        "HLS": "http://HOST:8080/hls/$/index.m3u8",
        "RTMP": "rtmp://HOST",
    },
}


@dataclass
class MistServer:
    """Answers as one did; `says` overrules it."""

    says: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.raw is not None:
            return httpx.Response(200, content=self.raw)
        if request.method == "GET":
            status = 200 if request.url.path == "/secret.json" else 404
            return httpx.Response(status, json=METRICS | {"streams": self.streams})
        # A body that is not called JSON is not read, and the answer is as if there had been no command.
        if request.headers.get("content-type") == "application/json":
            self.asked.append(msgspec.json.decode(request.content))
        return httpx.Response(200, json={"LTS": 1, "authorize": {"local": True, "status": "OK"}} | self.says)


@pytest.fixture
def mist() -> MistServer:
    return MistServer()


@pytest.fixture
async def api(mist: MistServer) -> AsyncIterator[MistApi]:
    made = MistApi("http://node", "secret", "https://media.example/", httpx.MockTransport(mist))
    yield made
    await made.close()


async def test_commands_are_called_json(mist: MistServer, api: MistApi) -> None:
    await api.call(config={"serverid": "node-1"}, save=True)
    assert mist.asked == [{"config": {"serverid": "node-1"}, "save": True}]


async def test_a_stream_that_comes_or_goes_has_no_figures_yet(mist: MistServer, api: MistApi) -> None:
    gone = {"viewers": 0, "inputs": None, "upbytes": None, "lastms": None, "health": None}
    mist.says = {"active_streams": {NAME: gone}}
    [stream] = await api.live_streams()
    assert (stream.name, stream.inputs, stream.last_ms, stream.health) == (NAME, 0, 0, {})


async def test_no_streams_is_null(mist: MistServer, api: MistApi) -> None:
    mist.says = {"active_streams": None}
    assert await api.live_streams() == []


async def test_a_stream_is_stopped_by_its_name_and_not_by_a_list(mist: MistServer, api: MistApi) -> None:
    await api.stop(NAME)
    assert mist.asked == [{"stop_sessions": NAME}]


async def test_sessions_are_asked_of_a_moment_whose_statistics_are_written(
    mist: MistServer, api: MistApi
) -> None:
    mist.says = {"clients": {"fields": ["stream", "protocol", "sessid"], "data": [[NAME, "HLS", "s1"]]}}
    assert await api.session_ids() == {"s1"}
    assert mist.asked[0]["clients"]["time"] <= -5


@pytest.mark.parametrize("clients", [None, {"fields": ["stream"], "data": []}])
async def test_a_node_that_does_not_tell_its_sessions_is_not_believed_empty(
    mist: MistServer, api: MistApi, clients: Any
) -> None:
    mist.says = {"clients": clients}
    assert await api.session_ids() is None


async def test_no_sessions_is_null_too(mist: MistServer, api: MistApi) -> None:
    mist.says = {"clients": {"fields": ["sessid"], "data": None}}
    assert await api.session_ids() == set()


async def test_the_nodes_figures_are_in_our_units(api: MistApi) -> None:
    reading = await api.reading()
    assert (reading.cpu_permille, reading.memory_total, reading.shm_used) == (250, 1_024_000, 10_240)
    assert (reading.up_total, reading.down_total) == (3772, 3_062_236)
    assert reading.outputs == {
        "HLS": "https://media.example/hls/$/index.m3u8",
        "HLS_CMAF": "https://media.example/cmaf/$/index.m3u8",
    }


@pytest.mark.parametrize("raw", [b"<!DOCTYPE html>", b"[]", b'{"authorize":{"status":"CHALL"}}'])
async def test_an_answer_that_is_none_means_the_node_is_away(
    mist: MistServer, api: MistApi, raw: bytes
) -> None:
    mist.raw = raw
    with pytest.raises(NodeAway):
        await api.boot_id()


async def test_sessions_are_read_by_the_names_the_server_gives_its_columns(
    api: MistApi, mist: MistServer
) -> None:
    fields = [
        "conntime",
        "down",
        "pktcount",
        "pktlost",
        "pktretransmit",
        "position",
        "protocol",
        "sessid",
        "stream",
        "up",
    ]
    rows = [
        [62, 5012, 40, 2, 1, 27925, "HLS", "5636defa", NAME, 6528195],
        [1, 0, 0, 0, 0, 0, "HLS", "", NAME, 0],
    ]
    mist.says = {"clients": {"fields": fields, "data": rows, "time": 1}}
    (reading,) = await api.clients()
    assert (reading.session, reading.stream, reading.connector, reading.seconds) == (
        "5636defa",
        NAME,
        "HLS",
        62,
    )
    assert reading.counters == (6528195, 5012, 40, 2, 1)
    assert reading.position_ms == 27925


@pytest.mark.parametrize("clients", [None, {}, [], {"fields": None}, {"fields": ["sessid"], "data": None}])
async def test_a_server_that_tells_no_sessions_has_none(api: MistApi, mist: MistServer, clients: Any) -> None:
    mist.says = {"clients": clients}
    assert await api.clients() == []


async def test_what_a_node_holds_is_what_it_tells_and_a_mistserver_tells_nothing(
    mist: MistServer, api: MistApi
) -> None:
    mist.streams = {
        NAME: {"curr": [1, 1, 0, 0]},
        "live+b": {"held": [5000, 12]},
        "live+c": {"held": 3},
        "d": 1,
    }
    assert await api.held() == {"live+b": Held(5000, 12)}


async def test_metrics_that_are_no_object_are_no_answer(mist: MistServer, api: MistApi) -> None:
    mist.raw = b"[]"
    with pytest.raises(NodeAway):
        await api.held()


async def test_what_players_said_comes_in_rows_and_a_mistserver_knows_nothing(
    mist: MistServer, api: MistApi
) -> None:
    assert await api.said("boot-1", 7) == Said("boot-1", [])
    assert mist.asked[-1] == {"cmcd": {"iid": "boot-1", "after": 7}}
    mist.says = {"cmcd": {"iid": "boot-2", "data": [[8, "s1", 1000, 'sid="p"']]}}
    assert await api.said("boot-1", 7) == Said("boot-2", [Saying(8, "s1", 1000, 'sid="p"')])


@pytest.mark.parametrize("said", [{"iid": 1, "data": []}, {"iid": "x"}, {"iid": "x", "data": [[1]]}])
async def test_nonsense_of_players_is_no_answer(mist: MistServer, api: MistApi, said: dict[str, Any]) -> None:
    mist.says = {"cmcd": said}
    with pytest.raises(NodeAway):
        await api.said("x", 0)
