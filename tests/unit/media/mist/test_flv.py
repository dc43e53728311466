"""Media messages, legacy and Enhanced RTMP."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.media.mist.domain import Codec, Frame, Track
from frameworks.media.mist.protocols import amf, flv
from frameworks.media.mist.protocols.flv import Packet, Part


def test_a_legacy_avc_message_carries_its_signed_composition_offset() -> None:
    packet = flv.read_video(bytes.fromhex("2701ffffd800000001aa"))
    assert packet == Packet(Part.FRAME, Codec.H264, False, -40, bytes.fromhex("00000001aa"))


def test_a_legacy_sequence_header_is_a_configuration() -> None:
    packet = flv.read_video(b"\x17\0\0\0\0config")
    assert packet == Packet(Part.CONFIG, Codec.H264, True, 0, b"config")


def test_a_legacy_aac_message_is_read() -> None:
    assert flv.read_audio(b"\xaf\x01raw") == Packet(Part.FRAME, Codec.AAC, True, 0, b"raw")


@pytest.mark.parametrize(
    ("body", "packet"),
    [
        (b"\x90hvc1cfg", Packet(Part.CONFIG, Codec.HEVC, True, 0, b"cfg")),
        (b"\xa1hvc1\0\0\x28nal", Packet(Part.FRAME, Codec.HEVC, False, 40, b"nal")),
        (b"\x93hvc1nal", Packet(Part.FRAME, Codec.HEVC, True, 0, b"nal")),
        (b"\x91av01obu", Packet(Part.FRAME, Codec.AV1, True, 0, b"obu")),
        (b"\x91avc1\xff\xff\xffnal", Packet(Part.FRAME, Codec.H264, True, -1, b"nal")),
        (b"\x92hvc1", Packet(Part.NOTHING, Codec.HEVC, True, 0, b"")),
        (b"\xd1hvc1\x00", Packet(Part.NOTHING, Codec.HEVC, False, 0, b"")),
        (b"\x97\x02\0\0\x01\x03hvc1nal", Packet(Part.FRAME, Codec.HEVC, True, 0, b"nal")),
    ],
)
def test_enhanced_video_messages_are_read(body: bytes, packet: Packet) -> None:
    assert flv.read_video(body) == packet


def test_enhanced_audio_messages_are_read() -> None:
    assert flv.read_audio(b"\x90Opushead") == Packet(Part.CONFIG, Codec.OPUS, True, 0, b"head")
    assert flv.read_audio(b"\x91mp4araw") == Packet(Part.FRAME, Codec.AAC, True, 0, b"raw")


@pytest.mark.parametrize("body", [b"\x96\x00hvc1", b"\x22\x01\0\0\0", b"\x91vp09x", b"\x91Opusx"])
def test_multitrack_and_foreign_video_is_refused(body: bytes) -> None:
    with pytest.raises(flv.UnsupportedMedia):
        flv.read_video(body)


@pytest.mark.parametrize("body", [b"\x95\x00mp4a", b"\x2f\x01", b"\x91fLaC", b"\x91av01"])
def test_multitrack_and_foreign_audio_is_refused(body: bytes) -> None:
    with pytest.raises(flv.UnsupportedMedia):
        flv.read_audio(body)


@given(st.binary(max_size=40))
def test_any_message_is_read_or_refused(body: bytes) -> None:
    for read in (flv.read_video, flv.read_audio):
        with contextlib.suppress(flv.BadMedia, flv.UnsupportedMedia):
            read(body)


@given(
    st.sampled_from(list(Codec)), st.booleans(), st.integers(-1000, 1000), st.binary(min_size=1, max_size=50)
)
def test_what_is_written_is_read_back(codec: Codec, keyframe: bool, cts: int, data: bytes) -> None:
    read = flv.read_video if codec.is_video else flv.read_audio
    offset = cts if codec in (Codec.H264, Codec.HEVC) else 0
    frame = Frame(1, 0, 0, keyframe or not codec.is_video, data)
    assert read(flv.frame_body(codec, frame, offset)) == Packet(
        Part.FRAME, codec, frame.keyframe, offset, data
    )
    config = read(flv.config_body(Track(1, codec, data, 90_000)))
    assert config is not None
    assert (config.part, config.codec, config.data) == (Part.CONFIG, codec, data)


def test_metadata_is_found_behind_set_data_frame() -> None:
    assert flv.read_metadata(flv.metadata_body({"width": 640.0})) == {"width": 640.0}
    assert flv.read_metadata(amf.encode("onTextData", {"a": 1.0})) == {}
