"""Samples: differences per session, at most so many a turn, tracks and outputs once a minute."""

from dataclasses import dataclass, field, replace

import pytest
from helmsman_fakes import INTERNAL, RUNTIME, VIEWABLE, Platform, push, user_new
from msgspec.structs import replace as replaced
from test_triggers import HEALTH

from frameworks.kit.clock import FakeClock
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.service.measuring import LiveStream, Picture
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.sampling import ClientReading, Sampling
from frameworks.media.helmsman.service.viewing import Viewing


@dataclass
class Node:
    """Sessions as a node counts them."""

    readings: list[ClientReading] = field(default_factory=list)

    async def clients(self) -> list[ClientReading]:
        """All of them."""
        return self.readings

    def grow(self, up: int) -> None:
        """Every session gets more."""
        self.readings = [
            replace(r, up_bytes=r.up_bytes + up, packets_sent=r.packets_sent + 7, seconds=r.seconds + 10)
            for r in self.readings
        ]


@dataclass
class Scene:
    """A node with a stream and viewers."""

    clock: FakeClock
    platform: Platform
    publishing: Publishing
    viewing: Viewing
    node: Node
    picture: Picture
    sampling: Sampling

    async def watch(self, *sessions: str) -> None:
        """Open sessions."""
        for session in sessions:
            await self.viewing.opened(user_new(session))
            self.node.readings.append(ClientReading(session, RUNTIME, "CMAF", 1, 1000, 10, 500, 0, 0, 0))
        self.platform.facts.clear()


@pytest.fixture
def scene() -> Scene:
    clock, platform, node, picture = FakeClock(), Platform(), Node(), Picture()
    publishing = Publishing(platform, platform, platform, platform, Geo(None), clock)
    viewing = Viewing(platform, platform, platform, Geo(None), clock, node="n1", hash_key=b"k")
    sampling = Sampling(node, picture, publishing, viewing, platform, clock, name="n1", most=3)
    return Scene(clock, platform, publishing, viewing, node, picture, sampling)


async def test_a_sample_is_what_came_since_the_one_before(scene: Scene) -> None:
    await scene.watch("s1")
    await scene.sampling.sample_clients()
    assert scene.platform.facts == []
    await scene.clock.advance(10)
    scene.node.grow(5000)
    await scene.sampling.sample_clients()
    (fact,) = scene.platform.facts
    assert (fact.kind, fact.subject.attribution) == ("client-sample", "attr-view")
    assert (fact.body["up_bytes"], fact.body["up_bps"], fact.body["packets_sent"]) == (5000, 4000, 7)
    assert fact.body["session_id"] != "s1"


async def test_a_session_that_counts_anew_is_not_told_backwards(scene: Scene) -> None:
    await scene.watch("s1")
    await scene.sampling.sample_clients()
    await scene.clock.advance(10)
    scene.node.readings = [replace(scene.node.readings[0], up_bytes=1)]
    await scene.sampling.sample_clients()
    assert scene.platform.facts == []


async def test_sessions_take_turns_and_all_have_theirs(scene: Scene) -> None:
    names = [f"s{n}" for n in range(7)]
    scene.platform.viewable = replaced(VIEWABLE, max_viewers=0)
    await scene.watch(*names)
    told: list[int] = []
    for _ in range(6):
        await scene.sampling.sample_clients()
        told.append(len(scene.platform.facts))
        await scene.clock.advance(10)
        scene.node.grow(10)
    assert max(now - before for before, now in zip([0, *told], told, strict=False)) <= 3
    assert len({fact.body["session_id"] for fact in scene.platform.facts}) == 7


async def test_sessions_nobody_opened_here_are_not_sampled(scene: Scene) -> None:
    scene.node.readings = [ClientReading("I7", RUNTIME, "INPUT:RTMP", 1, 0, 10, 0, 0, 0, 0)]
    for _ in range(2):
        await scene.sampling.sample_clients()
        await scene.clock.advance(10)
        scene.node.grow(5)
    assert scene.platform.facts == []


async def test_every_track_and_output_is_told(scene: Scene) -> None:
    await scene.publishing.admit(push())
    scene.publishing.publishers[INTERNAL].health = HEALTH
    await scene.watch("s1", "s2")
    scene.picture.streams = [LiveStream(RUNTIME, 2, 1, 0, 0, 0, {})]
    for _ in range(2):
        await scene.sampling.sample_clients()
        await scene.clock.advance(10)
        scene.node.grow(5000)
    scene.platform.facts.clear()
    await scene.sampling.sample_streams()
    (fact,) = scene.platform.facts
    assert (fact.kind, fact.subject.attribution) == ("stream-metrics-detailed", "attr-ingest")
    assert fact.body["outputs"] == [{"connector": "CMAF", "viewers": 2, "up_bps": 8000}]
    names = {track["name"]: track for track in fact.body["tracks"]}
    assert names["video_H264_640x360_0fps_1"]["keyframe_max_ms"] == 2000
    assert set(names) == {"video_H264_640x360_0fps_1", "audio_AAC_2ch_48000hz_2", "meta_JSON__0"}


async def test_a_node_that_only_serves_a_stream_tells_its_outputs(scene: Scene) -> None:
    await scene.watch("s1")
    scene.picture.streams = [LiveStream(RUNTIME, 1, 0, 0, 0, 0, {})]
    await scene.sampling.sample_clients()
    await scene.sampling.sample_streams()
    (fact,) = scene.platform.facts
    assert (fact.subject.attribution, fact.body["tracks"]) == ("attr-view", [])
