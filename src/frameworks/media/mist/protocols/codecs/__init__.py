"""Codec configuration records: from avcC, hvcC, av1C, AudioSpecificConfig or OpusHead bytes to a `Track`."""

from frameworks.media.mist.domain import Codec, Track
from frameworks.media.mist.protocols.codecs.audio import aac_track, opus_track
from frameworks.media.mist.protocols.codecs.av1 import av1_track
from frameworks.media.mist.protocols.codecs.bits import BadConfig
from frameworks.media.mist.protocols.codecs.h264 import h264_track
from frameworks.media.mist.protocols.codecs.hevc import hevc_track

__all__ = ["MAX_CONFIG", "BadConfig", "track"]

MAX_CONFIG = 64 * 1024
"""Bytes of a configuration record; a real one has less than a thousandth of that."""

_READERS = {
    Codec.H264: h264_track,
    Codec.HEVC: hevc_track,
    Codec.AV1: av1_track,
    Codec.AAC: aac_track,
    Codec.OPUS: opus_track,
}


def track(codec: Codec, config: bytes) -> Track:
    """The track this configuration record describes (id 1 for video, 2 for audio); raises BadConfig."""
    if len(config) > MAX_CONFIG:
        raise BadConfig(f"The {codec.value} configuration is larger than {MAX_CONFIG} bytes.")
    return _READERS[codec](config)
