"""Codec configuration records as real encoders write them, cut short, and mutated."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.media.mist.domain import Codec
from frameworks.media.mist.protocols import codecs
from frameworks.media.mist.protocols.codecs.audio import aac_frame_samples, opus_packet_samples
from frameworks.media.mist.protocols.codecs.bits import Bits, unescaped
from frameworks.media.mist.protocols.codecs.h264 import parameter_sets, parse_sps

X264_HIGH = bytes.fromhex(
    "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000668eae3cb22c0fdf8f800"
)
X264_BASELINE_1080 = bytes.fromhex(
    "0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8"
)
X264_INTERLACED = bytes.fromhex(
    "0164001effe100216764001eacd940b424dff80200016b50101014000003000400000300c87c50a658010006"
    "68fba3cb22c0fdf8f800"
)
X265_MAIN_1080 = bytes.fromhex(
    "0101600000009000000000007bf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003007b"
    "959809a10001002a42010101600000030090000003000003007ba003c08010e596566924caf0168080000003008000001904"
    "a2000100074401c172b46240"
)
SVT_AV1 = bytes.fromhex("81010c000a0b0000000cc4ff6700be0010")
AAC_48K_STEREO = bytes.fromhex("119056e500")
OPUS_STEREO = bytes.fromhex("4f707573486561640102380180bb0000000000")


@pytest.mark.parametrize(
    ("config", "size", "fps", "name", "reorder"),
    [
        (X264_HIGH, (1280, 720), Fraction(30), "avc1.64001f", 2),
        (X264_BASELINE_1080, (1920, 1080), Fraction(30000, 1001), "avc1.42c028", 0),
        (X264_INTERLACED, (720, 576), Fraction(25), "avc1.64001e", 2),
    ],
)
def test_an_avcc_record_gives_size_rate_name_and_reordering(
    config: bytes, size: tuple[int, int], fps: Fraction, name: str, reorder: int
) -> None:
    track = codecs.track(Codec.H264, config)
    assert (track.id, track.timescale, track.init) == (1, 90_000, config)
    assert ((track.width, track.height), track.fps, track.codec_string) == (size, fps, name)
    assert parse_sps(parameter_sets(config)[0][0]).reorder == reorder


def test_an_hvcc_record_gives_size_and_name() -> None:
    track = codecs.track(Codec.HEVC, X265_MAIN_1080)
    assert (track.width, track.height, track.codec_string) == (1920, 1080, "hvc1.1.6.L123.90")


def test_an_av1c_record_gives_size_and_name() -> None:
    track = codecs.track(Codec.AV1, SVT_AV1)
    assert (track.width, track.height, track.codec_string) == (640, 360, "av01.0.01M.08")


def test_an_audio_specific_config_gives_rate_channels_and_name() -> None:
    track = codecs.track(Codec.AAC, AAC_48K_STEREO)
    assert (track.id, track.rate, track.timescale, track.channels) == (2, 48_000, 48_000, 2)
    assert track.codec_string == "mp4a.40.2"
    assert aac_frame_samples(AAC_48K_STEREO) == 1024


def test_an_explicit_he_aac_config_keeps_the_core_rate() -> None:
    track = codecs.track(Codec.AAC, bytes.fromhex("2b118800"))
    assert (track.rate, track.codec_string) == (24_000, "mp4a.40.5")


def test_an_opus_head_gives_channels_on_48_khz() -> None:
    track = codecs.track(Codec.OPUS, OPUS_STEREO)
    assert (track.channels, track.timescale, track.codec_string) == (2, 48_000, "opus")


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (b"", 0),
        (b"\xfc", 960),
        (b"\xfd", 1920),
        (b"\xff\x03", 2880),
        (b"\x08", 960),
        (b"\x60", 480),
        (b"\xe4", 120),
    ],
)
def test_an_opus_packet_says_how_long_it_is(packet: bytes, samples: int) -> None:
    assert opus_packet_samples(packet) == samples


def test_short_nal_unit_lengths_are_refused() -> None:
    with pytest.raises(codecs.BadConfig, match="four bytes"):
        codecs.track(Codec.H264, X264_HIGH[:4] + b"\xfd" + X264_HIGH[5:])


def test_a_record_without_parameter_sets_is_refused() -> None:
    for codec, config in (
        (Codec.H264, b"\x01\x64\x00\x1f\xff\xe0\x00"),
        (Codec.HEVC, X265_MAIN_1080[:22] + b"\0"),
    ):
        with pytest.raises(codecs.BadConfig):
            codecs.track(codec, config)


def test_a_huge_record_is_refused() -> None:
    with pytest.raises(codecs.BadConfig, match="larger"):
        codecs.track(Codec.H264, X264_HIGH + bytes(codecs.MAX_CONFIG))


RECORDS = {
    Codec.H264: X264_HIGH,
    Codec.HEVC: X265_MAIN_1080,
    Codec.AV1: SVT_AV1,
    Codec.AAC: AAC_48K_STEREO,
    Codec.OPUS: OPUS_STEREO,
}


@given(st.sampled_from(list(Codec)), st.binary(max_size=80))
def test_any_bytes_give_a_track_or_are_refused(codec: Codec, config: bytes) -> None:
    with contextlib.suppress(codecs.BadConfig):
        codecs.track(codec, config)


@given(st.sampled_from(list(Codec)), st.integers(0, 120), st.integers(0, 255), st.integers(0, 120))
def test_a_mutated_record_gives_a_track_or_is_refused(codec: Codec, at: int, byte: int, end: int) -> None:
    record = bytearray(RECORDS[codec])
    record[at % len(record)] = byte
    with contextlib.suppress(codecs.BadConfig):
        track = codecs.track(codec, bytes(record[: max(end, len(record) - end)]))
        assert track.timescale > 0


def test_emulation_prevention_bytes_are_removed() -> None:
    assert unescaped(bytes.fromhex("00000301000003000003")) == bytes.fromhex(
        "000001000000 00".replace(" ", "")
    )


def test_exp_golomb_numbers_are_read() -> None:
    bits = Bits(bytes([0b1_010_011_0, 0b0100_0000]))
    assert (bits.unsigned(), bits.unsigned(), bits.signed(), bits.unsigned()) == (0, 1, -1, 3)
