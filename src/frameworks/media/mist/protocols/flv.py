"""FLV tag bodies, the payload of RTMP media messages: legacy AVC/AAC and Enhanced RTMP v2 FourCC packets."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from frameworks.kit.errors import Refusal
from frameworks.media.mist.domain import Codec, Frame, Track
from frameworks.media.mist.protocols import amf

FOURCC = {
    b"avc1": Codec.H264,
    b"hvc1": Codec.HEVC,
    b"av01": Codec.AV1,
    b"mp4a": Codec.AAC,
    b"Opus": Codec.OPUS,
}
_FOURCC_OF = {codec: fourcc for fourcc, codec in FOURCC.items()}

_LEGACY_AVC, _LEGACY_AAC, _EX_AUDIO = 7, 10, 9
_KEYFRAME, _COMMAND_FRAME = 1, 5
_MOST_CTS = (1 << 23) - 1
_AAC_HEADER = 0xAF
"""AAC, 44 kHz, 16 bit, stereo: the three last are fixed for AAC, whatever the real ones are."""


class BadMedia(Refusal):
    """A media message that does not parse."""

    code: ClassVar = "mist.flv.invalid"


class UnsupportedMedia(Refusal):
    """A codec or packet type that the node does not carry."""

    code: ClassVar = "mist.flv.unsupported"


class Part(Enum):
    """What a media message holds."""

    CONFIG = 0
    FRAME = 1
    NOTHING = 2


@dataclass(slots=True)
class Packet:
    """One audio or video message, taken apart. `cts` in milliseconds."""

    part: Part
    codec: Codec
    keyframe: bool
    cts: int
    data: bytes


class ExPacket:
    """Packet types of Enhanced RTMP; audio and video share the numbers."""

    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    CODED_FRAMES_X = 3
    METADATA = 4
    MULTICHANNEL_CONFIG = 4
    AUDIO_MULTITRACK = 5
    VIDEO_MULTITRACK = 6
    MOD_EX = 7


def read_video(body: bytes | bytearray) -> Packet | None:
    """Take a video message apart; None when it is empty; raises BadMedia or UnsupportedMedia."""
    if not body:
        return None
    first = body[0]
    if first & 0x80:
        return _read_ex_video(body)
    if first & 15 != _LEGACY_AVC:
        raise UnsupportedMedia(f"Video codec {first & 15} is not supported; send H264, HEVC or AV1.")
    frame_type = first >> 4
    if frame_type == _COMMAND_FRAME:
        return Packet(Part.NOTHING, Codec.H264, False, 0, b"")
    if len(body) < 5:
        raise BadMedia("A video message is cut short.")
    part = _part(body[1])
    return Packet(part, Codec.H264, frame_type == _KEYFRAME, _signed24(body, 2), bytes(memoryview(body)[5:]))


def read_audio(body: bytes | bytearray) -> Packet | None:
    """Take an audio message apart; None when it is empty; raises BadMedia or UnsupportedMedia."""
    if not body:
        return None
    kind = body[0] >> 4
    if kind == _EX_AUDIO:
        return _read_ex_audio(body)
    if kind != _LEGACY_AAC:
        raise UnsupportedMedia(f"Audio format {kind} is not supported; send AAC or Opus.")
    if len(body) < 2:
        raise BadMedia("An audio message is cut short.")
    return Packet(_part(body[1]), Codec.AAC, True, 0, bytes(memoryview(body)[2:]))


def _part(packet_type: int) -> Part:
    return Part.CONFIG if packet_type == 0 else Part.FRAME if packet_type == 1 else Part.NOTHING


def _signed24(body: bytes | bytearray, at: int) -> int:
    return int.from_bytes(body[at : at + 3], "big", signed=True)


def _read_ex_video(body: bytes | bytearray) -> Packet:
    frame_type = (body[0] >> 4) & 7
    packet_type, at = _modifiers(body, body[0] & 15)
    if packet_type == ExPacket.VIDEO_MULTITRACK:
        raise UnsupportedMedia("Multitrack video is not supported; send one video track.")
    codec = _codec(body, at, video=True)
    at += 4
    if frame_type == _COMMAND_FRAME:
        return Packet(Part.NOTHING, codec, False, 0, b"")
    cts = 0
    if packet_type == ExPacket.CODED_FRAMES and codec in (Codec.H264, Codec.HEVC):
        if len(body) < at + 3:
            raise BadMedia("A video message is cut short.")
        cts = _signed24(body, at)
        at += 3
    part = _ex_part(packet_type)
    return Packet(part, codec, frame_type == _KEYFRAME, cts, bytes(memoryview(body)[at:]))


def _read_ex_audio(body: bytes | bytearray) -> Packet:
    packet_type, at = _modifiers(body, body[0] & 15)
    if packet_type == ExPacket.AUDIO_MULTITRACK:
        raise UnsupportedMedia("Multitrack audio is not supported; send one audio track.")
    codec = _codec(body, at, video=False)
    return Packet(_ex_part(packet_type), codec, True, 0, bytes(memoryview(body)[at + 4 :]))


def _ex_part(packet_type: int) -> Part:
    if packet_type == ExPacket.SEQUENCE_START:
        return Part.CONFIG
    if packet_type in (ExPacket.CODED_FRAMES, ExPacket.CODED_FRAMES_X):
        return Part.FRAME
    return Part.NOTHING


def _modifiers(body: bytes | bytearray, packet_type: int) -> tuple[int, int]:
    """Step over ModEx blocks (nanosecond offsets): the real packet type, and where the FourCC starts."""
    at = 1
    while packet_type == ExPacket.MOD_EX:
        size = body[at] + 1 if at < len(body) else 0
        at += 1
        if size == 256:
            size = int.from_bytes(body[at : at + 2], "big") + 1
            at += 2
        at += size
        if at >= len(body):
            raise BadMedia("A media message is cut short.")
        packet_type = body[at] & 15
        at += 1
    return packet_type, at


def _codec(body: bytes | bytearray, at: int, *, video: bool) -> Codec:
    fourcc = bytes(body[at : at + 4])
    if len(fourcc) < 4:
        raise BadMedia("A media message is cut short.")
    codec = FOURCC.get(fourcc)
    if codec is None or codec.is_video is not video:
        shown = fourcc.decode("ascii", "replace")
        raise UnsupportedMedia(f"Codec {shown!r} is not supported here.")
    return codec


def codec_id(codec: Codec) -> int:
    """The number `onMetaData` names a codec by."""
    if codec is Codec.H264:
        return _LEGACY_AVC
    return _LEGACY_AAC if codec is Codec.AAC else int.from_bytes(_FOURCC_OF[codec], "big")


def config_body(track: Track) -> bytes:
    """The message that announces a track's configuration record."""
    if track.codec is Codec.H264:
        return b"\x17\0\0\0\0" + track.init
    if track.codec is Codec.AAC:
        return bytes([_AAC_HEADER, 0]) + track.init
    # 0x90 reads as "Enhanced, keyframe" in a video message and as "Enhanced" in an audio message.
    return bytes([0x90 | ExPacket.SEQUENCE_START]) + _FOURCC_OF[track.codec] + track.init


def frame_body(codec: Codec, frame: Frame, cts: int) -> bytes:
    """The message that carries a frame; `cts` in milliseconds."""
    if codec is Codec.AAC:
        return bytes([_AAC_HEADER, 1]) + frame.data
    if codec is Codec.OPUS:
        return bytes([0x90 | ExPacket.CODED_FRAMES]) + b"Opus" + frame.data
    kind = 1 if frame.keyframe else 2
    offset = max(-_MOST_CTS, min(cts, _MOST_CTS)).to_bytes(3, "big", signed=True)
    if codec is Codec.H264:
        return bytes([kind << 4 | _LEGACY_AVC, 1]) + offset + frame.data
    head = bytes([0x80 | kind << 4 | ExPacket.CODED_FRAMES]) + _FOURCC_OF[codec]
    return head + (offset if codec is Codec.HEVC else b"") + frame.data


def read_metadata(body: bytes) -> dict[str, amf.Value]:
    """The properties of an `onMetaData` message, {} for any other script data; raises BadAmf."""
    values = amf.decode(body)
    if values and values[0] == "@setDataFrame":
        values = values[1:]
    if len(values) >= 2 and values[0] == "onMetaData" and isinstance(values[1], dict):
        return values[1]
    return {}


def metadata_body(values: Mapping[str, amf.Value]) -> bytes:
    """An `onMetaData` message as publishers send it."""
    return amf.encode("@setDataFrame", "onMetaData") + amf.encode_metadata(values)
