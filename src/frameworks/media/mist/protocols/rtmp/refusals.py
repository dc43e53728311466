"""What a session refuses, and the limits it refuses by: typed, shown to the peer, counted by code."""

from dataclasses import dataclass
from typing import ClassVar

from frameworks.kit.errors import Kind, Refusal


class BadProtocol(Refusal):
    """The peer does not speak RTMP as written."""

    code: ClassVar = "mist.rtmp.protocol"


class EncryptedHandshake(BadProtocol):
    """RTMPE, or not RTMP at all; RTMPS is the way to encrypt."""

    code: ClassVar = "mist.rtmp.handshake"


class TooLarge(Refusal):
    """A message longer than a message may be."""

    kind = Kind.TOO_LARGE
    code: ClassVar = "mist.rtmp.message_length"


class TooManyChunkStreams(Refusal):
    """More chunk streams than a session may use."""

    kind = Kind.LIMITED
    code: ClassVar = "mist.rtmp.chunk_streams"


class BadChunkSize(Refusal):
    """A chunk size no encoder needs."""

    code: ClassVar = "mist.rtmp.chunk_size"


class TooMuchUnauthenticated(Refusal):
    """More bytes than a publisher needs to say who it is."""

    kind = Kind.LIMITED
    code: ClassVar = "mist.rtmp.unauthenticated_bytes"


class NotPublishing(Refusal):
    """Media, or a command, that is only valid after `publish`."""

    kind = Kind.PRECONDITION
    code: ClassVar = "mist.rtmp.not_publishing"


class NoPlayback(Refusal):
    """Viewers do not come by RTMP."""

    kind = Kind.PRECONDITION
    code: ClassVar = "mist.rtmp.no_playback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one RTMP session may use."""

    message_bytes: int = 8 << 20
    """Longest message; a keyframe of 50 Mbit/s video has about a tenth of this."""
    unauthenticated_bytes: int = 64 << 10
    """Everything a peer may send until its `publish` is admitted, handshake included."""
    command_bytes: int = 16 << 10
    """Longest command, script data, or message before `publish`."""
    chunk_streams: int = 32
    smallest_chunk: int = 128
    text_length: int = 1024
    """Longest application name, key, or URL."""
