"""Wiring of Helmsman: enrol first, then serve triggers, measure and report."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.metrics import helmsman as metrics
from frameworks.contracts.pb import foghorn_v1_pb2 as foghorn_pb
from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceStub
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.kit import http
from frameworks.kit.identity import NodeIdentity
from frameworks.kit.module import Host, Module
from frameworks.kit.wal import WriteAheadLog
from frameworks.media.helmsman import jobs
from frameworks.media.helmsman.api import PREFIX, TriggerDoor
from frameworks.media.helmsman.config import Settings
from frameworks.media.helmsman.peers.commodore import Commodore
from frameworks.media.helmsman.peers.foghorn import FoghornLink
from frameworks.media.helmsman.peers.mist import MistApi
from frameworks.media.helmsman.peers.quartermaster import Quartermaster
from frameworks.media.helmsman.peers.recorder import EventRecorder
from frameworks.media.helmsman.service.enrolment import Certificate, Enrolment
from frameworks.media.helmsman.service.measuring import Measuring
from frameworks.media.helmsman.service.orders import Orders
from frameworks.media.helmsman.service.outputs import Outputs
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.sampling import Sampling
from frameworks.media.helmsman.service.storing import Storing
from frameworks.media.helmsman.service.telling import Telling
from frameworks.media.helmsman.service.viewing import Viewing
from frameworks.media.helmsman.store import Memory, NodeFiles, Remembered

READY_STATES = {"live": "FULL", "dry": "DRY"}


@dataclass(slots=True)
class Node:
    """One node's use cases and the link they report by."""

    settings: Settings
    certificate: Certificate
    files: NodeFiles
    memory: Memory
    mist: MistApi
    link: FoghornLink
    publishing: Publishing
    viewing: Viewing
    measuring: Measuring
    orders: Orders
    outputs: Outputs
    sampling: Sampling
    storing: Storing
    telling: Telling

    def state(self) -> foghorn_pb.NodeState | None:
        """What Foghorn is told; nothing before the first measurement."""
        picture, reading, settings = self.measuring.picture, self.measuring.picture.reading, self.settings
        if reading is None:
            return None
        return foghorn_pb.NodeState(
            boot_id=picture.boot,
            base_url=settings.public_url,
            rtmp_url=settings.rtmp_url,
            cpu_permille=reading.cpu_permille,
            memory_used_bytes=reading.memory_used,
            memory_total_bytes=reading.memory_total,
            up_bytes_per_second=picture.node.up_rate,
            down_bytes_per_second=picture.node.down_rate,
            bandwidth_limit=settings.bandwidth_limit_mbps * 125_000,
            latitude=settings.latitude,
            longitude=settings.longitude,
            capabilities=["ingest", "edge"],
            streams=self._streams(),
            outputs=reading.outputs,
            region=settings.region,
            standing=picture.standing,
        )

    def _streams(self) -> list[foghorn_pb.StreamState]:
        viewers = {s.name.removeprefix("live+"): s.viewers for s in self.measuring.picture.streams}
        return [
            foghorn_pb.StreamState(
                internal_name=name,
                viewers=viewers.get(name, 0),
                inputs=1 if publisher.state in ("live", "dry") or publisher.connected else 0,
                bandwidth=_rate(publisher.health),
                buffer_state=READY_STATES.get(publisher.state, ""),
            )
            for name, publisher in self.publishing.publishers.items()
            if publisher.state != "offline"
        ]

    def open_sessions(self) -> list[foghorn_pb.ViewerOpened]:
        """All sessions, told anew on each connection to Foghorn."""
        return [
            foghorn_pb.ViewerOpened(
                internal_name=s.stream,
                session_id=session,
                correlation_id=s.correlation,
                connector=s.connector,
            )
            for session, s in self.viewing.sessions.items()
        ]

    async def obey(self, command: foghorn_pb.NodeCommand) -> None:
        """Do what Foghorn says."""
        match command.WhichOneof("command"):
            case "stop_stream":
                stop = command.stop_stream
                await self.orders.stop(
                    stop.internal_name, epoch=stop.epoch, key_id=stop.key_id, reason=stop.reason
                )
            case "invalidate_sessions":
                await self.orders.ask_again(command.invalidate_sessions.internal_name)

    async def remember(self) -> None:
        """Keep what a restart needs."""
        await self.memory.keep(
            Remembered(
                boot=self.measuring.picture.boot,
                publishers=self.publishing.publishers,
                sessions=self.viewing.sessions,
                streams=list(self.viewing.known.values()),
            )
        )

    def recall(self) -> None:
        """Take up where the last process left off."""
        kept = self.memory.recall()
        self.measuring.picture.boot = kept.boot
        self.publishing.publishers.update(kept.publishers)
        self.viewing.restore(kept.streams, kept.sessions)


def _rate(health: dict[str, Any]) -> int:
    """Bytes per second of one viewer of the stream."""
    kbits = sum(int(t.get("kbits", 0)) for t in health.values() if isinstance(t, dict))
    return kbits * 125


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Enrol in the background, then run; until enrolled, the node admits nobody."""
    settings = host.settings(Settings)
    files = NodeFiles(
        host.data_dir / "helmsman" / settings.node_id, token_file=settings.enrollment_token_file
    )
    registry = Quartermaster(host.peer(QuartermasterServiceStub, service=None), settings)
    enrolment = Enrolment(registry, files, host.clock, settings.node_id)
    secret = files.secret("trigger").hex()[:32]
    mist = MistApi(settings.mist_api, files.secret("metrics").hex()[:32], settings.public_url)
    door = _Closed()
    policy = http.Policy(service="helmsman", access_log=False)
    host.serve_http(http.protect(door, policy), service="helmsman", port=settings.port, address="127.0.0.1")

    async def live() -> None:
        identity, certificate = await enrolment.wait()
        wal = WriteAheadLog(files.directory / "wal", max_bytes=settings.wal_bytes)
        delivery = EventDelivery(
            "helmsman", wal, host.peer(DecklogServiceStub, service=None), host.clock, identity
        )
        node = _node(host, settings, files, mist, identity, certificate, delivery)
        node.recall()
        door.open(TriggerDoor(secret, node.publishing, node.viewing, node.outputs))
        _spawn(host, node, delivery, _Standing(registry, enrolment), secret)
        host.expose(
            "helmsman",
            lambda: {
                "node": settings.node_id,
                "wal_bytes": delivery.lag_bytes(),
                "wal_limit": settings.wal_bytes,
            },
        )
        await host.stopping.wait()

    host.spawn("helmsman.node", live, module="helmsman")
    try:
        yield
    finally:
        await mist.close()


def _node(
    host: Host,
    settings: Settings,
    files: NodeFiles,
    mist: MistApi,
    identity: NodeIdentity,
    certificate: Certificate,
    delivery: EventDelivery,
) -> Node:
    recorder = EventRecorder(delivery, node=settings.node_id, cluster=certificate.cluster_id)
    commodore = Commodore(host.peer(CommodoreServiceStub, service=None), identity)
    link = FoghornLink(host.peer(FoghornServiceStub, service=None), identity, host.clock)
    geo = host.geo()
    publishing = Publishing(commodore, recorder, link, mist, geo, host.clock)
    viewing = Viewing(
        commodore,
        recorder,
        link,
        geo,
        host.clock,
        node=settings.node_id,
        hash_key=files.secret("viewer-hash"),
    )
    measuring = Measuring(
        mist, commodore, publishing, recorder, host.clock, settings.node_id, viewing.turns_away
    )
    orders = Orders(mist, publishing, viewing)
    outputs = Outputs(publishing, recorder, host.clock)
    sampling = Sampling(
        mist,
        measuring.picture,
        publishing,
        viewing,
        recorder,
        host.clock,
        name=settings.node_id,
        most=settings.client_samples,
    )
    node = Node(
        settings,
        certificate,
        files,
        Memory(files, delivery),
        mist,
        link,
        publishing,
        viewing,
        measuring,
        orders,
        outputs,
        sampling,
        Storing(mist, publishing, recorder, host.clock, name=settings.node_id),
        Telling(mist, viewing, recorder, host.clock, name=settings.node_id, every=settings.cmcd_every),
    )
    link.state, link.sessions = node.state, node.open_sessions
    return node


def _spawn(host: Host, node: Node, delivery: EventDelivery, standing: "_Standing", secret: str) -> None:
    settings, clock, measuring = node.settings, host.clock, node.measuring
    constants = jobs.NodeConstants(
        f"http://127.0.0.1:{settings.port}{PREFIX}{secret}", node.files.secret("metrics").hex()[:32], settings
    )

    def spawn(name: str, loop: jobs.Loop) -> None:
        host.spawn(f"helmsman.{name}", loop, module="helmsman")

    async def note() -> None:
        await node.remember()
        metrics.PENDING.set(delivery.lag_bytes())

    async def record_node() -> None:
        place = {"latitude": settings.latitude, "longitude": settings.longitude}
        limit = {"bandwidth_limit_bps": settings.bandwidth_limit_mbps * 1_000_000}
        await measuring.record_node(node.certificate.owner_tenant_id, place | limit)

    looking = jobs.look(node.mist, measuring, node.publishing, node.link.changed)
    spawn("delivery", delivery.run)
    spawn("foghorn", lambda: node.link.run(node.obey))
    spawn(
        "configure",
        jobs.every(jobs.CONFIGURE_EVERY, clock, jobs.configure(node.mist, constants), "configure"),
    )
    spawn("look", jobs.every(settings.poll.total_seconds(), clock, looking, "look"))
    spawn(
        "metrics",
        jobs.every(settings.metrics_every.total_seconds(), clock, measuring.record_streams, "metrics"),
    )
    sampled = {
        "clients": (settings.clients_every, node.sampling.sample_clients),
        "detailed": (settings.detailed_every, node.sampling.sample_streams),
        "storage": (settings.storage_every, node.storing.sample),
    }
    if settings.cmcd:
        sampled["cmcd"] = (settings.cmcd_every, node.telling.take)
    for name, (pause, once) in sampled.items():
        spawn(name, jobs.every(pause.total_seconds(), clock, once, name))
    spawn("node", jobs.every(settings.node_every.total_seconds(), clock, record_node, "node"))
    spawn(
        "reconcile",
        jobs.every(jobs.RECONCILE_EVERY, clock, jobs.reconcile(node.mist, node.viewing), "reconcile"),
    )
    spawn("memory", jobs.every(1.0, clock, note, "memory"))
    spawn("heartbeat", jobs.every(jobs.HEARTBEAT_EVERY, clock, standing.keep, "heartbeat"))


@dataclass(slots=True)
class _Standing:
    """The node's place in the registry."""

    registry: Quartermaster
    enrolment: Enrolment

    async def keep(self) -> None:
        """One heartbeat, and a fresh certificate when it is time. Raises Refusal, Unavailable."""
        if self.enrolment.node is not None:
            await self.registry.report(self.enrolment.node)
            await self.enrolment.renew()


class _Closed:
    """Refuses triggers until the node is enrolled, then passes them on."""

    def __init__(self) -> None:
        self._door: TriggerDoor | None = None

    def open(self, door: TriggerDoor) -> None:
        """From now on triggers are answered."""
        self._door = door

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._door is not None:
            await self._door(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})


MODULE = Module("helmsman", start, settings=(Settings,))
