"""Garbage from publishers: each refused by a code of its own, and counted by it."""

import asyncio
import os
from contextlib import suppress

import pytest
from fixtures_platform import Platform
from flow_garbage import Watch, send, unharmed

from frameworks.media.mist.protocols.amf import Value
from frameworks.media.mist.protocols.rtmp import messages
from frameworks.media.mist.protocols.rtmp.chunks import ChunkWriter
from frameworks.media.mist.protocols.rtmp.handshake import PACKET
from frameworks.media.mist.protocols.rtmp.messages import Message, MessageType

REFUSED = "frameworks_mist_publishers_refused_total"
HANDSHAKE = b"\x03" + bytes(2 * PACKET)
FLOOD = 1500
"""Connections of one address; 64 are its share."""


def command(stream: int, name: str, *arguments: Value) -> bytes:
    """One command, as an encoder writes it."""
    return ChunkWriter().write(3, messages.command(stream, name, 1.0, *arguments))


CONNECT = command(0, "connect", {"app": "live", "tcUrl": "rtmp://127.0.0.1/live"})
GARBAGE = {
    "random bytes": (b"\xff" + os.urandom(4096), "mist.rtmp.handshake"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "mist.rtmp.handshake"),
    "an encrypted handshake": (b"\x06" + bytes(2 * PACKET), "mist.rtmp.handshake"),
    "a message of 16 MB": (HANDSHAKE + b"\x03" + bytes(3) + b"\xff\xff\xff\x14" + bytes(4), ""),
    "a chunk size of a byte": (
        HANDSHAKE + ChunkWriter().write(2, messages.control(MessageType.SET_CHUNK_SIZE, 1)),
        "mist.rtmp.chunk_size",
    ),
    "a chunk size of 2 GB": (
        HANDSHAKE
        + ChunkWriter().write(2, messages.control(MessageType.SET_CHUNK_SIZE, (1 << 31) - 1))
        + b"\x06"
        + bytes(3)
        + b"\x7f\xff\xff\x09"
        + bytes(4)
        + bytes(200_000),
        "",
    ),
    "sixty messages at once": (
        HANDSHAKE + b"".join(bytes([3 + n]) + bytes(3) + b"\0\x10\0\x14" + bytes(4 + 128) for n in range(60)),
        "mist.rtmp.chunk_streams",
    ),
    "nonsense for commands": (
        HANDSHAKE + ChunkWriter().write(3, Message(MessageType.COMMAND, 0, 0, b"\xff" * 500)),
        "mist.amf.invalid",
    ),
    "media without a key": (
        HANDSHAKE + CONNECT + ChunkWriter().write(6, Message(MessageType.VIDEO, 1, 0, bytes(64))),
        "mist.rtmp.not_publishing",
    ),
    "a viewer": (HANDSHAKE + CONNECT + command(1, "play", None, "x"), "mist.rtmp.no_playback"),
    "a key of a megabyte": (
        HANDSHAKE + CONNECT + command(1, "publish", None, "k" * (1 << 20), "live"),
        "",
    ),
    "a key that is no text": (
        HANDSHAKE + CONNECT + command(1, "publish", None, "\ufffd\0\n" * 50, "live"),
        "mist.rtmp.protocol",
    ),
}
"""What → its bytes, and the code it is refused with where only one fits."""


@pytest.mark.parametrize("what", GARBAGE)
async def test_what_no_encoder_sends_is_refused(platform: Platform, what: str) -> None:
    garbage, code = GARBAGE[what]
    async with unharmed(platform) as watch:
        await send(platform.port("rtmp"), garbage)
        labels = {"code": code} if code else {}
        await watch.moved("mist", REFUSED, 1, **labels)


async def test_half_a_handshake_is_no_error(platform: Platform) -> None:
    async with unharmed(platform):
        for size in (1, 1000, 1 + PACKET, 2 * PACKET):
            _, writer = await asyncio.open_connection("127.0.0.1", platform.port("rtmp"))
            writer.write(HANDSHAKE[:size])
            await writer.drain()
            writer.transport.abort()


async def test_one_address_gets_its_share_of_connections_and_no_more(platform: Platform) -> None:
    async with unharmed(platform) as watch:
        writers = []
        try:
            for _ in range(FLOOD):
                with suppress(ConnectionError):
                    writers.append((await asyncio.open_connection("127.0.0.1", platform.port("rtmp")))[1])
            await _shared(watch)
        finally:
            for writer in writers:
                writer.transport.abort()


async def _shared(watch: Watch) -> None:
    await watch.moved("mist", REFUSED, FLOOD - 64, code="mist.rtmp.connections_per_address")
