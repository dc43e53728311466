"""Audio: AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), OpusHead (RFC 7845 §5.1), frame lengths."""

from frameworks.media.mist.domain import Codec, Track
from frameworks.media.mist.protocols.codecs.bits import BadConfig, Bits

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8)
_SBR, _PS = 5, 29
OPUS_RATE = 48_000


def aac_track(config: bytes) -> Track:
    """The track an AudioSpecificConfig describes, on the core's sample rate; raises BadConfig."""
    bits = Bits(config)
    kind = _object_type(bits)
    rate = _rate(bits)
    layout = bits.read(4)
    if kind in (_SBR, _PS):
        _rate(bits)
        _object_type(bits)
    if not 0 < layout < len(_CHANNELS):
        raise BadConfig("The AAC channel layout is not one we carry.")
    return Track(
        id=2,
        codec=Codec.AAC,
        init=config,
        timescale=rate,
        channels=_CHANNELS[layout],
        rate=rate,
        codec_string=f"mp4a.40.{kind}",
    )


def _object_type(bits: Bits) -> int:
    kind = bits.read(5)
    if kind == 31:
        kind = 32 + bits.read(6)
    if kind == 0:
        raise BadConfig("The AAC configuration names no object type.")
    return kind


def _rate(bits: Bits) -> int:
    index = bits.read(4)
    rate = bits.read(24) if index == 15 else _RATES[index] if index < len(_RATES) else 0
    if not 7_000 <= rate <= 192_000:
        raise BadConfig("The AAC sample rate is not possible.")
    return rate


def aac_frame_samples(config: bytes) -> int:
    """Samples at the core rate in each frame: 1024, or 960 when the configuration says so."""
    bits = Bits(config)
    kind = _object_type(bits)
    _rate(bits)
    bits.read(4)
    if kind in (_SBR, _PS):
        _rate(bits)
        _object_type(bits)
    return 960 if bits.flag() else 1024


def opus_track(head: bytes) -> Track:
    """The track an OpusHead packet describes, always on a 48 kHz clock; raises BadConfig."""
    if len(head) < 19 or head[:8] != b"OpusHead" or not 0 < head[9] <= 8:
        raise BadConfig("The Opus configuration is not an OpusHead packet.")
    return Track(
        id=2,
        codec=Codec.OPUS,
        init=head,
        timescale=OPUS_RATE,
        channels=head[9],
        rate=OPUS_RATE,
        codec_string="opus",
    )


def opus_packet_samples(packet: bytes) -> int:
    """Samples at 48 kHz in an Opus packet, from its table-of-contents byte (RFC 6716 §3.1)."""
    if not packet:
        return 0
    config = packet[0] >> 3
    if config < 12:
        size = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        size = (480, 960)[config & 1]
    else:
        size = (120, 240, 480, 960)[config & 3]
    return min(size * _opus_frames(packet), 5760)


def _opus_frames(packet: bytes) -> int:
    if packet[0] & 3 == 3:
        return packet[1] & 0x3F if len(packet) > 1 else 0
    return 2 if packet[0] & 3 else 1
