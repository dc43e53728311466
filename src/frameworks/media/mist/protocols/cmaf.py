"""CMAF (ISO/IEC 23000-19): init segments and parts of fragmented MP4, one track a file, from coded frames."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from frameworks.kit.errors import Refusal
from frameworks.media.mist.domain import Codec, Track

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_DATA_REFERENCE_IS_SELF = 1
_SYNC_SAMPLE = 0x02000000
_DIFFERENCE_SAMPLE = 0x01010000
_BASE_IS_MOOF = 0x020000
_NTP_EPOCH = 2_208_988_800
_OPUS_HEAD = struct.Struct("<8sBBHIhB")


class Unmuxable(Refusal):
    """The encoder's codec configuration can not be put into an MP4 sample entry."""

    code: ClassVar = "mist.unmuxable_track"


@dataclass(slots=True)
class Sample:
    """One frame on its track's own clock, with the time it lasts."""

    dts: int
    cts: int
    keyframe: bool
    data: bytes
    duration: int


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *content)


def init_segment(track: Track) -> bytes:
    """`ftyp` and `moov` of a track; raises Unmuxable when its codec configuration is malformed."""
    brands = b"iso6" + b"cmfc" + b"mp41"
    ftyp = _box(b"ftyp", b"iso6", struct.pack(">I", 0), brands)
    mvhd = _full(
        b"mvhd",
        0,
        0,
        struct.pack(">4IIH10x", 0, 0, 1000, 0, 0x10000, 0x0100),
        _MATRIX,
        bytes(24),
        struct.pack(">I", track.id + 1),
    )
    trex = _full(b"trex", 0, 0, struct.pack(">5I", track.id, 1, 0, 0, 0))
    return ftyp + _box(b"moov", mvhd, _trak(track), _box(b"mvex", trex))


def _trak(track: Track) -> bytes:
    enabled_in_movie = 3
    volume = 0 if track.codec.is_video else 0x0100
    tkhd = _full(
        b"tkhd",
        0,
        enabled_in_movie,
        struct.pack(">5I8xhhHxx", 0, 0, track.id, 0, 0, 0, 0, volume),
        _MATRIX,
        struct.pack(">2I", track.width << 16, track.height << 16),
    )
    mdhd = _full(b"mdhd", 0, 0, struct.pack(">4IHH", 0, 0, track.timescale, 0, 0x55C4, 0))
    handler, name, header = (
        (b"vide", b"video\0", _full(b"vmhd", 0, 1, bytes(8)))
        if track.codec.is_video
        else (b"soun", b"audio\0", _full(b"smhd", 0, 0, bytes(4)))
    )
    hdlr = _full(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name)
    url = _full(b"url ", 0, _DATA_REFERENCE_IS_SELF)
    dinf = _box(b"dinf", _full(b"dref", 0, 0, struct.pack(">I", 1), url))
    return _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, _box(b"minf", header, dinf, _stbl(track))))


def _stbl(track: Track) -> bytes:
    entry = _visual_entry(track) if track.codec.is_video else _audio_entry(track)
    return _box(
        b"stbl",
        _full(b"stsd", 0, 0, struct.pack(">I", 1), entry),
        _full(b"stts", 0, 0, bytes(4)),
        _full(b"stsc", 0, 0, bytes(4)),
        _full(b"stsz", 0, 0, bytes(8)),
        _full(b"stco", 0, 0, bytes(4)),
    )


def _visual_entry(track: Track) -> bytes:
    kind, config = {
        Codec.H264: (b"avc1", b"avcC"),
        Codec.HEVC: (b"hvc1", b"hvcC"),
        Codec.AV1: (b"av01", b"av1C"),
    }[track.codec]
    if len(track.init) < 4:
        raise Unmuxable("The video configuration is too short.", codec=track.codec.value)
    resolution_72_dpi = 0x480000
    fields = struct.pack(
        ">6xH16xHHIIIH32xHh",
        1,
        track.width & 0xFFFF,
        track.height & 0xFFFF,
        resolution_72_dpi,
        resolution_72_dpi,
        0,
        1,
        24,
        -1,
    )
    return _box(kind, fields, _box(config, track.init))


def _audio_entry(track: Track) -> bytes:
    fields = struct.pack(">6xH8xHH4xI", 1, track.channels, 16, min(track.rate, 0xFFFF) << 16)
    if track.codec is Codec.OPUS:
        return _box(b"Opus", fields, _box(b"dOps", _opus_specific(track.init)))
    return _box(b"mp4a", fields, _full(b"esds", 0, 0, _es_descriptor(track)))


def _descriptor(tag: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes((0x80 | size >> 21 & 0x7F, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F, size & 0x7F))
    return bytes((tag,)) + length + body


def _es_descriptor(track: Track) -> bytes:
    if len(track.init) < 2:
        raise Unmuxable("The AudioSpecificConfig is too short.")
    mpeg4_audio, audio_stream = 0x40, 0x15
    config = struct.pack(">BB3xII", mpeg4_audio, audio_stream, 0, 0) + _descriptor(5, track.init)
    return _descriptor(3, struct.pack(">HB", track.id, 0) + _descriptor(4, config) + _descriptor(6, b"\x02"))


def _opus_specific(head: bytes) -> bytes:
    """dOps (Opus in ISOBMFF §4.3.2) is OpusHead (RFC 7845 §5.1) in big-endian, without its magic."""
    if len(head) < _OPUS_HEAD.size or not head.startswith(b"OpusHead"):
        raise Unmuxable("The Opus configuration is not an OpusHead.")
    _, _, channels, preskip, rate, gain, family = _OPUS_HEAD.unpack_from(head)
    mapping = head[_OPUS_HEAD.size :] if family else b""
    if family and len(mapping) < 2 + channels:
        raise Unmuxable("The OpusHead lacks its channel mapping.")
    return struct.pack(">BBHIhB", 0, channels, preskip, rate, gain, family) + mapping[: 2 + channels]


def part(track: Track, sequence: int, samples: Sequence[Sample], *, produced: float | None = None) -> bytes:
    """`moof` and `mdat` of some samples; `produced` (Unix seconds of the first) adds a `prft` in front."""
    first = samples[0].dts
    row = struct.Struct(">IIIi" if track.codec.is_video else ">II")
    flags = 0xF01 if track.codec.is_video else 0x301
    head_size = 8 + 16 + (8 + 16 + 20 + 20 + row.size * len(samples))
    rows = [
        row.pack(s.duration, len(s.data), _SYNC_SAMPLE if s.keyframe else _DIFFERENCE_SAMPLE, s.cts)
        if track.codec.is_video
        else row.pack(s.duration, len(s.data))
        for s in samples
    ]
    trun = _full(b"trun", 1, flags, struct.pack(">Ii", len(samples), head_size + 8), *rows)
    tfhd = _full(b"tfhd", 0, _BASE_IS_MOOF, struct.pack(">I", track.id))
    tfdt = _full(b"tfdt", 1, 0, struct.pack(">Q", first))
    mfhd = _full(b"mfhd", 0, 0, struct.pack(">I", sequence & 0xFFFFFFFF))
    moof = _box(b"moof", mfhd, _box(b"traf", tfhd, tfdt, trun))
    size = 8 + sum(len(s.data) for s in samples)
    front = b"" if produced is None else _producer_time(track, produced, first)
    return b"".join((front, moof, struct.pack(">I4s", size, b"mdat"), *(s.data for s in samples)))


def _producer_time(track: Track, produced: float, media_time: int) -> bytes:
    ntp = int((produced + _NTP_EPOCH) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF
    arbitrary_but_consistent = 24
    return _full(b"prft", 1, arbitrary_but_consistent, struct.pack(">IQQ", track.id, ntp, media_time))
