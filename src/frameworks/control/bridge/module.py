"""Starts Bridge: one ASGI application for /graphql, /graphql/ws and /auth."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from frameworks.control.bridge.api import access, schema
from frameworks.control.bridge.api.auth import AuthDoor
from frameworks.control.bridge.api.context import Context
from frameworks.control.bridge.api.gate import Budgets, Gate
from frameworks.control.bridge.config import Settings
from frameworks.control.bridge.domain import Caller
from frameworks.control.bridge.peers import SERVICE, Peers, connect
from frameworks.control.bridge.transport.execution import Execution
from frameworks.control.bridge.transport.http import HttpEndpoint, HttpLimits
from frameworks.control.bridge.transport.ratelimit import Buckets, Rate
from frameworks.control.bridge.transport.websocket import SocketEndpoint, SocketSettings
from frameworks.kit.clock import Clock
from frameworks.kit.http import Policy, protect
from frameworks.kit.identity import Verifier
from frameworks.kit.module import Host, Module
from frameworks.kit.proxies import Proxies

METHODS = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"]


def application(settings: Settings, peers: Peers, verifier: Verifier, clock: Clock) -> Starlette:
    """Bridge as an ASGI application, to serve on a port of its own or to mount in another."""
    gate = Gate(peers, verifier, clock)
    public = Rate(settings.public_per_minute, settings.public_burst)
    tenants = Rate(settings.tenant_per_minute, settings.tenant_burst)
    budgets = Budgets(Buckets(tenants, clock), Buckets(public, clock))

    def context(caller: Caller) -> Context:
        return Context(caller, peers, settings, clock)

    execution = Execution(schema.build(), public=access.PUBLIC_FIELDS, context=context)
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
        ]
    )


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Serve until the module is stopped."""
    settings = host.settings(Settings)
    app = application(settings, connect(host), host.verifier(), host.clock)
    policy = Policy(service=SERVICE, proxies=Proxies.named(settings.trusted_proxies), access_log=False)
    host.serve_http(protect(app, policy, clock=host.clock), service=SERVICE, port=settings.port)
    yield


MODULE = Module(
    SERVICE,
    start,
    after=frozenset({"commodore", "quartermaster", "periscope-query", "foghorn", "signalman"}),
    settings=(Settings,),
)
