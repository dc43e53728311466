"""The controller API as Helmsman uses it."""

import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fixtures_mist import AUDIO, VIDEO, FakeHelmsman, RunningNode, media, running_node

from frameworks.media.mist.hub.lease import Lease, Publisher


def publish(node: RunningNode, name: str, kicked: list[str]) -> Lease:
    """A publisher that has sent three seconds."""
    lease = node.node.hub.open(name, Publisher("10.0.0.1", "RTMP", 1000, kicked.append), None)
    lease.tracks([VIDEO, AUDIO])
    for frame in media(3.0):
        lease.frame(frame)
    return lease


async def test_a_local_caller_is_authorised_at_once(mist: RunningNode) -> None:
    assert await mist.command() == {"LTS": 1, "authorize": {"local": True, "status": "OK"}}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Origin"])
async def test_a_caller_through_a_proxy_or_a_page_is_not(mist: RunningNode, header: str) -> None:
    answer = await mist.api.post("/api2", json={"config": True}, headers={header: "10.1.1.1"})
    assert answer.json() == {"LTS": 1, "authorize": {"status": "NOACC"}}


async def test_a_remote_caller_is_not(mist: RunningNode) -> None:
    transport = httpx.ASGITransport(app=mist.node.api, client=("10.0.0.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as api:
        assert (await api.post("/api", json={"config": True})).json()["authorize"] == {"status": "NOACC"}


async def test_commands_may_come_in_the_query(mist: RunningNode) -> None:
    answer = await mist.api.get("/api2", params={"command": json.dumps({"version": True})})
    assert answer.headers["content-type"] == "text/javascript"
    assert answer.json()["version"]["iid"]


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff", b"[" * 100_000])
async def test_what_is_no_object_is_refused(mist: RunningNode, body: bytes) -> None:
    assert (await mist.api.post("/api2", content=body)).status_code == 400


async def test_a_long_body_is_refused(mist: RunningNode) -> None:
    assert (await mist.api.post("/api2", content=b" " * 2_000_000)).status_code == 413


async def test_wrong_triggers_leave_the_old_ones(mist: RunningNode, fake_helmsman: FakeHelmsman) -> None:
    before = (await mist.command(config=True))["config"]["triggers"]
    wrong = {"USER_END": [{"handler": fake_helmsman.url, "sync": False, "streams": [], "onfail": "deny"}]}
    reply = await mist.command(config={"triggers": wrong})
    assert reply["error"] == "Invalid onfail action 'deny' for USER_END trigger"
    assert (await mist.command(config=True))["config"]["triggers"] == before


async def test_the_configuration_is_told_whole(mist: RunningNode) -> None:
    config = (await mist.command(config={"location": {"lat": 1.0, "lon": 2.0, "name": "x"}}))["config"]
    assert config["serverid"] == "node-1"
    assert config["location"]["lat"] == 1.0
    assert config["triggers"]["PUSH_REWRITE"][0]["onfail"] == "deny"
    assert len(config["iid"]) == 16
    backup = (await mist.command(config_backup=True))["config_backup"]
    assert backup["streams"]["live"]["source"] == "push://"


async def test_streams_are_added_listed_and_deleted(mist: RunningNode) -> None:
    added = await mist.command(addstream={"Demo": {"source": "push://", "inputtimeout": 12, "resume": 1}})
    assert added["streams"]["demo"]["source"] == "push://"
    assert added["streams"]["incomplete list"] == 1
    assert set((await mist.command(streams=True))["streams"]) == {"live", "demo"}
    config = mist.node.storage.stream_config("demo+x")
    assert config is not None
    assert config.input_timeout == 12
    await mist.command(deletestream="demo")
    assert set((await mist.command(streams=True))["streams"]) == {"live"}


async def test_active_streams_has_four_shapes_and_null(mist: RunningNode) -> None:
    assert (await mist.command(active_streams=True))["active_streams"] is None
    lease = publish(mist, "live+abc", [])
    assert (await mist.command(active_streams=True))["active_streams"] == ["live+abc"]
    fields = ["inputs", "viewers", "status"]
    assert (await mist.command(active_streams=fields))["active_streams"] == {"live+abc": [1, 0, "Online"]}
    chosen = {"fields": fields, "streams": ["live+"]}
    assert (await mist.command(active_streams=chosen))["active_streams"] == {
        "fields": fields,
        "data": {"live+abc": [1, 0, "Online"]},
    }
    found = (await mist.command(active_streams=chosen | {"longform": True}))["active_streams"]
    assert found == {"live+abc": {"inputs": 1, "viewers": 0, "status": "Online"}}
    health = (await mist.command(active_streams={"fields": ["health"], "longform": True}))["active_streams"]
    assert health["live+abc"]["health"]["video_H264_640x360_0fps_1"]["efps"] == 25
    lease.closed("CLEAN_EOF", "bye")


async def test_stopping_sessions_drops_the_publisher(mist: RunningNode, fake_helmsman: FakeHelmsman) -> None:
    kicked: list[str] = []
    publish(mist, "live+abc", kicked)
    await mist.command(stop_sessions=["live+abc"])
    assert kicked == ["The stream was stopped."]
    closed = await fake_helmsman.wait_for("PUSH_INPUT_CLOSE")
    assert closed.lines[4] == "CLEAN_INTENDED_STOP"
    assert (await fake_helmsman.wait_for("STREAM_END")).lines[0] == "live+abc"


async def test_nuking_a_stream_forgets_it(mist: RunningNode) -> None:
    publish(mist, "live+abc", [])
    await mist.command(nuke_stream="live+abc")
    assert mist.node.hub.find("live+abc") is None


async def test_the_metrics_need_their_secret(mist: RunningNode) -> None:
    publish(mist, "live+abc", [])
    assert (await mist.api.get("/other.json")).status_code == 404
    found = (await mist.api.get("/secret.json")).json()
    assert found["curr"] == [0, 1, 0, 0, 0]
    assert found["streams"]["live+abc"]["curr"][1] == 1
    assert found["mem_total"] > found["mem_used"] > 0
    assert set(found["outputs"]) == {"CMAF", "HLS"}
    assert 'mist_sessions_count{sessType="incoming"} 1' in (await mist.api.get("/secret")).text
    await mist.command(config={"prometheus": ""})
    assert (await mist.api.get("/secret.json")).status_code == 404


async def test_the_metrics_tell_what_is_held_of_each_stream(mist: RunningNode) -> None:
    publish(mist, "live+abc", [])
    size, files = (await mist.api.get("/secret.json")).json()["streams"]["live+abc"]["held"]
    stream = mist.node.hub.find("live+abc")
    assert stream is not None
    parts = [
        len(part.data)
        for rendition in stream.renditions.values()
        for number in range(rendition.position[0] + 1)
        if (segment := rendition.segment(number))
        for part in segment.parts
    ]
    assert sum(parts) < size < sum(parts) + 4000
    assert files == 6


async def test_what_was_saved_survives_a_restart(tmp_path: Path, fake_helmsman: FakeHelmsman) -> None:
    state = tmp_path / "mist.json"
    async with running_node(state=state) as node:
        await node.configure(fake_helmsman)
        await node.command(save=True)
        before = (await node.command(config_backup=True))["config_backup"]
    async with running_node(state=state) as node:
        assert (await node.command(config_backup=True))["config_backup"] == before


async def test_a_broken_state_file_leaves_the_node_unconfigured(tmp_path: Path) -> None:
    state = tmp_path / "mist.json"
    state.write_text("{")
    async with running_node(state=state, grace=timedelta(seconds=1)) as node:
        assert (await node.command(config_backup=True))["config_backup"]["streams"] == {}
    assert state.read_text() == "{"


async def test_pushes_are_none(mist: RunningNode) -> None:
    assert (await mist.command(push_list=True))["push_list"] is None


async def test_capabilities_name_connectors_and_triggers(mist: RunningNode) -> None:
    found = (await mist.command(capabilities=True))["capabilities"]
    assert {"RTMP", "HLS", "CMAF"} <= set(found["connectors"])
    assert found["triggers"]["PUSH_REWRITE"]["actions"] == ["deny", "keep", "value"]
