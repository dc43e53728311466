"""The CMAF muxer: what it writes is parsed back box by box."""

import struct

import pytest
from fixtures_mist import AUDIO, VIDEO, boxes
from hypothesis import given
from hypothesis import strategies as st

from frameworks.media.mist.domain import Codec, Track
from frameworks.media.mist.protocols.cmaf import Sample, Unmuxable, init_segment, part

OPUS_HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 312, 48_000, 0, 0)


def run(content: bytes, *, video: bool) -> list[tuple[int, ...]]:
    """The rows of a `trun`."""
    count, _ = struct.unpack_from(">Ii", content, 4)
    row = ">IIIi" if video else ">II"
    return [struct.unpack_from(row, content, 12 + index * struct.calcsize(row)) for index in range(count)]


@pytest.mark.parametrize(
    ("codec", "init", "entry", "config"),
    [
        (Codec.H264, VIDEO.init, b"avc1", b"avcC"),
        (Codec.HEVC, b"\x01" * 30, b"hvc1", b"hvcC"),
        (Codec.AV1, b"\x81\x04\x0c\x00", b"av01", b"av1C"),
        (Codec.AAC, AUDIO.init, b"mp4a", b"esds"),
        (Codec.OPUS, OPUS_HEAD, b"Opus", b"dOps"),
    ],
)
def test_an_init_segment_holds_the_codec_configuration(
    codec: Codec, init: bytes, entry: bytes, config: bytes
) -> None:
    track = Track(1 if codec.is_video else 2, codec, init, 90_000, 640, 360, 2, 48_000)
    found = dict(boxes(init_segment(track)))
    description = found["/moov/trak/mdia/minf/stbl/stsd"][8:]
    assert description[4:8] == entry
    assert config in description
    if codec.is_video:
        assert description.endswith(config + init)
    assert found["/moov/trak/mdia/hdlr"][8:12] == (b"vide" if codec.is_video else b"soun")
    assert struct.unpack_from(">I", found["/moov/mvex/trex"], 4) == (track.id,)
    assert found["/moov/trak/tkhd"][-8:] == struct.pack(">2I", 640 << 16, 360 << 16)


def test_an_opus_head_becomes_big_endian() -> None:
    track = Track(2, Codec.OPUS, OPUS_HEAD, 48_000, channels=2, rate=48_000)
    description = dict(boxes(init_segment(track)))["/moov/trak/mdia/minf/stbl/stsd"]
    assert description.endswith(b"dOps" + struct.pack(">BBHIhB", 0, 2, 312, 48_000, 0, 0))


@pytest.mark.parametrize(
    "track",
    [
        Track(1, Codec.H264, b"", 90_000),
        Track(2, Codec.AAC, b"\x11", 48_000),
        Track(2, Codec.OPUS, b"OpusTags" + bytes(20), 48_000),
        Track(2, Codec.OPUS, b"OpusHead" + struct.pack("<BBHIhB", 1, 6, 0, 48_000, 0, 1), 48_000),
    ],
)
def test_a_malformed_configuration_is_refused(track: Track) -> None:
    with pytest.raises(Unmuxable):
        init_segment(track)


samples = st.lists(
    st.builds(
        Sample,
        dts=st.just(0),
        cts=st.integers(-(2**31), 2**31 - 1),
        keyframe=st.booleans(),
        data=st.binary(max_size=50),
        duration=st.integers(1, 2**31),
    ),
    min_size=1,
    max_size=20,
)


@given(samples, st.integers(0, 2**63), st.booleans())
def test_a_part_holds_every_sample_in_order(found: list[Sample], start: int, video: bool) -> None:
    track = VIDEO if video else AUDIO
    found[0].dts = start
    written = dict(boxes(part(track, 7, found)))
    assert written["/mdat"] == b"".join(sample.data for sample in found)
    assert struct.unpack_from(">Q", written["/moof/traf/tfdt"], 4) == (start,)
    rows = run(written["/moof/traf/trun"], video=video)
    assert [row[0] for row in rows] == [sample.duration for sample in found]
    assert [row[1] for row in rows] == [len(sample.data) for sample in found]
    if video:
        assert [row[2] == 0x02000000 for row in rows] == [sample.keyframe for sample in found]
        assert [row[3] for row in rows] == [sample.cts for sample in found]


@pytest.mark.parametrize("track", [VIDEO, AUDIO])
def test_the_data_offset_points_at_the_media(track: Track) -> None:
    written = part(track, 1, [Sample(0, 0, True, b"media", 10)])
    content = dict(boxes(written))["/moof/traf/trun"]
    (offset,) = struct.unpack_from(">i", content, 8)
    assert written[offset:] == b"media"


def test_the_producer_time_is_in_front_and_in_ntp() -> None:
    written = dict(boxes(part(VIDEO, 1, [Sample(900, 0, True, b"x", 10)], produced=0.5)))
    assert next(iter(written)) == "/prft"
    assert struct.unpack_from(">IQQ", written["/prft"], 4) == (1, (2_208_988_800 << 32) + (1 << 31), 900)
