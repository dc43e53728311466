"""One Signalman listener with a memory for a log, and clients that remember what they were told."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from fixtures_signalman import MemoryLog, Replica, event
from picows import WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from frameworks.data.signalman.api.door import Door, Limits
from frameworks.data.signalman.api.messages import change_frame
from frameworks.data.signalman.domain.changes import Change
from frameworks.data.signalman.service.watched import Bounds
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unauthenticated
from frameworks.kit.identity import Identity, TrustStore, Verifier

A, B = UUID(int=1), UUID(int=2)
TENANTS = {A: "tenant-a", B: "tenant-b"}
ALL = ("analytics:read", "infrastructure:read")


class Client(WSListener):
    """A client that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self.code: int | None = None
        self.pings = 0
        self.transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Open."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A message."""
        if frame.msg_type == WSMsgType.TEXT:
            self.told.append(json.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.PING:
            self.pings += 1
        elif frame.msg_type == WSMsgType.CLOSE:
            self.code = int(cast("int", frame.get_close_code()))
            transport.disconnect()
        self.news.set()

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """Gone."""
        self.code = self.code or 1006
        self.news.set()

    def say(self, **asked: Any) -> None:
        """Send a message."""
        self.transport.send(WSMsgType.TEXT, json.dumps(asked).encode())

    async def until(self, true: Callable[["Client"], Any]) -> Any:
        """What `true` says once it says something."""
        async with asyncio.timeout(5):
            while not (found := true(self)):
                self.news.clear()
                await self.news.wait()
        return found

    async def hears(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th message of a kind."""
        await self.until(lambda _: sum(told["type"] == kind for told in self.told) >= count)
        return [told for told in self.told if told["type"] == kind][count - 1]

    async def ended(self) -> int:
        """The code it was closed with."""
        await self.until(lambda _: self.code)
        assert self.code is not None
        return self.code

    @property
    def numbers(self) -> list[int]:
        """Which events it was told of as changes."""
        changes = (told for told in self.told if "event_id" in told and not told.get("snapshot"))
        return [UUID(told["event_id"]).int for told in changes]


@dataclass
class Place:
    """One replica with its listener."""

    log: MemoryLog
    clock: FakeClock
    identity: Identity
    verifier: Verifier
    replica: Replica
    limits: Limits = field(default_factory=lambda: Limits(per_tenant=3))
    history: dict[UUID, list[Change]] = field(default_factory=dict)
    api_tokens: dict[str, str] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    async def open(self) -> None:
        """Listen."""
        self.door = Door(self.replica.hub, self, self.verifier, self.exchange, self.clock, self.limits)
        bound = socket.create_server(("127.0.0.1", 0))
        bound.setblocking(False)
        self.port = bound.getsockname()[1]
        self.server = await self.door.serve(bound, None)
        await self.replica.look()

    async def changes(self, tenant: UUID, metadata: Any) -> list[Change]:
        """What is live; only with the tenant's own credential."""
        token = dict(metadata)["authorization"].removeprefix("Bearer ")
        assert self.verifier.principal(token, "periscope").tenant == tenant
        return self.history.get(tenant, [])

    async def exchange(self, api_token: str) -> str:
        """Commodore's answer."""
        if api_token not in self.api_tokens:
            raise Unauthenticated("There is no such token.")
        return self.api_tokens[api_token]

    def token(self, tenant: UUID, *scopes: str, kind: str = "user", minutes: float = 15) -> str:
        """A user's token."""
        claims = {"sub": TENANTS[tenant], "aud": "frameworks", "kind": kind, "tenant": str(tenant)}
        told = claims | {"scopes": list(scopes or ALL), "roles": ["owner"]}
        return self.identity.sign(told, typ="user", lifetime=timedelta(minutes=minutes))

    async def connect(self, path: str = "/ws", **headers: str) -> Client:
        """A socket."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        _, client = await ws_connect(
            Client, f"ws://127.0.0.1:{self.port}{path}", extra_headers=named, enable_auto_pong=False
        )
        self.clients.append(cast("Client", client))
        return cast("Client", client)

    async def enter(self, tenant: UUID, *channels: str, position: str = "", path: str = "/ws") -> Client:
        """A socket that follows channels."""
        client = await self.connect(path, authorization=f"Bearer {self.token(tenant)}")
        client.say(action="subscribe", channels=list(channels), position=position)
        await client.hears("subscription_confirmed")
        return client

    async def publish(self, tenant: UUID, *numbers: int, kind: str = "stream-lifecycle") -> None:
        """Events, read by the replica."""
        self.log.append(0, tenant, [event(number, tenant, kind=kind) for number in numbers])
        await self.replica.read()


@pytest.fixture
async def socket_place(tmp_path: Path) -> AsyncIterator[Place]:
    """A replica with small limits."""
    clock, log, trust = FakeClock(), MemoryLog(), TrustStore(tmp_path)
    trust.register("commodore")
    bounds = Bounds(changes=8, octets=1 << 20, linger=timedelta(minutes=1))
    replica = Replica(log, clock, bounds, encode=change_frame)
    made = Place(
        log,
        clock,
        Identity("commodore", trust.private_key("commodore"), clock),
        Verifier(trust, clock),
        replica,
    )
    await made.open()
    yield made
    made.door.close()
    for client in made.clients:
        client.transport.disconnect(graceful=False)
    made.server.close()
    await asyncio.sleep(0)


async def refused(place: Place, path: str = "/ws", **headers: str) -> int:
    """The HTTP status of a refusal."""
    with pytest.raises(WSHandshakeError) as refusal:
        await place.connect(path, **headers)
    assert refusal.value.response is not None
    return int(refusal.value.response.status)
