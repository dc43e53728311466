"""Claim: taking RTMP in costs at most 0.5 % of a core per Mbit/s, whatever the publisher's chunk size.

128 bytes is what ffmpeg sends and the dearest there is, 4096 is what OBS sends. The limit, measured in the same run:
an asyncio protocol that reads the same bytes and drops them. CPU seconds of this process are counted; publishers
run in another one, pace themselves in real time, and write as ffmpeg and OBS do.

    python bench/rtmp_ingest.py [--streams 8] [--mbit 6] [--seconds 5]
"""

import argparse
import asyncio
import socket
import sys
import time
from collections.abc import Iterator, Sequence

import uvloop
from running import holds, tell_machine

from frameworks.kit import log
from frameworks.media.mist.domain import Frame, Track
from frameworks.media.mist.protocols.rtmp import messages
from frameworks.media.mist.protocols.rtmp.chunks import DEFAULT_CHUNK, ChunkWriter
from frameworks.media.mist.protocols.rtmp.handshake import PACKET
from frameworks.media.mist.protocols.rtmp.messages import Message, MessageType
from frameworks.media.mist.servers.publishing import Connection, Ending
from frameworks.media.mist.servers.rtmp import RtmpServer

BOUND = 0.5
FPS = 30
AVCC = bytes.fromhex(
    "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000668eae3cb22c0fdf8f800"
)


class Sink:
    """A gate and an ingest that only count."""

    def __init__(self) -> None:
        self.media = 0
        self.ended = asyncio.Semaphore(0)

    async def admit(self, push_url: str, host: str, key: str) -> str:
        return "live+bench"

    def attach(self, runtime_name: str, connection: Connection) -> "Sink":
        return self

    def tracks(self, tracks: Sequence[Track]) -> None:
        pass

    def frame(self, frame: Frame) -> None:
        self.media += len(frame.data)

    def closed(self, reason: Ending) -> None:
        self.ended.release()


class Bare(asyncio.Protocol):
    """Reads and drops."""

    received = 0
    ended: asyncio.Semaphore

    def data_received(self, data: bytes) -> None:
        Bare.received += len(data)

    def connection_lost(self, error: Exception | None) -> None:
        Bare.ended.release()


def opening(writer: ChunkWriter) -> bytes:
    """Everything up to media, sent without waiting for answers."""
    ask = messages.command(0, "connect", 1.0, {"app": "live", "tcUrl": "rtmp://127.0.0.1/live"})
    publish = messages.command(1, "publish", 5.0, None, "key", "live")
    config = Message(MessageType.VIDEO, 1, 0, b"\x17\0\0\0\0" + AVCC)
    small = b"".join(writer.write(3, message) for message in (ask, publish))
    return b"\x03" + bytes(2 * PACKET) + small + writer.write(6, config)


def writes(total: int, chunk: int) -> Iterator[int]:
    """How publishers cut a message into writes: ffmpeg header, body, header, body; OBS whole chunks."""
    apart = chunk == DEFAULT_CHUNK
    header = 12
    while total > 0:
        body = min(total, chunk)
        yield from (header, body) if apart else (header + body,)
        total -= chunk
        header = 1


def publish(port: int, chunk: int, streams: int, mbit: float, seconds: float) -> None:
    """Push `streams` streams in real time, each frame on its time; runs in a process of its own."""
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(streams)]
    writer = ChunkWriter()
    for peer in peers:
        peer.sendall(opening(writer))
        peer.sendall(writer.write(2, messages.control(MessageType.SET_CHUNK_SIZE, chunk)))
    writer.chunk_size = chunk
    body = b"\x27\x01\0\0\0" + bytes(int(mbit * 1e6 / 8 / FPS))
    start = time.monotonic()
    for index in range(int(seconds * FPS)):
        data = writer.write(6, Message(MessageType.VIDEO, 1, index * 1000 // FPS, body))
        for slot, peer in enumerate(peers):
            time.sleep(max(0.0, start + (index + slot / streams) / FPS - time.monotonic()))
            at = 0
            for size in writes(len(body), chunk):
                peer.sendall(data[at : at + size])
                at += size
    end = messages.command(1, "deleteStream", 6.0, None, 1.0)
    for peer in peers:
        peer.sendall(writer.write(3, end))
        peer.close()


async def cost(kind: str, arguments: argparse.Namespace, chunk: int) -> float:
    """Percent of a core per Mbit/s for one kind of reader."""
    loop = asyncio.get_running_loop()
    sink = Sink()
    server = RtmpServer(sink)
    Bare.ended = asyncio.Semaphore(0)
    if kind == "ours":
        port, ended = await server.listen("127.0.0.1", 0), sink.ended
    else:
        listener = await loop.create_server(Bare, "127.0.0.1", 0)
        port, ended = listener.sockets[0].getsockname()[1], Bare.ended
    command = [sys.executable, __file__, "--push", str(port), "--chunk", str(chunk)]
    command += ["--streams", str(arguments.streams), "--mbit", str(arguments.mbit)]
    child = await asyncio.create_subprocess_exec(*command, "--seconds", str(arguments.seconds))
    before = time.process_time()
    for _ in range(arguments.streams):
        await ended.acquire()
    spent = time.process_time() - before
    await child.wait()
    await server.close()
    megabits: float = arguments.streams * arguments.mbit * arguments.seconds
    if kind == "ours" and sink.media < megabits * 1e6 / 8 * 0.95:
        raise SystemExit(f"only {sink.media} bytes of media arrived")
    return spent * 100 / megabits


async def compare(arguments: argparse.Namespace) -> bool:
    """Measure both readers at both chunk sizes; whether the claim holds."""
    kept = []
    for chunk in (128, 4096):
        ours, bare = await cost("ours", arguments, chunk), await cost("bare", arguments, chunk)
        kept.append(holds(f"{chunk}-byte chunks", ours, BOUND, "% of a core per Mbit/s", limit=bare))
    return all(kept)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--mbit", type=float, default=6.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--push", type=int)
    parser.add_argument("--chunk", type=int, default=128)
    arguments = parser.parse_args()
    if arguments.push:
        publish(arguments.push, arguments.chunk, arguments.streams, arguments.mbit, arguments.seconds)
    else:
        log.setup("WARNING")
        tell_machine()
        sys.exit(not uvloop.run(compare(arguments)))


if __name__ == "__main__":
    main()
