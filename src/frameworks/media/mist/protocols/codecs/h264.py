"""H.264: avcC and the sequence parameter set (ITU-T H.264 §7.3.2.1, ISO/IEC 14496-15 §5.3.3)."""

from dataclasses import dataclass
from fractions import Fraction

from frameworks.media.mist.domain import Codec, Track
from frameworks.media.mist.protocols.codecs.bits import BadConfig, Bits, unescaped

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_EXTENDED_SAR = 255
MAX_SIDE = 16_384


@dataclass(frozen=True, slots=True)
class Sps:
    """What a sequence parameter set says about the picture."""

    profile: int
    constraints: int
    level: int
    width: int
    height: int
    fps: Fraction | None = None
    reorder: int | None = None
    """Frames a decoder may have to hold back: 0 promises no B-frames, None when the encoder says nothing."""

    @property
    def codec_string(self) -> str:
        """RFC 6381 §3.3."""
        return f"avc1.{self.profile:02x}{self.constraints:02x}{self.level:02x}"


def parse_sps(nal: bytes) -> Sps:
    """Read a sequence parameter set NAL unit; raises BadConfig."""
    if len(nal) < 4 or nal[0] & 0x1F != 7:
        raise BadConfig("The H264 configuration holds no sequence parameter set.")
    bits = Bits(unescaped(nal[1:]))
    profile, constraints, level = bits.read(8), bits.read(8), bits.read(8)
    bits.unsigned()
    chroma = _high_profile_fields(bits) if profile in _HIGH_PROFILES else 1
    bits.unsigned()
    _picture_order(bits)
    bits.unsigned()
    bits.flag()
    width, height = _size(bits, chroma)
    fps, reorder = _usability(bits) if bits.flag() else (None, None)
    if reorder is None and profile == 66:
        reorder = 0
    return Sps(profile, constraints, level, width, height, fps, reorder)


def _high_profile_fields(bits: Bits) -> int:
    chroma = bits.unsigned()
    if chroma > 3:
        raise BadConfig("The H264 chroma format does not exist.")
    if chroma == 3:
        bits.flag()
    bits.unsigned()
    bits.unsigned()
    bits.flag()
    if bits.flag():
        for index in range(8 if chroma != 3 else 12):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _picture_order(bits: Bits) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.flag()
        bits.signed()
        bits.signed()
        cycle = bits.unsigned()
        if cycle > 255:
            raise BadConfig("The H264 picture order cycle is too long.")
        for _ in range(cycle):
            bits.signed()


def _size(bits: Bits, chroma: int) -> tuple[int, int]:
    width = (bits.unsigned() + 1) * 16
    rows = bits.unsigned() + 1
    frames_only = bits.flag()
    if not frames_only:
        bits.flag()
    height = rows * 16 * (2 - frames_only)
    bits.flag()
    if bits.flag():
        unit_x = 2 if chroma in (1, 2) else 1
        unit_y = (2 if chroma == 1 else 1) * (2 - frames_only)
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= (left + right) * unit_x
        height -= (top + bottom) * unit_y
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BadConfig(f"The H264 picture size {width}x{height} is not possible.")
    return width, height


def _usability(bits: Bits) -> tuple[Fraction | None, int | None]:
    """VUI parameters (annex E): frame rate and reorder depth."""
    if bits.flag() and bits.read(8) == _EXTENDED_SAR:
        bits.read(32)
    if bits.flag():
        bits.flag()
    if bits.flag():
        bits.read(4)
        if bits.flag():
            bits.read(24)
    if bits.flag():
        bits.unsigned()
        bits.unsigned()
    fps = _timing(bits) if bits.flag() else None
    return fps, _reorder(bits)


def _timing(bits: Bits) -> Fraction | None:
    tick, scale = bits.read(32), bits.read(32)
    bits.flag()
    fps = Fraction(scale, 2 * tick) if tick and scale else None
    return fps if fps and fps <= 1000 else None


def _reorder(bits: Bits) -> int | None:
    nal_hrd = bits.flag()
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.flag()
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.flag()
    bits.flag()
    if not bits.flag():
        return None
    bits.flag()
    for _ in range(4):
        bits.unsigned()
    return bits.unsigned()


def _skip_hrd(bits: Bits) -> None:
    count = bits.unsigned() + 1
    if count > 32:
        raise BadConfig("The H264 buffer description is too long.")
    bits.read(8)
    for _ in range(count):
        bits.unsigned()
        bits.unsigned()
        bits.flag()
    bits.read(20)


def parameter_sets(avcc: bytes) -> tuple[list[bytes], list[bytes]]:
    """(SPS units, PPS units) of an avcC record; raises BadConfig."""
    if len(avcc) < 7 or avcc[0] != 1:
        raise BadConfig("The H264 configuration is not an avcC record.")
    sps, at = _units(avcc, 6, avcc[5] & 0x1F)
    if at >= len(avcc):
        raise BadConfig("The H264 configuration is cut short.")
    pps, _ = _units(avcc, at + 1, avcc[at])
    return sps, pps


def _units(record: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    units = []
    for _ in range(count):
        size = int.from_bytes(record[at : at + 2], "big")
        unit = record[at + 2 : at + 2 + size]
        if not size or len(unit) != size:
            raise BadConfig("The H264 configuration is cut short.")
        units.append(unit)
        at += 2 + size
    return units, at


def h264_track(avcc: bytes) -> Track:
    """The track an avcC record describes; raises BadConfig."""
    sps_units, pps_units = parameter_sets(avcc)
    if not sps_units or not pps_units:
        raise BadConfig("The H264 configuration lacks a parameter set.")
    if avcc[4] & 3 != 3:
        raise BadConfig("H264 with NAL unit lengths other than four bytes is not supported.")
    sps = parse_sps(sps_units[0])
    return Track(
        id=1,
        codec=Codec.H264,
        init=avcc,
        timescale=90_000,
        width=sps.width,
        height=sps.height,
        codec_string=sps.codec_string,
        fps=sps.fps,
    )
