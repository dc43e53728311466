"""One live stream through its life: publishers that come, leave, stall, jump and are replaced."""

from dataclasses import replace

import pytest
from fixtures_mist import AUDIO, VIDEO, FakeHerald, media

from frameworks.kit.clock import FakeClock
from frameworks.media.mist.domain import Frame
from frameworks.media.mist.hub.lease import Lease, Publisher
from frameworks.media.mist.hub.rendition import Shape
from frameworks.media.mist.hub.stream import State
from frameworks.media.mist.hub.streams import Hub, StreamConfig, TooManyStreams

NAME = "live+abc"


class Stage:
    """A hub under a fake clock, and publishers for it."""

    def __init__(self, *, grace: float = 10.0, most: int = 3) -> None:
        self.clock = FakeClock()
        self.herald = FakeHerald()
        self.kicked: list[str] = []
        self.hub = Hub(self.clock, self.herald, Shape(), grace=grace, most=most)

    def publish(self, name: str = NAME, config: StreamConfig | None = None) -> Lease:
        """A publisher with both tracks."""
        lease = self.hub.open(name, Publisher("10.0.0.1", "RTMP", 1000, self.kicked.append), config)
        lease.tracks([VIDEO, AUDIO])
        return lease

    async def play(self, lease: Lease, frames: list[Frame]) -> None:
        """Send frames at the pace of their own times."""
        started = self.clock.monotonic()
        scale = {1: 90_000, 2: 48_000}
        first = frames[0].dts / scale[frames[0].track]
        ticked = started
        for frame in frames:
            due = started + frame.dts / scale[frame.track] - first
            await self.clock.advance(max(0.0, due - self.clock.monotonic()))
            lease.frame(replace(frame, received=self.clock.monotonic()))
            if self.clock.monotonic() - ticked >= 1.0:
                ticked = self.clock.monotonic()
                self.hub.tick()

    async def wait(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            await self.clock.advance(1.0)
            self.hub.tick()


async def test_a_stream_is_announced_then_full() -> None:
    stage = Stage()
    await stage.play(stage.publish(), media(5.0))
    assert stage.herald.names() == ["LIVE_TRACK_LIST", "STREAM_BUFFER FULL"]
    stream = stage.hub.find(NAME)
    assert stream is not None
    assert stream.state is State.ONLINE


async def test_a_publisher_that_leaves_is_waited_for_then_the_stream_ends() -> None:
    stage = Stage()
    lease = stage.publish()
    await stage.play(lease, media(3.0))
    lease.closed("CLEAN_EOF", "the publisher ended the stream")
    await stage.wait(9)
    assert stage.herald.names()[2:] == ["PUSH_INPUT_CLOSE"]
    await stage.wait(2)
    assert stage.herald.names()[3:] == ["STREAM_BUFFER EMPTY", "STREAM_END"]
    await stage.wait(11)
    assert stage.hub.find(NAME) is None


async def test_a_publisher_back_in_time_continues_after_a_discontinuity() -> None:
    stage = Stage()
    lease = stage.publish()
    await stage.play(lease, media(5.0))
    lease.closed("CLEAN_REMOTE_CLOSE", "gone")
    await stage.wait(4)
    await stage.play(stage.publish(), media(5.0))
    stream = stage.hub.find(NAME)
    assert stream is not None
    for rendition in stream.renditions.values():
        playlist = rendition.playlist()
        assert playlist.count(b"#EXT-X-DISCONTINUITY\n") == 1
        assert playlist.count(b"#EXT-X-MAP") == 1
    assert "STREAM_END" not in stage.herald.names()
    first, last = stream.span()
    assert last - first == pytest.approx(10.1, abs=0.3)


async def test_without_resume_a_stream_ends_with_its_publisher() -> None:
    stage = Stage()
    lease = stage.publish(config=StreamConfig("live", "push://", resume=False))
    await stage.play(lease, media(3.0))
    lease.closed("CLEAN_EOF", "the publisher ended the stream")
    await stage.wait(1)
    assert stage.herald.names()[-1] == "STREAM_END"


async def test_an_admitted_second_publisher_replaces_the_first() -> None:
    stage = Stage()
    first = stage.publish()
    await stage.play(first, media(3.0))
    second = stage.publish()
    assert stage.kicked == ["A newer publisher of this stream was admitted."]
    stream = stage.hub.find(NAME)
    assert stream is not None
    received = stream.totals.received
    first.frame(media(0.1)[0])
    first.closed("CLEAN_REMOTE_CLOSE", "late")
    assert stream.totals.received == received
    assert second.is_current
    assert stage.herald.names().count("PUSH_INPUT_CLOSE") == 1


async def test_a_stalled_stream_runs_dry_and_recovers() -> None:
    stage = Stage()
    lease = stage.publish()
    await stage.play(lease, media(4.0))
    await stage.wait(5)
    assert stage.herald.names()[2:] == ["STREAM_BUFFER DRY"]
    assert '"issues":"No media' in stage.herald.told[-1][1][2]
    await stage.play(lease, media(20.0, start=9.0))
    assert stage.herald.names()[3:] == ["STREAM_BUFFER RECOVER"]


async def test_a_jump_of_the_encoders_clock_is_a_discontinuity() -> None:
    stage = Stage()
    lease = stage.publish()
    await stage.play(lease, media(5.0))
    await stage.play(lease, media(5.0, start=5000.0))
    stream = stage.hub.find(NAME)
    assert stream is not None
    first, last = stream.span()
    assert last - first < 11
    assert all(r.playlist().count(b"#EXT-X-DISCONTINUITY\n") == 1 for r in stream.renditions.values())


async def test_a_track_that_stops_does_not_hold_the_others_up() -> None:
    stage = Stage()
    lease = stage.publish()
    await stage.play(lease, media(3.0))
    await stage.play(lease, [frame for frame in media(9.0, start=3.0) if frame.track == 1])
    stream = stage.hub.find(NAME)
    assert stream is not None
    assert list(stream.renditions) == [1]


async def test_video_before_its_first_keyframe_is_dropped() -> None:
    stage = Stage()
    await stage.play(stage.publish(), media(6.0, start=1.0))
    stream = stage.hub.find(NAME)
    assert stream is not None
    segment = stream.renditions[1].segment(0)
    assert segment is not None
    assert segment.parts[0].independent


async def test_stopping_a_stream_gives_no_grace() -> None:
    stage = Stage()
    await stage.play(stage.publish(), media(3.0))
    stage.hub.stop([NAME])
    assert stage.kicked == ["The stream was stopped."]
    assert stage.herald.names()[2:] == ["PUSH_INPUT_CLOSE", "STREAM_BUFFER EMPTY", "STREAM_END"]
    assert stage.hub.active() == []


async def test_a_stream_whose_publisher_sent_nothing_ends_without_empty() -> None:
    stage = Stage()
    stage.publish().closed("CLEAN_REMOTE_CLOSE", "gone")
    await stage.wait(11)
    assert stage.herald.names() == ["PUSH_INPUT_CLOSE", "STREAM_END"]


async def test_a_full_node_takes_no_more_streams() -> None:
    stage = Stage(most=1)
    stage.publish("live+a")
    with pytest.raises(TooManyStreams):
        stage.publish("live+b")


async def test_b_frames_and_the_keyframe_interval_are_measured() -> None:
    stage = Stage()
    frames = [replace(f, cts=(i % 3) * 3600) if f.track == 1 else f for i, f in enumerate(media(6.0, gop=75))]
    await stage.play(stage.publish(), frames)
    stream = stage.hub.find(NAME)
    assert stream is not None
    video = stream.health()["video_H264_640x360_0fps_1"]
    assert video["bframes"]
    assert video["keys"]["ms_max"] == 3000
    assert video["efps"] == 25
    assert video["kbits"] == pytest.approx(200, abs=10)
