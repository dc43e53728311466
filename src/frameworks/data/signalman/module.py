"""Wiring of Signalman."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceStub
from frameworks.data.signalman.api import SERVICE, Api
from frameworks.data.signalman.config import Settings
from frameworks.data.signalman.consumers import Follower
from frameworks.data.signalman.peers import LiveStreams
from frameworks.data.signalman.service import Hub
from frameworks.kit.module import Host, Module


async def end_with(host: Host, hub: Hub) -> None:
    """End subscriptions as soon as the process is to stop, so that it need not wait for them."""
    await host.stopping.wait()
    hub.close()
    await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Follow the log, offer SignalmanService; open subscriptions end with it."""
    settings = host.settings(Settings)
    log = await host.eventlog()
    hub = Hub(
        host.clock,
        buffer=settings.buffer,
        per_tenant=settings.per_tenant,
        remembered=settings.remembered,
        linger=settings.linger,
    )
    live = LiveStreams(host.peer(PeriscopeServiceStub, service="signalman"))
    host.spawn("follow", Follower(log, hub, host.clock).run, module="signalman")
    host.spawn("end", lambda: end_with(host, hub), module="signalman")
    host.serve_rpc(SERVICE, Api(hub, live), service="signalman")
    host.expose("subscriptions", lambda: {"open": hub.open})
    try:
        yield
    finally:
        hub.close()


MODULE = Module("signalman", start, after=frozenset({"decklog", "periscope-query"}), settings=(Settings,))
