"""Processes of the data plane as an operator runs them, and a client whose events they accept."""

import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import psutil

from frameworks.cli.flow import process_name
from frameworks.cli.presence import announced
from frameworks.contracts.framing import join
from frameworks.contracts.pb.decklog_v1_pb2 import Group, PublishRequest
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.contracts.topics import EVENT_TYPES, WRITERS, Role
from frameworks.engines.process import Command, Process
from frameworks.kit.clock import SystemClock, micros
from frameworks.kit.identity import (
    Identity,
    NodeIdentity,
    Principal,
    PrincipalKind,
    TrustStore,
    new_key,
    public_jwk,
    register_service,
)
from frameworks.kit.rpc.client import Channel, connect
from running import load

CLOCK = SystemClock()
NODE, CLUSTER = "node-0", "default"
OWNER = load.tenant(0)
"""Who owns the node's cluster: the node's own events are this tenant's."""
DAY = timedelta(hours=24)
SIGNERS = ("quartermaster", "commodore", "decklog", "periscope", "bridge", "foghorn")


Words = dict[tuple[bytes, Role], str]
"""Tenant and role → attribution."""


@dataclass
class Plane:
    """Processes on one directory: engines first, then `frameworks run MODULE`."""

    home: Path
    stack: AsyncExitStack
    env: dict[str, str] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for service in SIGNERS:
            register_service(self.home / "keys", service)
        self.env |= {
            "FRAMEWORKS_DATA_DIR": str(self.home),
            "FRAMEWORKS_ADMIN_PORT": "0",
            "FRAMEWORKS_CLUSTER": "",
        }

    async def engine(self, name: str, engine: Any) -> str:
        """Start an engine; its URL."""
        await engine.start()
        self.stack.push_async_callback(engine.stop)
        self.pids[name] = engine.process.pid
        return str(engine.url)

    async def run(self, module: str, **env: str) -> None:
        """`frameworks run MODULE`, until it is ready."""
        argv = (sys.executable, "-m", "frameworks", "run", module)
        said = dict(os.environ) | self.env | env
        process = Process(Command(name=module, argv=argv, env=said), self.home / "logs")
        await process.start(partial(self._announced, module), within=60.0)
        self.stack.push_async_callback(process.stop)
        assert process.pid is not None
        self.pids[module] = process.pid

    async def _announced(self, module: str) -> bool:
        return any(present.name == process_name((module,)) for present in announced(self.home))

    def processor(self) -> dict[str, float]:
        """Processor seconds of each process so far, ours among them."""
        pids = self.pids | {"client": os.getpid()}
        return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}

    def memory(self) -> dict[str, int]:
        """Resident bytes of each process, ours among them."""
        pids = self.pids | {"client": os.getpid()}
        return {name: psutil.Process(pid).memory_info().rss for name, pid in pids.items()}

    def identity(self, service: str) -> Identity:
        """A service's own."""
        return Identity(service, TrustStore(self.home / "keys").private_key(service), CLOCK)

    def node(self) -> NodeIdentity:
        """A node as enrolment leaves it."""
        key = new_key()
        claims = {
            "node_id": NODE,
            "cluster": CLUSTER,
            "region": "local",
            "owner_tenant": str(OWNER),
            "cnf": {"jwk": public_jwk(key)},
        }
        certificate = self.identity("quartermaster").sign(claims, typ="node_cert", lifetime=DAY)
        return NodeIdentity(NODE, key, certificate, CLOCK)

    def words(self, tenants: int) -> Words:
        """Commodore's word on the node's stream of each tenant, in both roles."""
        commodore = self.identity("commodore")
        now = int(CLOCK.now().timestamp())
        return {
            (load.tenant(of).bytes, role): commodore.sign(
                {
                    "tenant": str(load.tenant(of)),
                    "stream": str(load.stream(of, 0)),
                    "cluster": CLUSTER,
                    "node": NODE,
                    "role": role.value,
                    "epoch": 1,
                    "nbf": now - 3600,
                },
                typ="attribution",
                lifetime=DAY,
            )
            for of in range(tenants)
            for role in (Role.INGEST, Role.VIEW)
        }

    def senders(self) -> dict[str, Any]:
        """Decklog as each sender of the mix calls it: one connection each."""
        address = f"unix:{self.home.resolve()}/run/decklog.sock"
        found: dict[str, Any] = {}
        for name in SENDERS:
            identity = self.node() if name == NODE else self.identity(name)
            transport: grpc.aio.Channel = connect(address)
            self.stack.push_async_callback(transport.close)
            channel: Any = Channel(lambda _, to=transport: to, identity)  # type: ignore[misc]
            found[name] = DecklogServiceStub(channel)
        return found


def writer(kind: str) -> str:
    """Who sends events of this type: the node, or one service."""
    return next((name for name, kinds in WRITERS.items() if kind in kinds), NODE)


SENDERS = tuple(dict.fromkeys(writer(kind) for kind in load.MIX))
SHARES = {name: sum(w for kind, w in load.MIX.items() if writer(kind) == name) for name in SENDERS}
"""Sender → its share of the mix."""


def principal(sender: str) -> Principal:
    """The sender as Decklog sees it once its credential is checked."""
    if sender == NODE:
        return Principal(PrincipalKind.NODE, NODE, tenant=OWNER, cluster=CLUSTER, region="local")
    return Principal(PrincipalKind.SERVICE, sender)


def role_of(kind: str) -> Role | None:
    """The attribution that a node's event of this type needs."""
    return next((role for role in (Role.INGEST, Role.VIEW) if role in EVENT_TYPES[kind].roles), None)


def events(sender: str, tenants: Sequence[int], seed: int) -> Iterator[tuple[Event, Role | None]]:
    """One batch of a sender: as many events of each tenant's stream as the load has, by the mix."""
    chance = random.Random(seed)
    kinds = {kind: weight for kind, weight in load.MIX.items() if writer(kind) == sender}
    now = micros(CLOCK.now())
    for of in tenants:
        for kind in chance.choices(list(kinds), list(kinds.values()), k=load.OF_TENANT):
            owner = 0 if kind == "node-lifecycle" else of
            event = load.event(kind, owner, 0, now - chance.randrange(30_000_000), chance)
            event.source = "helmsman" if sender == NODE else sender
            yield event, role_of(kind) if sender == NODE else None


def in_turn(count: int, seed: int) -> list[str]:
    """Senders of `count` batches, in the proportions of the mix."""
    return random.Random(seed).choices(list(SHARES), list(SHARES.values()), k=count)


def batch(sender: str, tenants: Sequence[int], seed: int, words: Words) -> PublishRequest:
    """One request of a sender: a group of events for each word they need."""
    groups: dict[str, list[bytes]] = {}
    for event, role in events(sender, tenants, seed):
        groups.setdefault(words[event.tenant_id, role] if role else "", []).append(event.SerializeToString())
    tokens = [token for token in groups if token]
    return PublishRequest(
        sequence=seed,
        attributions=tokens,
        groups=[
            Group(events=join(alike), attribution=tokens.index(token) + 1 if token else 0)
            for token, alike in groups.items()
        ],
    )


def microseconds(before: Mapping[str, float], after: Mapping[str, float], events_: int) -> str:
    """Processor time an event of each process between two looks."""
    used = {name: (after[name] - before[name]) / events_ * 1e6 for name in before}
    return ", ".join(f"{name} {micro:.1f}" for name, micro in used.items())
