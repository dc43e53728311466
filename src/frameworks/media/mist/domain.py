"""Frames, tracks and names of live media: what every protocol parses into and every output reads from."""

from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction


class Codec(Enum):
    """Codecs the node carries, named as MistServer names them."""

    H264 = "H264"
    HEVC = "HEVC"
    AV1 = "AV1"
    AAC = "AAC"
    OPUS = "opus"

    @property
    def is_video(self) -> bool:
        """Whether this is a video codec."""
        return self in (Codec.H264, Codec.HEVC, Codec.AV1)


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream. `init` is avcC / hvcC / av1C / AudioSpecificConfig / OpusHead bytes."""

    id: int
    """1 for video, 2 for audio in a live stream of ours."""
    codec: Codec
    init: bytes
    timescale: int
    """Ticks per second of this track's frame times: 90 000 for video, the sample rate for audio."""
    width: int = 0
    height: int = 0
    channels: int = 0
    rate: int = 0
    """Audio samples per second."""
    codec_string: str = ""
    """RFC 6381, such as `avc1.64001f` or `mp4a.40.2`."""
    fps: Fraction | None = None
    """Declared by the encoder; None when it says nothing."""


@dataclass(slots=True)
class Frame:
    """One coded picture or audio frame, times in the track's ticks, `data` length-prefixed NAL units or raw audio."""

    track: int
    dts: int
    cts: int
    """Presentation minus decode time; non-zero means B-frames."""
    keyframe: bool
    data: bytes
    received: float = field(default=0.0, compare=False)
    """Monotonic seconds when the last byte arrived, for latency measurement."""
