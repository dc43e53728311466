"""Starts Bridge: one ASGI application for /graphql, /graphql/ws and /auth."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.control.bridge.api import access, schema
from frameworks.control.bridge.api.auth import AuthDoor
from frameworks.control.bridge.api.context import Context
from frameworks.control.bridge.api.gate import Budgets, Gate
from frameworks.control.bridge.api.requests import RequestCounts
from frameworks.control.bridge.api.telemetry.door import TelemetryDoor
from frameworks.control.bridge.config import Settings
from frameworks.control.bridge.domain import Caller
from frameworks.control.bridge.peers import SERVICE, Outlet, Peers, connect
from frameworks.control.bridge.transport.execution import Execution
from frameworks.control.bridge.transport.http import HttpEndpoint, HttpLimits
from frameworks.control.bridge.transport.ratelimit import Buckets, Rate
from frameworks.control.bridge.transport.websocket import SocketEndpoint, SocketSettings
from frameworks.kit.clock import Clock
from frameworks.kit.http import Policy, protect
from frameworks.kit.identity import Verifier
from frameworks.kit.module import Host, Module
from frameworks.kit.proxies import Proxies
from frameworks.kit.wal import WriteAheadLog

METHODS = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"]


def application(
    settings: Settings,
    peers: Peers,
    verifier: Verifier,
    clock: Clock,
    *,
    counts: RequestCounts | None = None,
    telemetry: TelemetryDoor | None = None,
) -> Starlette:
    """Bridge as an ASGI application, to serve on a port of its own or to mount in another."""
    gate = Gate(peers, verifier, clock)
    public = Rate(settings.public_per_minute, settings.public_burst)
    tenants = Rate(settings.tenant_per_minute, settings.tenant_burst)
    budgets = Budgets(Buckets(tenants, clock), Buckets(public, clock))

    def context(caller: Caller) -> Context:
        return Context(caller, peers, settings, clock)

    execution = Execution(
        schema.build(),
        public=access.PUBLIC_FIELDS,
        context=context,
        observe=counts.observe if counts else None,
        clock=clock,
    )
    http = HttpEndpoint(execution, gate.authenticate, budgets.take, HttpLimits())
    sockets = SocketEndpoint(
        execution,
        gate.authenticate,
        budgets.take,
        clock,
        SocketSettings(per_caller=settings.sockets_per_caller),
    )
    door = AuthDoor(peers, gate, Buckets(public, clock), secure=settings.secure_cookies)
    return Starlette(
        routes=[
            Route("/graphql", http.handle, methods=METHODS),
            Route("/graphql/", http.handle, methods=METHODS),
            WebSocketRoute("/graphql/ws", sockets.handle),
            *door.routes(),
            *(telemetry.routes() if telemetry else ()),
        ]
    )


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Serve until the module is stopped."""
    settings = host.settings(Settings)
    delivery = EventDelivery(
        SERVICE,
        WriteAheadLog(host.data_dir / SERVICE / "wal"),
        host.peer(DecklogServiceStub, service=SERVICE),
        host.clock,
    )
    outlet = Outlet(delivery)
    counts = RequestCounts(outlet, host.clock)
    telemetry = TelemetryDoor(
        host.verifier(),
        outlet,
        host.geo(),
        Buckets(Rate(settings.telemetry_per_minute, settings.telemetry_per_minute), host.clock),
        host.clock,
    )
    app = application(
        settings, connect(host), host.verifier(), host.clock, counts=counts, telemetry=telemetry
    )
    policy = Policy(service=SERVICE, proxies=Proxies.named(settings.trusted_proxies), access_log=False)
    host.serve_http(protect(app, policy, clock=host.clock), service=SERVICE, port=settings.port)
    host.spawn("bridge.delivery", delivery.run, module=SERVICE)
    host.spawn("bridge.outlet", outlet.run, module=SERVICE)
    host.spawn("bridge.requests", lambda: counts.tell_forever(settings.requests_told_every), module=SERVICE)
    yield
    counts.tell()
    await outlet.flush()


MODULE = Module(
    SERVICE,
    start,
    after=frozenset({"commodore", "quartermaster", "periscope-query", "foghorn", "signalman"}),
    settings=(Settings,),
)
