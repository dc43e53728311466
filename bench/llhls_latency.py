"""Claim: a part is with every one of 100 blocking readers within 80 ms, at the 95th percentile.

Readers wait for the hinted part; the clock starts when the part's last frame enters the hub and stops when the
reader has the last byte. The limit, measured by turns in the same run on the same loop: a bare asyncio protocol that
answers each of as many readers, asking all at once, with a body of a part's size. Readers are another process.

    python bench/llhls_latency.py [--readers 100] [--mbit 2.5] [--seconds 12]
"""

import argparse
import asyncio
import gc
import json
import re
import sys
import time
from itertools import chain
from typing import cast

import uvloop
from running import holds, show, tell_machine

from frameworks.kit import log
from frameworks.kit.clock import SystemClock
from frameworks.media.mist.config import Settings
from frameworks.media.mist.domain import Codec, Frame, Track
from frameworks.media.mist.hub.lease import Publisher
from frameworks.media.mist.module import Node

FPS, GOP, BEAT = 25, 50, 0.24
BOUND = 0.08
ROUNDS = 6
TRACK = Track(
    1, Codec.H264, bytes.fromhex("0142c01effe1000a6742c01e95a0500aff2201000468ce3c80"), 90_000, 1280, 720
)


class Bare:
    """As much of a host as a node needs."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.stopping = asyncio.Event()


class Echo(asyncio.Protocol):
    """Answers whatever it is sent with a body of a part's size."""

    body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.writelines([data, Echo.body])


# --- the readers' process ---


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]
    return int(head[9:12]), await reader.readexactly(length)


async def _watch(port: int, number: int, until: float) -> list[tuple[int, int, float]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    ask = f"/cmaf/live+bench/~r{number}/v1/%s HTTP/1.1\r\nHost: h\r\n\r\n"
    writer.write(f"GET {ask % 'index.m3u8'}".encode())
    _, playlist = await _answer(reader)
    hint = re.search(rb'PRELOAD-HINT:TYPE=PART,URI="(\d+)\.(\d+)', playlist)
    msn, part = (int(hint[1]), int(hint[2])) if hint else (0, 0)
    found = []
    while time.monotonic() < until:
        writer.write(f"GET {ask % f'{msn}.{part}.m4s'}".encode())
        status, _ = await _answer(reader)
        if status == 200:
            found.append((msn, part, time.monotonic()))
        msn, part = (msn, part + 1) if status == 200 else (msn + 1, 0)
    writer.close()
    return found


async def _echo(port: int, size: int, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    found = []
    while time.monotonic() < until:
        await asyncio.sleep(BEAT - time.monotonic() % BEAT)
        started = time.monotonic()
        writer.write(b"x" * 64)
        await reader.readexactly(64 + size)
        found.append(time.monotonic() - started)
    writer.close()
    return found


async def readers(http: int, echo: int, size: int, count: int, seconds: float) -> None:
    """Watch and echo in turns, so that the machine's other work hits both; print what came when."""
    watched, echoed = list[tuple[int, int, float]](), list[float]()
    gc.freeze()
    for _ in range(ROUNDS):
        until = time.monotonic() + seconds / ROUNDS
        watched += chain.from_iterable(
            await asyncio.gather(*(_watch(http, number, until) for number in range(count)))
        )
        until = time.monotonic() + seconds / ROUNDS
        echoed += chain.from_iterable(await asyncio.gather(*(_echo(echo, size, until) for _ in range(count))))
    json.dump({"watched": watched, "echoed": echoed}, sys.stdout)


# --- the node's process ---


async def publish(node: Node, size: int, stop: asyncio.Event) -> dict[tuple[int, int], float]:
    """Push pictures in real time; when the last frame of each part came."""
    publisher = Publisher("127.0.0.1", "RTMP", 1, lambda reason: None)
    lease = node.hub.open("live+bench", publisher, None)
    lease.tracks([TRACK])
    completed: dict[tuple[int, int], float] = {}
    started, index = time.monotonic(), 0
    while not stop.is_set():
        await asyncio.sleep(max(0.0, started + index / FPS - time.monotonic()))
        data = (size - 4).to_bytes(4, "big") + bytes(size - 4)
        rendition = next(iter(node.hub.active()[0].renditions.values()))
        before, now = rendition.position, time.monotonic()
        lease.frame(Frame(1, index * 90_000 // FPS, 0, index % GOP == 0, data, now))
        after = rendition.position
        if after[0] == before[0] and after[1] > before[1]:
            completed[before] = now
        index += 1
    return completed


async def measure(count: int, mbit: float, seconds: float) -> bool:
    """Print both distributions; whether the claim holds."""
    size = round(mbit * 1e6 / 8 / FPS)
    node = Node(Bare(), Settings(http_port=0, rtmp_port=0))  # type: ignore[arg-type]
    http = (await node.open())["http"]
    Echo.body = bytes(size * 6)
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    stop = asyncio.Event()
    publishing = asyncio.create_task(publish(node, size, stop))
    await asyncio.sleep(3.0)
    gc.collect()
    gc.freeze()
    arguments = (http, server.sockets[0].getsockname()[1], len(Echo.body), count, seconds)
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--as-readers", *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    before = time.process_time()
    out, _ = await child.communicate()
    used = time.process_time() - before
    stop.set()
    completed = await publishing
    server.close()
    await node.close()
    found = json.loads(out)
    parts = [at - completed[msn, part] for msn, part, at in found["watched"] if (msn, part) in completed]
    part, echo = show("part", parts), show("echo", found["echoed"])
    print(f"CPU of the node's process, echo included: {100 * used / (2 * seconds):.0f} % of a core")
    return holds("part", part * 1000, BOUND * 1000, "ms", limit=echo * 1000)


def main() -> None:
    """Run as one side or the other."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--readers", type=int, default=100)
    arguments.add_argument("--mbit", type=float, default=2.5)
    arguments.add_argument("--seconds", type=float, default=12.0)
    arguments.add_argument("--as-readers", nargs=5, metavar="N")
    chosen = arguments.parse_args()
    if chosen.as_readers:
        http, echo, size, count = map(int, chosen.as_readers[:4])
        uvloop.run(readers(http, echo, size, count, float(chosen.as_readers[4])))
        return
    log.setup("ERROR")
    tell_machine()
    sys.exit(not uvloop.run(measure(chosen.readers, chosen.mbit, chosen.seconds)))


if __name__ == "__main__":
    main()
