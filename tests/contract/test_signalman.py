"""Signalman as a process over a real event log: a socket hears, goes on after a restart, and over TLS."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fixtures_eventlog import Place, on_whole_engines
from fixtures_signalman import event
from fixtures_tls import new_authority
from websockets.asyncio.client import ClientConnection, connect

from frameworks.contracts.framing import frame
from frameworks.contracts.topics import ANALYTICS_EVENTS, PARTITIONS
from frameworks.data.signalman.module import MODULE
from frameworks.kit.clock import SystemClock, uuid7
from frameworks.kit.eventlog import EventLog, Outgoing
from frameworks.kit.eventlog import connect as connect_log
from frameworks.kit.host import ProcessHost, serve
from frameworks.kit.identity import Identity, TrustStore

pytestmark = on_whole_engines


@pytest.fixture
async def event_log(place: Place) -> AsyncIterator[EventLog]:
    """A connection to the engine, in place of the session's only NATS server."""
    log = await connect_log(place.url)
    yield log
    await log.close()


@pytest.fixture
async def env(tmp_path: Path, place: Place, event_log: EventLog) -> dict[str, str]:
    """An installation whose Periscope is away."""
    for name in ("signalman", "commodore"):
        TrustStore(tmp_path / "keys").register(name)
    await event_log.ensure(ANALYTICS_EVENTS, partitions=PARTITIONS)
    return {
        "FRAMEWORKS_DATA_DIR": str(tmp_path),
        "FRAMEWORKS_EVENTLOG": place.url,
        "FRAMEWORKS_ADMIN_PORT": "0",
        "FRAMEWORKS_STOP_GRACE": "100ms",
        "SIGNALMAN_PORT": "0",
    }


@asynccontextmanager
async def running(env: dict[str, str]) -> AsyncIterator[int]:
    """The process; its port for sockets."""
    host, ready = ProcessHost(env, rules={}), asyncio.Event()
    task = asyncio.create_task(serve([MODULE], host, ready.set, signals=False))
    async with asyncio.timeout(20):
        await ready.wait()
    yield host.ports["signalman"]
    host.stopping.set()
    await task


def token(env: dict[str, str], tenant: UUID) -> str:
    """A user's credential."""
    key = TrustStore(Path(env["FRAMEWORKS_DATA_DIR"]) / "keys").private_key("commodore")
    claims = {"sub": "user", "aud": "frameworks", "kind": "user", "tenant": str(tenant), "roles": []}
    scoped = claims | {"scopes": ["analytics:read"]}
    return Identity("commodore", key, SystemClock()).sign(scoped, typ="user", lifetime=timedelta(minutes=5))


async def hear(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    async with asyncio.timeout(20):
        while True:
            told: dict[str, Any] = json.loads(await socket.recv())
            if told["type"] == kind:
                return told


async def publish(log: EventLog, tenant: UUID, number: int) -> None:
    """A record of one event."""
    value = frame(event(number, tenant).SerializeToString())
    await log.publish([Outgoing(ANALYTICS_EVENTS, 0, value, {"tenant_id": str(tenant)})])


async def entered(socket: ClientConnection, position: str = "") -> None:
    """Follow the streams; the log may not have been reached yet."""
    await socket.send(json.dumps({"action": "subscribe", "channels": ["streams"], "position": position}))
    await hear(socket, "subscription_confirmed")


async def test_a_socket_goes_on_after_the_process_was_restarted(
    env: dict[str, str], event_log: EventLog
) -> None:
    tenant = uuid7()
    headers = {"Authorization": f"Bearer {token(env, tenant)}"}
    async with running(env) as port:
        one = await connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers)
        await entered(one)
        assert not (await hear(one, "snapshot_started"))["complete"]
        await hear(one, "snapshot_finished")
        await publish(event_log, tenant, 1)
        position = (await hear(one, "stream-lifecycle"))["position"]
    await one.wait_closed()
    assert one.close_code == 1001
    await publish(event_log, tenant, 2)
    async with running(env) as port, connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers) as two:
        await entered(two, position)
        await hear(two, "resumed")
        assert UUID((await hear(two, "stream-lifecycle"))["event_id"]).int == 2


async def test_sockets_are_served_over_tls(env: dict[str, str], tmp_path: Path) -> None:
    authority, certificate, key = new_authority(), tmp_path / "server.pem", tmp_path / "server.key"
    authority.issue(certificate, key)
    secured = env | {"SIGNALMAN_TLS_CERTIFICATE": str(certificate), "SIGNALMAN_TLS_KEY": str(key)}
    headers = {"Authorization": f"Bearer {token(env, uuid7())}"}
    trust = ssl.create_default_context(cafile=str(authority.keep(tmp_path / "authority.pem")))
    async with (
        running(secured) as port,
        connect(f"wss://127.0.0.1:{port}/ws", additional_headers=headers, ssl=trust) as socket,
    ):
        await hear(socket, "authenticated")
