"""Claim: Signalman's sockets deliver at least half of what bare picows can, and an idle socket takes at most 20 kB.

5,000 sockets of 25 tenants follow `streams`; bursts of changes, each message about 1 KB, are pushed through the real
hub, lanes, encoding and door. The limit, measured in the same run, is a picows server that knows one frame already and
writes each burst to each of the same number of sockets in one piece. The clients are another process, which counts
bytes and does nothing else; both servers run on uvloop.

    python bench/signalman.py
"""

import asyncio
import gc
import multiprocessing
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import uvloop
from picows import WSFrame, WSListener, WSTransport, ws_connect, ws_create_server

from frameworks.contracts.framing import frame
from frameworks.contracts.pb.events_v1_pb2 import Event, StreamLifecycle
from frameworks.data.signalman.api.door import READ_BUFFER, Door, Limits
from frameworks.data.signalman.api.messages import change_frame, text_frame
from frameworks.data.signalman.consumers import changes_in
from frameworks.data.signalman.service.hub import Hub
from frameworks.data.signalman.service.tail import Raw
from frameworks.data.signalman.service.watched import Bounds
from frameworks.kit.clock import SystemClock, uuid7
from frameworks.kit.identity import Identity, TrustStore, Verifier

SOCKETS, TENANTS = 5000, 25
EACH = SOCKETS // TENANTS
BURST, ROUNDS = 20, 12
MESSAGE = 1024
GREETINGS = 4
"""Messages a socket is told before it hears of changes."""
SHARE, IDLE = 0.5, 20_000
CLOCK = SystemClock()
NAMES = [UUID(int=1 + number) for number in range(TENANTS)]


class Counting(WSListener):
    """A client that counts the bytes of messages."""

    received = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        """One message."""
        Counting.received += 1


def clients(orders: Connection) -> None:
    """The clients' process: connects to what it is told, then says how many messages it has."""
    uvloop.run(_clients(orders))


async def _clients(orders: Connection) -> None:
    loop = asyncio.get_running_loop()
    kept: list[WSTransport] = []
    while True:
        order, *told = await loop.run_in_executor(None, orders.recv)
        if order == "connect":
            port, path, tokens = told
            for token in tokens:
                headers = {"authorization": f"Bearer {token}"} if token else {}
                url = f"ws://127.0.0.1:{port}{path}"
                kept.append(
                    (await ws_connect(Counting, url, extra_headers=headers, read_buffer_init_size=65536))[0]
                )
            orders.send(len(kept))
        elif order == "count":
            target = told[0]
            while Counting.received < target:  # noqa: ASYNC110 - counting must cost nothing
                await asyncio.sleep(0.001)
            orders.send(Counting.received)


async def told(orders: Connection, *order: Any) -> int:
    """Give the clients an order and wait for the answer."""
    orders.send(order)
    answer: int = await asyncio.get_running_loop().run_in_executor(None, orders.recv)
    return answer


def resident() -> int:
    """Bytes this process has in memory."""
    gc.collect()
    found: int = psutil.Process().memory_info().rss
    return found


Burst = Callable[[], Callable[[], None]]
"""Prepares a burst; what it gives writes it."""


async def one_round(orders: Connection, burst: Burst) -> float:
    """Deliveries a second, from the first write of a burst to its last message at a client."""
    write = burst()
    target = await told(orders, "count", 0) + BURST * SOCKETS
    began = time.perf_counter()
    write()
    await told(orders, "count", target)
    return BURST * SOCKETS / (time.perf_counter() - began)


async def bare(orders: Connection, message: bytes) -> Burst:
    """A server that knows its frame and writes each burst in one piece."""
    everybody: list[Any] = []

    class Entered(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            everybody.append(transport.underlying_transport.write)

    bound = listening()
    await ws_create_server(
        lambda _: Entered(), sock=bound, use_aiofastnet=False, read_buffer_init_size=READ_BUFFER
    )
    await told(orders, "connect", bound.getsockname()[1], "/", [""] * SOCKETS)

    def burst() -> Callable[[], None]:
        def write() -> None:
            frames = b"".join([text_frame(message)] * BURST)
            for each in everybody:
                each(frames)

        return write

    return burst


class NoHistory:
    """Nothing is live."""

    async def changes(self, tenant: UUID, metadata: Any) -> list[Any]:
        """None."""
        return []


async def signalman(orders: Connection, keys: Path) -> tuple[Burst, float]:
    """The hub, lanes and door as they are; and the bytes of a socket that follows and hears nothing."""
    trust = TrustStore(keys)
    trust.register("commodore")
    identity = Identity("commodore", trust.private_key("commodore"), CLOCK)

    async def ends() -> Mapping[int, int]:
        return {0: 1}

    async def nobody(_: str) -> str:
        raise AssertionError

    hub = Hub(CLOCK, Bounds(), decode=changes_in, ends=ends, encode=change_frame)
    hub.begin("bench", {0: 1})
    door = Door(hub, NoHistory(), Verifier(trust, CLOCK), nobody, CLOCK, Limits(unknown=SOCKETS))
    bound = listening()
    await door.serve(bound, None)
    tokens = [token(identity, tenant) for tenant in NAMES for _ in range(EACH)]
    before = resident()
    await told(orders, "connect", bound.getsockname()[1], "/ws/streams", tokens)
    await told(orders, "count", GREETINGS * SOCKETS)
    idle = (resident() - before) / SOCKETS
    offsets = iter(range(1, 1 << 30))

    def burst() -> Callable[[], None]:
        records = [
            Raw(tenant, 0, next(offsets), frame(change(tenant))) for _ in range(BURST) for tenant in NAMES
        ]

        def write() -> None:
            for record in records:
                hub.take(record)

        return write

    return burst, idle


def change(tenant: UUID) -> bytes:
    """An event whose message is about MESSAGE bytes."""
    event = Event(event_id=uuid7().bytes, type="stream-lifecycle", occurred_at=1, tenant_id=tenant.bytes)
    event.stream_id = tenant.bytes
    event.stream_lifecycle.CopyFrom(StreamLifecycle(state="live", detail="x" * (MESSAGE - 480)))
    return event.SerializeToString()


def token(identity: Identity, tenant: UUID) -> str:
    """A user's token."""
    claims = {"sub": "user", "aud": "frameworks", "kind": "user", "tenant": str(tenant), "roles": ["owner"]}
    told_ = claims | {"scopes": ["analytics:read"]}
    return identity.sign(told_, typ="user", lifetime=timedelta(minutes=15))


def listening() -> socket.socket:
    """A socket that listens on a free port."""
    bound = socket.create_server(("127.0.0.1", 0), backlog=4096)
    bound.setblocking(False)
    return bound


async def main(orders: Connection) -> int:
    """Print rates, ratio and bytes of an idle socket; exit code 1 when a claim does not hold."""
    (sample,) = [one for _, one in changes_in(Raw(NAMES[0], 0, 1, frame(change(NAMES[0]))))]
    size = len(change_frame(NAMES[0], sample, "0123456789ab-1"))
    with tempfile.TemporaryDirectory() as scratch:
        ours, idle = await signalman(orders, Path(scratch))
        limit = await bare(orders, b"x" * (size - 4))
        rates: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            rates.append((await one_round(orders, ours), await one_round(orders, limit)))
    mine, theirs = (statistics.median(rate) for rate in zip(*rates[2:], strict=True))
    print(f"{SOCKETS} sockets, bursts of {BURST} messages of {size} bytes")
    print(f"signalman       {mine:>12,.0f} deliveries/s")
    print(f"bare picows     {theirs:>12,.0f} deliveries/s")
    print(f"ratio           {mine / theirs:>12.2f}  (claim: at least {SHARE})")
    print(f"an idle socket  {idle:>12,.0f} bytes  (claim: at most {IDLE:,})")
    return 0 if mine >= SHARE * theirs and idle <= IDLE else 1


def raise_limit() -> None:
    """Two processes with 10,000 sockets each need more files than the usual limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * SOCKETS + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"This needs {wanted} open files; the hard limit is {hard}.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    raise_limit()
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=clients, args=(theirs,), daemon=True)
    process.start()
    try:
        code = uvloop.run(main(mine))
    finally:
        process.kill()
    sys.exit(code)
