"""Wiring of Foghorn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.pb import foghorn_v1_pb2 as pb
from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.kit.module import Host, Module
from frameworks.kit.proxies import Proxies
from frameworks.kit.wal import WriteAheadLog
from frameworks.media.foghorn import jobs
from frameworks.media.foghorn.api.calls import FoghornApi, command
from frameworks.media.foghorn.api.play import application
from frameworks.media.foghorn.config import Settings
from frameworks.media.foghorn.domain import Fleet, Weights
from frameworks.media.foghorn.peers import CommodoreDirectory, DecisionRecorder
from frameworks.media.foghorn.service.known import KnownStreams
from frameworks.media.foghorn.service.nodes import Nodes
from frameworks.media.foghorn.service.orders import Orders
from frameworks.media.foghorn.service.passes import Passes
from frameworks.media.foghorn.service.routing import Router
from frameworks.media.foghorn.service.seats import Seats
from frameworks.media.foghorn.service.viewers import VirtualViewers
from frameworks.media.foghorn.store import KnownFile, OrdersFile

SERVICE = pb.DESCRIPTOR.services_by_name["FoghornService"]


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Foghorn needs no database: it starts, and answers for what it knows, whatever is away."""
    settings = host.settings(Settings)
    directory = host.data_dir / "foghorn"
    commodore = CommodoreDirectory(host.peer(CommodoreServiceStub, service="foghorn"))
    known = KnownStreams(
        commodore,
        KnownFile(directory / "known.bin"),
        host.clock,
        fresh=settings.resolution_fresh,
        stale=settings.resolution_stale,
    )
    fleet = Fleet()
    viewers = VirtualViewers(fleet, host.clock, settings.pending_for)
    nodes: Nodes[pb.NodeCommand] = Nodes(
        fleet, viewers, host.clock, stale_after=settings.stale_after, forget_after=settings.forget_after
    )
    seats = Seats(known, viewers, host.clock)
    orders = Orders(
        OrdersFile(directory / "orders.bin"),
        fleet,
        viewers,
        host.clock,
        tell=lambda node, told: nodes.command(node, command(told)),
    )
    decklog = host.peer(DecklogServiceStub, service="foghorn")
    delivery = EventDelivery("foghorn", WriteAheadLog(directory / "wal"), decklog, host.clock)
    recorder = DecisionRecorder(delivery, host.clock)
    router = Router(
        fleet,
        nodes.addresses,
        known,
        commodore,
        viewers,
        seats,
        recorder,
        host.geo(),
        host.clock,
        _weights(settings),
        settings.fallbacks,
    )
    passes = Passes(host.identity("foghorn"), host.clock, settings.telemetry_for)
    host.serve_rpc(
        SERVICE, FoghornApi(nodes, viewers, router, seats, orders, known, passes), service="foghorn"
    )
    host.serve_http(
        application(router, Proxies.named(settings.trusted_proxies), passes),
        service="foghorn",
        port=settings.port,
    )
    sweep = jobs.sweeper(nodes, viewers, known, seats, orders, host.clock)
    for name, loop in {"delivery": delivery.run, "recorder": recorder.run, "sweep": sweep}.items():
        host.spawn(f"foghorn.{name}", loop, module="foghorn")
    host.expose("foghorn", lambda: {"nodes": nodes.standing(), "wal_bytes": delivery.lag_bytes()})
    yield
    known.save()
    orders.save()


def _weights(settings: Settings) -> Weights:
    return Weights(
        settings.cpu_weight,
        settings.ram_weight,
        settings.bandwidth_weight,
        settings.geo_weight,
        settings.stream_bonus,
    )


MODULE = Module("foghorn", start, settings=(Settings,))
