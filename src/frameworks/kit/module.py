"""A module is something that can be started; `run` starts a set of them in order and stops it in reverse.

A module asks its `Host` for infrastructure only (settings, stores, peers, listeners), never for a service.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from frameworks.kit.clock import Clock

if TYPE_CHECKING:
    import grpc.aio

    from frameworks.kit.analytics import Analytics
    from frameworks.kit.eventlog import EventLog
    from frameworks.kit.geo import Geo
    from frameworks.kit.identity import Identity, Verifier
    from frameworks.kit.sql import Database
    from frameworks.kit.tls import TlsFiles

T = TypeVar("T")
Stub = TypeVar("Stub")
ASGI = Callable[..., Awaitable[None]]
Serve = Callable[[socket.socket, ssl.SSLContext | None], Awaitable[asyncio.Server]]
"""Makes a server of a socket that listens, with TLS if there is a context."""


class Host(Protocol):
    """What a module may ask for; the same whether its peers run beside it or on another continent."""

    clock: Clock
    stopping: asyncio.Event
    data_dir: Path
    """Where this process may keep files of its own."""

    def geo(self) -> "Geo":
        """Where addresses are, coarsely."""

    def settings(self, kind: type[T]) -> T:
        """The module's settings, read and validated once."""

    async def database(self, package: str) -> "Database":
        """The migrated store of the service whose Python package this is (`frameworks.control.commodore`)."""

    async def analytics(self) -> "Analytics":
        """The analytics engine."""

    async def cluster_analytics(self) -> "Mapping[str, Analytics]":
        """By cluster: the analytics engine it has of its own; a cluster that is not named uses `analytics()`."""

    async def eventlog(self) -> "EventLog":
        """The event log."""

    def identity(self, service: str) -> "Identity":
        """The service's own key: it signs this service's short-lived tokens."""

    def verifier(self) -> "Verifier":
        """Checks any credential of the platform, caching verified ones until they expire."""

    def peer(self, stub: "Callable[[grpc.aio.Channel], Stub]", *, service: str | None) -> Stub:
        """A generated gRPC stub, calling as `service`: in process if the peer runs here, else by network.

        None is for callers that bring a credential of their own with each call, as nodes do.
        """

    def serve_rpc(self, descriptor: Any, servicer: object, *, service: str) -> None:
        """Offer a protobuf service (its ServiceDescriptor) under the permission table."""

    def serve_http(
        self,
        app: ASGI,
        *,
        service: str,
        port: int,
        address: str | None = None,
        setting: str | None = None,
        tls: "TlsFiles | None" = None,
    ) -> None:
        """Offer an ASGI application on its own port, bound before any module is ready.

        `setting` is the variable that holds the port, to be named when it is taken; with `tls` it is HTTPS.
        """

    def serve_socket(
        self,
        serve: Serve,
        *,
        service: str,
        port: int,
        address: str | None = None,
        setting: str | None = None,
        tls: "TlsFiles | None" = None,
    ) -> None:
        """Offer a protocol of the module's own on its own port, bound before any module is ready.

        Connections are the module's to end, once the process stops.
        """

    def spawn(self, name: str, loop: Callable[[], Awaitable[None]], *, module: str) -> None:
        """Run a loop for the life of the module: restarted with back-off when it fails, unready meanwhile.

        Loops start once every module of the process has. One that returns is done; one that raises
        `InvariantViolated`, or fails too often, ends the process.
        """

    def expose(self, name: str, check: Callable[[], Mapping[str, object]]) -> None:
        """Add facts to `/health` under `name` (lag, depth, state)."""


class InvariantViolated(Exception):
    """Something that can not be is: going on could only spread the damage, so the process ends."""


@dataclass(frozen=True, slots=True)
class Module:
    """A startable part of the platform; `after` orders starts, names not in this process are ignored."""

    name: str
    start: Callable[[Host], AbstractAsyncContextManager[None]]
    after: frozenset[str] = frozenset()
    settings: tuple[type, ...] = ()


def ordered(modules: Iterable[Module]) -> list[Module]:
    """Modules in an order that honours `after`; raises ValueError on a cycle."""
    waiting = {module.name: module for module in modules}
    done: list[Module] = []
    while waiting:
        free = [module for module in waiting.values() if not module.after & waiting.keys()]
        if not free:
            raise ValueError(f"modules wait for each other: {sorted(waiting)}")
        for module in free:
            done.append(module)
            del waiting[module.name]
    return done


@asynccontextmanager
async def running(modules: Sequence[Module], host: Host) -> AsyncIterator[None]:
    """Start `modules` in order; on exit stop them in reverse."""
    async with AsyncExitStack() as stack:
        for module in ordered(modules):
            await stack.enter_async_context(module.start(host))
        yield
