"""The demo publisher's clip and its pacing, on a fake clock."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.media.demo.domain import FPS, SECONDS, BadClip, Clip, read_clip
from frameworks.media.demo.service import LONGEST_DELAY, paced, publish_forever
from frameworks.media.mist.domain import Codec, Frame, Track
from frameworks.media.mist.protocols import flv

AVCC = bytes.fromhex("0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8")
TRACKS = (Track(1, Codec.H264, AVCC, 90_000), Track(2, Codec.AAC, b"\x11\x90", 48_000))
CLIP = Clip(
    TRACKS, (Frame(1, 0, 0, True, b"k"), Frame(2, 1024, 0, True, b"s"), Frame(1, 720_000, 0, False, b"i"))
)


def tag(kind: int, milliseconds: int, body: bytes) -> bytes:
    stamp = (milliseconds & 0xFFFFFF).to_bytes(3, "big") + bytes([milliseconds >> 24])
    return bytes([kind]) + len(body).to_bytes(3, "big") + stamp + bytes(3) + body + bytes(4)


def clip_file(pictures: int = SECONDS * FPS, sounds: int = SECONDS * 48_000 // 1024) -> bytes:
    tags = [tag(9, 0, flv.config_body(TRACKS[0])), tag(8, 0, flv.config_body(TRACKS[1]))]
    tags += [tag(9, n * 1000 // FPS, b"\x27\x01\0\0\0p") for n in range(pictures)]
    tags += [tag(8, n * 1024 // 48, b"\xaf\x01s") for n in range(sounds)]
    return b"FLV\x01\x05\0\0\0\x09" + bytes(4) + b"".join(tags)


def test_a_clip_file_reads_as_exact_times_in_sending_order() -> None:
    clip = read_clip(clip_file())
    assert [track.codec for track in clip.tracks] == [Codec.H264, Codec.AAC]
    times = [clip.seconds(frame) for frame in clip.frames]
    assert times == sorted(times)
    assert [frame.dts for frame in clip.frames if frame.track == 1][:3] == [0, 3000, 6000]
    assert max(frame.dts for frame in clip.frames if frame.track == 2) + 1024 == SECONDS * 48_000


@pytest.mark.parametrize(
    "data", [b"", b"not a clip", clip_file(pictures=3), clip_file(sounds=3), clip_file()[:5000]]
)
def test_a_clip_that_is_not_whole_is_refused(data: bytes) -> None:
    with pytest.raises(BadClip):
        read_clip(data)


async def gathered(frames: AsyncIterator[Frame], count: int) -> list[Frame]:
    return [await anext(frames) for _ in range(count)]


async def test_times_go_on_rising_from_round_to_round() -> None:
    clock = FakeClock()
    gathering = asyncio.create_task(gathered(paced(CLIP, clock), 7))
    await clock.advance(3 * SECONDS)
    frames = await gathering
    assert [frame.dts for frame in frames if frame.track == 1] == [
        0,
        720_000,
        1_440_000,
        2_160_000,
        2_880_000,
    ]
    assert [frame.dts for frame in frames if frame.track == 2] == [1024, 1024 + SECONDS * 48_000]


async def test_frames_come_on_their_time() -> None:
    clock = FakeClock()
    frames = paced(CLIP, clock)
    await gathered(frames, 1)
    gathering = asyncio.create_task(gathered(frames, 2))
    await clock.advance(7.9)
    assert not gathering.done()
    await clock.advance(0.2)
    assert len(await gathering) == 2
    await frames.aclose()


@dataclass
class FailingPush:
    """A push whose target is never there."""

    clock: FakeClock
    attempts: list[float] = field(default_factory=list)

    def __call__(self) -> "FailingPush":
        return self

    async def publish(self, tracks: tuple[Track, ...], frames: AsyncIterator[Frame]) -> None:
        self.attempts.append(self.clock.monotonic())
        raise Unavailable("away")


async def test_a_failing_target_is_tried_again_ever_more_slowly() -> None:
    clock = FakeClock()
    push = FailingPush(clock)
    publishing = asyncio.create_task(publish_forever(CLIP, push, clock))
    await clock.advance(300)
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    gaps = [later - earlier for earlier, later in pairwise(push.attempts)]
    assert gaps[0] <= 1.0
    assert all(LONGEST_DELAY / 2 <= gap <= LONGEST_DELAY for gap in gaps[5:])
    assert 10 < len(push.attempts) < 30
