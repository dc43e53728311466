"""From media messages to tracks and frames."""

import pytest

from frameworks.media.mist.domain import Frame
from frameworks.media.mist.protocols import flv
from frameworks.media.mist.protocols.rtmp.media import MAX_HELD, MediaReader, TracksChanged
from frameworks.media.mist.protocols.rtmp.messages import Message, MessageType

AVCC = bytes.fromhex(
    "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000668eae3cb22c0fdf8f800"
)
SMALLER_AVCC = bytes.fromhex("0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8")


def video(stamp: int, body: bytes) -> Message:
    return Message(MessageType.VIDEO, 1, stamp, body)


def audio(stamp: int, body: bytes) -> Message:
    return Message(MessageType.AUDIO, 1, stamp, body)


VIDEO_CONFIG = video(0, b"\x17\0\0\0\0" + AVCC)
AUDIO_CONFIG = audio(0, b"\xaf\0\x11\x90")
KEY, INTER, SOUND = b"\x17\x01\0\0\0key", b"\x27\x01\0\0\0int", b"\xaf\x01snd"


def test_frames_wait_until_both_tracks_are_known() -> None:
    reader = MediaReader()
    assert reader.read(VIDEO_CONFIG) == []
    assert reader.read(video(0, KEY)) == []
    assert reader.read(AUDIO_CONFIG) == []
    changed, *frames = reader.read(audio(0, SOUND), 2.5)
    assert isinstance(changed, TracksChanged)
    assert [track.id for track in changed.tracks] == [1, 2]
    assert frames == [Frame(1, 0, 0, True, b"key"), Frame(2, 0, 0, True, b"snd")]
    assert isinstance(frames[1], Frame)
    assert frames[1].received == 2.5


def test_metadata_without_audio_means_video_alone() -> None:
    reader = MediaReader()
    reader.metadata({"width": 1280.0, "videocodecid": 7.0})
    reader.read(VIDEO_CONFIG)
    changed, frame = reader.read(video(40, KEY))
    assert isinstance(changed, TracksChanged)
    assert [track.id for track in changed.tracks] == [1]
    assert frame == Frame(1, 3600, 0, True, b"key")


def test_a_track_that_does_not_come_is_waited_for_a_second() -> None:
    reader = MediaReader()
    reader.read(AUDIO_CONFIG)
    counts = [len(reader.read(audio(stamp, SOUND))) for stamp in range(0, 1100, 100)]
    assert counts == [0] * 10 + [1 + 11]


def test_a_track_that_comes_late_is_announced_before_its_first_frame() -> None:
    reader = MediaReader()
    reader.metadata({"audiocodecid": 10.0})
    reader.read(AUDIO_CONFIG)
    reader.read(audio(0, SOUND))
    (changed,) = reader.read(VIDEO_CONFIG)
    assert isinstance(changed, TracksChanged)
    assert [track.id for track in changed.tracks] == [1, 2]


def test_the_same_configuration_again_changes_nothing_and_a_new_one_does() -> None:
    reader = MediaReader()
    reader.metadata({"videocodecid": 7.0})
    reader.read(VIDEO_CONFIG)
    reader.read(video(0, KEY))
    assert reader.read(VIDEO_CONFIG) == []
    (changed,) = reader.read(video(0, b"\x17\0\0\0\0" + SMALLER_AVCC))
    assert isinstance(changed, TracksChanged)
    assert changed.tracks[0].height == 1080


def test_frames_without_a_configuration_are_dropped() -> None:
    reader = MediaReader()
    assert reader.read(video(0, KEY)) == []
    assert reader.read(video(0, b"")) == []


def test_no_more_than_the_limit_is_held_while_waiting() -> None:
    reader = MediaReader()
    reader.read(VIDEO_CONFIG)
    counts = [len(reader.read(video(0, INTER))) for _ in range(MAX_HELD)]
    assert counts == [0] * (MAX_HELD - 1) + [MAX_HELD + 1]


def test_an_unsupported_codec_is_refused() -> None:
    with pytest.raises(flv.UnsupportedMedia, match="not supported"):
        MediaReader().read(audio(0, b"\x2f\xff"))
