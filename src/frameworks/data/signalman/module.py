"""Wiring of Signalman."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceStub
from frameworks.contracts.topics import ANALYTICS_EVENTS
from frameworks.data.signalman.api.calls import SERVICE, Api
from frameworks.data.signalman.api.door import Door, Limits
from frameworks.data.signalman.api.messages import change_frame
from frameworks.data.signalman.config import Settings
from frameworks.data.signalman.consumers import Follower, changes_in
from frameworks.data.signalman.peers import ApiTokens, LiveStreams
from frameworks.data.signalman.service.hub import Hub
from frameworks.data.signalman.service.watched import Bounds
from frameworks.kit.eventlog import EventLog
from frameworks.kit.module import Host, Module
from frameworks.kit.tls import TlsFiles


async def end_with(host: Host, hub: Hub, door: Door) -> None:
    """End subscriptions as soon as the process is to stop, so that it need not wait for them."""
    await host.stopping.wait()
    hub.close()
    door.close()
    await asyncio.get_running_loop().create_future()


def hub_of(host: Host, settings: Settings, log: EventLog) -> Hub:
    """The hub over the event log."""

    async def ends() -> Mapping[int, int]:
        return (await log.extent(ANALYTICS_EVENTS)).end

    bounds = Bounds(
        changes=settings.changes,
        octets=settings.changes_bytes,
        remembered=settings.remembered,
        tail=settings.backlog_bytes,
        per_tenant=settings.per_tenant,
        linger=settings.linger,
    )
    return Hub(host.clock, bounds, decode=changes_in, ends=ends, encode=change_frame)


def limits(settings: Settings) -> Limits:
    """The bounds of sockets."""
    return Limits(
        sockets=settings.sockets,
        per_tenant=settings.sockets_per_tenant,
        unknown=settings.sockets_unknown,
        greeting=settings.greeting.total_seconds(),
        ping_every=settings.ping_every.total_seconds(),
        write_within=settings.write_within.total_seconds(),
        buffer=settings.socket_buffer,
        origins=frozenset(origin.lower() for origin in settings.origins),
    )


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Follow the log, offer SignalmanService; open subscriptions end with it."""
    settings = host.settings(Settings)
    log = await host.eventlog()
    hub = hub_of(host, settings, log)
    tokens = ApiTokens(host.peer(CommodoreServiceStub, service="signalman"))
    live = LiveStreams(host.peer(PeriscopeServiceStub, service="signalman"))
    follower = Follower(log, hub, host.clock, backlog=settings.backlog)
    host.spawn("follow", follower.run, module="signalman")
    host.serve_rpc(SERVICE, Api(hub, live), service="signalman")
    door = Door(hub, live, host.verifier(), tokens.exchange, host.clock, limits(settings))
    tls = TlsFiles.named(settings.tls_certificate, settings.tls_key, prefix=Settings.PREFIX)
    host.serve_socket(
        door.serve,
        service="signalman",
        port=settings.port,
        address=settings.address,
        setting="SIGNALMAN_PORT",
        tls=tls,
    )
    host.spawn("look_after", door.look_after, module="signalman")
    host.spawn("end", lambda: end_with(host, hub, door), module="signalman")
    host.expose("following", follower.facts)
    host.expose("subscriptions", lambda: {"open": hub.open, "sockets": door.open})
    try:
        yield
    finally:
        hub.close()
        door.close()


MODULE = Module("signalman", start, after=frozenset({"decklog", "periscope-query"}), settings=(Settings,))
