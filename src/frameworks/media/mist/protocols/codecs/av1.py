"""AV1: av1C and the sequence header's size and frame rate (AV1-ISOBMFF §2.3, AV1 specification §5.5)."""

from fractions import Fraction

from frameworks.media.mist.domain import Codec, Track
from frameworks.media.mist.protocols.codecs.bits import BadConfig, Bits

_SEQUENCE_HEADER = 1


def codec_string(av1c: bytes) -> str:
    """AV1-ISOBMFF §5: profile, level, tier and bit depth."""
    tier = "H" if av1c[2] & 0x80 else "M"
    high, twelve = av1c[2] & 0x40, av1c[2] & 0x20
    depth = 12 if high and twelve else 10 if high else 8
    return f"av01.{av1c[1] >> 5}.{av1c[1] & 0x1F:02d}{tier}.{depth:02d}"


def sequence_header(obus: bytes) -> bytes:
    """The payload of the first sequence header OBU; raises BadConfig."""
    at = 0
    while at < len(obus):
        header = obus[at]
        at += 2 if header & 4 else 1
        size = len(obus) - at
        if header & 2:
            size, at = _leb128(obus, at)
        if (header >> 3) & 15 == _SEQUENCE_HEADER:
            return obus[at : at + size]
        at += size
    raise BadConfig("The AV1 configuration holds no sequence header.")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, at + index + 1
    raise BadConfig("The AV1 configuration is cut short.")


def picture(header: bytes) -> tuple[int, int, Fraction | None]:
    """Maximum width and height, and the declared frame rate, of a sequence header; raises BadConfig."""
    bits = Bits(header)
    bits.read(4)
    fps = None
    if bits.flag():
        bits.read(5)
    else:
        fps = _operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1, fps


def _operating_points(bits: Bits) -> Fraction | None:
    fps, delay_bits = None, 0
    if bits.flag():
        fps = _timing(bits)
        if bits.flag():
            delay_bits = bits.read(5) + 1
            bits.read(42)
    delays = bits.flag()
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.flag()
        if delay_bits and bits.flag():
            bits.read(2 * delay_bits + 1)
        if delays and bits.flag():
            bits.read(4)
    return fps


def _timing(bits: Bits) -> Fraction | None:
    tick, scale = bits.read(32), bits.read(32)
    per_picture = bits.unsigned() + 1 if bits.flag() else 1
    fps = Fraction(scale, tick * per_picture) if tick and scale else None
    return fps if fps and fps <= 1000 else None


def av1_track(av1c: bytes) -> Track:
    """The track an av1C record describes; raises BadConfig."""
    if len(av1c) < 5 or av1c[0] != 0x81:
        raise BadConfig("The AV1 configuration is not an av1C record with a sequence header.")
    width, height, fps = picture(sequence_header(av1c[4:]))
    return Track(
        id=1,
        codec=Codec.AV1,
        init=av1c,
        timescale=90_000,
        width=width,
        height=height,
        codec_string=codec_string(av1c),
        fps=fps,
    )
