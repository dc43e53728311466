"""`ProcessHost`: what the modules of one process get when they ask for infrastructure."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc.aio

from frameworks.kit import config, log
from frameworks.kit.clock import Clock, SystemClock
from frameworks.kit.config import BadSetting
from frameworks.kit.host.admin import admin_app
from frameworks.kit.host.doors import Door
from frameworks.kit.host.listeners import Listener
from frameworks.kit.host.loops import Loops
from frameworks.kit.host.settings import HostSettings, check_clear, peer_address, peer_setting
from frameworks.kit.identity import Identity, Rule, TrustStore, Verifier
from frameworks.kit.module import ASGI, Serve
from frameworks.kit.rpc import Channel, Dispatcher, Interceptor, Loopback, RpcServer, connect, service_of
from frameworks.kit.rpc.client import Transport
from frameworks.kit.tls import RenewedCertificate, TlsFiles, channel_credentials

if TYPE_CHECKING:
    from frameworks.kit.analytics import Analytics
    from frameworks.kit.eventlog import EventLog
    from frameworks.kit.geo import Geo
    from frameworks.kit.sql import Database

T = TypeVar("T")
Stub = TypeVar("Stub")


class ProcessHost:
    """The infrastructure of one process: opened when asked for, bound before ready, closed at the end."""

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        rules: Mapping[str, Rule],
        clock: Clock | None = None,
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.stopping = asyncio.Event()
        self.failure: str | None = None
        """Why the process has to end, when it is not because someone asked."""
        self._env = env
        self._settings = config.load(HostSettings, env)
        self.data_dir: Path = self._settings.data_dir
        """Where this process may keep files of its own."""
        ca = self._settings.rpc_tls_ca
        self._rpc_ca = channel_credentials(ca) if ca is not None else None
        self._trust = TrustStore(self._settings.data_dir / "keys")
        self._verifier = Verifier(self._trust, self.clock)
        self._dispatcher = Dispatcher(self._verifier, rules, interceptors=interceptors, clock=self.clock)
        self._loopback = Loopback(self._dispatcher)
        self._loops = Loops(
            self.clock,
            failures=self._settings.loop_failures,
            window=self._settings.loop_window.total_seconds(),
            fatal=self.fail,
        )
        self._admin = Listener(
            admin_app(self.health, self.unready),
            "host",
            self._settings.admin_address,
            self._settings.admin_port,
            "FRAMEWORKS_ADMIN_PORT",
        )
        self._read: dict[type, Any] = {}
        self._identities: dict[str, Identity] = {}
        self._peers: dict[str, Any] = {}
        self._servers: dict[str, RpcServer] = {}
        self._listeners: list[Listener | Door] = []
        self._facts: dict[str, Callable[[], Mapping[str, object]]] = {}
        self._opened: dict[tuple[str, ...], Any] = {}
        self._opening = asyncio.Lock()
        self._resources = AsyncExitStack()
        self._geo: Geo | None = None
        self._phase = "starting"

    @property
    def ports(self) -> dict[str, int]:
        """The HTTP ports bound, by service; `host` is the one for /health, /ready and /metrics."""
        return {listener.service: listener.port for listener in (self._admin, *self._listeners)}

    def geo(self) -> "Geo":
        """Where addresses are, coarsely; opened when first asked for."""
        if self._geo is None:
            self._geo = import_module("frameworks.kit.geo").Geo(self._settings.geoip)
        return self._geo

    def settings(self, kind: type[T]) -> T:
        """The module's settings, read and validated once."""
        if kind not in self._read:
            self._read[kind] = config.load(kind, self._env)
        settings: T = self._read[kind]
        return settings

    async def database(self, package: str) -> "Database":
        """The store of the service whose Python package this is, migrated."""
        database: Database = await self._open("sql", "database", package)
        return database

    async def analytics(self) -> "Analytics":
        """The analytics engine."""
        analytics: Analytics = await self._open("analytics", "analytics")
        return analytics

    async def cluster_analytics(self) -> "dict[str, Analytics]":
        """By cluster: the analytics engine it has of its own; a cluster that is not named uses `analytics()`."""
        found: dict[str, Analytics] = {}
        for entry in self._settings.analytics_clusters:
            cluster, sign, url = entry.partition("=")
            if not sign or not url or not cluster.strip() or cluster.strip() in found:
                raise BadSetting("FRAMEWORKS_ANALYTICS_CLUSTERS: write cluster=URL, each cluster once.")
            found[cluster.strip()] = await self._connected("analytics", url.strip())
        return found

    async def eventlog(self) -> "EventLog":
        """The event log."""
        eventlog: EventLog = await self._open("eventlog", "eventlog")
        return eventlog

    def identity(self, service: str) -> Identity:
        """The service's own key; raises NoKey when the supervisor did not register it."""
        if service not in self._identities:
            key = self._trust.private_key(service)
            self._identities[service] = Identity(service, key, self.clock, cluster=self._settings.cluster)
        return self._identities[service]

    def verifier(self) -> Verifier:
        """Checks any credential of the platform, caching verified ones until they expire."""
        return self._verifier

    def peer(self, stub: Callable[[grpc.aio.Channel], Stub], *, service: str | None) -> Stub:
        """A generated gRPC stub, calling as `service` or as nobody; in process when the peer runs here."""
        identity = self.identity(service) if service is not None else None
        channel = Channel(self._transport, identity, clock=self.clock)
        return stub(cast(grpc.aio.Channel, channel))

    def serve_rpc(self, descriptor: Any, servicer: object, *, service: str) -> None:
        """Offer a protobuf service, in process at once and at its address once the process listens."""
        self._dispatcher.add(descriptor, servicer, service=service)
        name = service_of(f"/{descriptor.full_name}/")
        if name not in self._servers:
            self._servers[name] = RpcServer(self._dispatcher, name)

    def serve_http(
        self,
        app: ASGI,
        *,
        service: str,
        port: int,
        address: str | None = None,
        setting: str | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        """Offer an ASGI application on its own port, bound before any module is ready."""
        named = setting or f"the port of {service}"
        bound = address or self._settings.http_address
        self._listeners.append(Listener(app, service, bound, port, named, tls))

    def serve_socket(
        self,
        serve: Serve,
        *,
        service: str,
        port: int,
        address: str | None = None,
        setting: str | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        """Offer a protocol of the module's own on its own port, bound before any module is ready."""
        named = setting or f"the port of {service}"
        bound = address or self._settings.http_address
        self._listeners.append(Door(serve, service, bound, port, named, tls))

    def spawn(self, name: str, loop: Callable[[], Awaitable[None]], *, module: str) -> None:
        """Run a loop for the life of the module, once every module has started."""
        self._loops.add(name, loop, module)

    def expose(self, name: str, check: Callable[[], Mapping[str, object]]) -> None:
        """Add facts to `/health` under `name`."""
        self._facts[name] = check

    def health(self) -> dict[str, object]:
        """What `/health` says."""
        failing = self._loops.failing()
        status = self._phase if self._phase != "ready" else ("failing" if failing else "ok")
        facts = {name: check() for name, check in self._facts.items()}
        return {
            "status": status,
            "failing_loops": failing,
            "loops": self._loops.states(),
            "facts": facts,
        }

    def unready(self) -> list[str]:
        """Why this process should get no traffic; empty when it may."""
        return ([] if self._phase == "ready" else [self._phase]) + sorted(self._loops.failing())

    def fail(self, reason: str) -> None:
        """End the process because of `reason`; its supervisor restarts it."""
        if not self.stopping.is_set():
            log.get("host").error("process.failed", reason=reason)
            self.failure = reason
            self.stopping.set()

    async def open_admin(self) -> None:
        """Listen for /health, /ready and /metrics; done first, so that a start can be watched."""
        self._admin.bind()
        self._admin.start(0, self.fail)

    async def open(self) -> None:
        """Bind every listener, then serve, then start the loops; then the process is ready."""
        for listener in self._listeners:
            listener.bind()
        certificate = self._rpc_certificate()
        for name, server in self._servers.items():
            address, setting = peer_address(name, self._env, self._settings), peer_setting(name)
            if certificate is None:
                check_clear(address, self._settings.rpc_clear, setting)
            server.bind(address, setting=setting, credentials=certificate)
        for server in self._servers.values():
            await server.start()
        for listener in self._listeners:
            listener.start(self._settings.stop_grace.total_seconds(), self.fail)
        self._loops.start()
        self._phase = "ready"

    async def drain(self) -> None:
        """Take no more traffic, let what is under way end, stop the loops; modules still reach each other."""
        self._phase = "stopping"
        grace = self._settings.stop_grace.total_seconds()
        await asyncio.gather(
            *(server.stop(grace) for server in self._servers.values()),
            *(listener.stop() for listener in self._listeners),
        )
        await self._loops.stop()

    async def close(self) -> None:
        """Release everything; the modules have stopped."""
        await self._loopback.close()
        for transport in self._peers.values():
            await transport.close()
        await self._resources.aclose()
        await self._admin.stop()

    def _rpc_certificate(self) -> "grpc.ServerCredentials | None":
        """What gRPC listeners on `host:port` show; None for clear text."""
        named = self._settings.rpc_tls_certificate, self._settings.rpc_tls_key
        files = TlsFiles.named(*named, prefix="FRAMEWORKS_RPC_")
        return RenewedCertificate(files).credentials() if files is not None else None

    def _transport(self, path: str) -> Transport:
        if self._dispatcher.endpoint(path) is not None:
            return self._loopback
        name = service_of(path)
        if name not in self._peers:
            address = peer_address(name, self._env, self._settings)
            if self._rpc_ca is None:
                check_clear(address, self._settings.rpc_clear, peer_setting(name))
            self._peers[name] = connect(address, self._rpc_ca)
        transport: Transport = self._peers[name]
        return transport

    async def _open(self, module: str, setting: str, *arguments: str) -> Any:
        """A connection to the engine that a setting names."""
        url = getattr(self._settings, setting)
        if not url:
            name = HostSettings.PREFIX + setting.upper()
            raise BadSetting(f"{name} is not set, and a module of this process needs it.")
        return await self._connected(module, url, *arguments)

    async def _connected(self, module: str, url: str, *arguments: str) -> Any:
        """A connection to an engine, made once; the engine's library is imported only now."""
        async with self._opening:
            slot = (module, url, *arguments)
            if slot not in self._opened:
                made = import_module(f"frameworks.kit.{module}").connect(url, *arguments)
                self._opened[slot] = await made if inspect.isawaitable(made) else made
                self._resources.push_async_callback(self._opened[slot].close)
            return self._opened[slot]
