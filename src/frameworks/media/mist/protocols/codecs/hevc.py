"""HEVC: hvcC and the sequence parameter set's size (ISO/IEC 14496-15 §8.3.3, ITU-T H.265 §7.3.2.2)."""

from fractions import Fraction

from frameworks.media.mist.domain import Codec, Track
from frameworks.media.mist.protocols.codecs.bits import BadConfig, Bits, unescaped

_SPS = 33
_HEADER = 23
MAX_SIDE = 16_384


def parameter_sets(hvcc: bytes) -> dict[int, list[bytes]]:
    """NAL units of an hvcC record by their type (32 VPS, 33 SPS, 34 PPS); raises BadConfig."""
    if len(hvcc) < _HEADER or hvcc[0] != 1:
        raise BadConfig("The HEVC configuration is not an hvcC record.")
    found: dict[int, list[bytes]] = {}
    at = _HEADER
    for _ in range(hvcc[22]):
        kind, count = hvcc[at : at + 1], int.from_bytes(hvcc[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(hvcc[at : at + 2], "big")
            unit = hvcc[at + 2 : at + 2 + size]
            if not size or len(unit) != size:
                raise BadConfig("The HEVC configuration is cut short.")
            found.setdefault(kind[0] & 0x3F, []).append(unit)
            at += 2 + size
    return found


def codec_string(hvcc: bytes) -> str:
    """RFC 6381 name with the HEVC suffix of ISO/IEC 14496-15 annex E."""
    space = ("", "A", "B", "C")[hvcc[1] >> 6]
    tier = "H" if hvcc[1] & 0x20 else "L"
    compatibility = int.from_bytes(hvcc[2:6], "big")
    mirrored = int(f"{compatibility:032b}"[::-1], 2)
    constraints = hvcc[6:12].rstrip(b"\0")
    suffix = "".join(f".{byte:X}" for byte in constraints)
    return f"hvc1.{space}{hvcc[1] & 0x1F}.{mirrored:X}.{tier}{hvcc[12]}{suffix}"


def picture_size(nal: bytes) -> tuple[int, int]:
    """Width and height after cropping, from a sequence parameter set NAL unit; raises BadConfig."""
    bits = Bits(unescaped(nal[2:]))
    bits.read(4)
    sub_layers = bits.read(3)
    bits.flag()
    _skip_profile_tier_level(bits, sub_layers)
    bits.unsigned()
    chroma = bits.unsigned()
    if chroma == 3:
        bits.flag()
    width, height = bits.unsigned(), bits.unsigned()
    if bits.flag():
        unit_x, unit_y = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1)
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= (left + right) * unit_x
        height -= (top + bottom) * unit_y
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BadConfig(f"The HEVC picture size {width}x{height} is not possible.")
    return width, height


def _skip_profile_tier_level(bits: Bits, sub_layers: int) -> None:
    bits.read(96)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.read(2 * (8 - sub_layers))
    for profile, level in present:
        bits.read(88 * profile + 8 * level)


def hevc_track(hvcc: bytes) -> Track:
    """The track an hvcC record describes; raises BadConfig."""
    units = parameter_sets(hvcc).get(_SPS)
    if not units:
        raise BadConfig("The HEVC configuration holds no sequence parameter set.")
    if hvcc[21] & 3 != 3:
        raise BadConfig("HEVC with NAL unit lengths other than four bytes is not supported.")
    width, height = picture_size(units[0])
    average = int.from_bytes(hvcc[19:21], "big")
    return Track(
        id=1,
        codec=Codec.HEVC,
        init=hvcc,
        timescale=90_000,
        width=width,
        height=height,
        codec_string=codec_string(hvcc),
        fps=Fraction(average, 256) if average else None,
    )
