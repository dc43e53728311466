"""RTMP messages: their types, and the small ones that steer the protocol."""

import struct
from enum import IntEnum
from typing import NamedTuple

from frameworks.media.mist.protocols import amf


class MessageType(IntEnum):
    """The type byte of a message."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_SIZE = 5
    PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20
    AGGREGATE = 22


class Message(NamedTuple):
    """A whole message, out of its chunks. `timestamp` is absolute, 32 bits of milliseconds."""

    type: int
    stream: int
    timestamp: int
    body: bytes | bytearray


CONTROL_CHUNKS, COMMAND_CHUNKS, AUDIO_CHUNKS, VIDEO_CHUNKS, DATA_CHUNKS = 2, 3, 4, 6, 5
"""Chunk stream ids, as publishers use them."""

STREAM_BEGIN, PING_REQUEST, PING_RESPONSE = 0, 6, 7
WINDOW = 2_500_000


def control(kind: MessageType, value: int) -> Message:
    """A protocol control message that carries one number."""
    return Message(kind, 0, 0, struct.pack(">I", value))


def peer_bandwidth(window: int) -> Message:
    """Ask the peer to send at most `window` unacknowledged bytes (dynamic limit)."""
    return Message(MessageType.PEER_BANDWIDTH, 0, 0, struct.pack(">IB", window, 2))


def user_control(event: int, value: bytes) -> Message:
    """A user control event."""
    return Message(MessageType.USER_CONTROL, 0, 0, struct.pack(">H", event) + value)


def command(stream: int, *values: amf.Value) -> Message:
    """An AMF0 command."""
    return Message(MessageType.COMMAND, stream, 0, amf.encode(*values))


def status(stream: int, level: str, code: str, description: str) -> Message:
    """An `onStatus` command."""
    facts: dict[str, amf.Value] = {"level": level, "code": code, "description": description}
    return command(stream, "onStatus", 0.0, None, facts)


def number(message: Message) -> int | None:
    """The number a protocol control message carries, None when it is cut short."""
    return int.from_bytes(message.body[:4], "big") if len(message.body) >= 4 else None
