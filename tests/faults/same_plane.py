"""The data plane in so many processes on either event log, and senders whose events it accepts."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import grpc.aio
from fixtures_kafka import REAL
from fixtures_platform import Platform
from same_load import CLUSTER, NODES, SECOND, Load, Sent, Word

from frameworks.cli.presence import announced
from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, PublishRequest
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceStub
from frameworks.engines.clickhouse import ClickHouse
from frameworks.engines.kafka import Kafka
from frameworks.engines.nats import Nats
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.engines.process import Command, Process
from frameworks.kit.clock import SystemClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.identity import Identity, NodeIdentity, TrustStore, new_key, public_jwk, register_service
from frameworks.kit.rpc.client import Channel, connect

CLOCK = SystemClock()
ENGINES: dict[str, type[Nats] | type[Kafka]] = {"nats": Nats, "kafka": Kafka}
LOGS = ("nats", "kafka") if REAL else ("nats",)
"""Without Java there is no broker: then only the processes differ."""
MODULES = ("decklog", "periscope-ingest", "periscope-query", "signalman")
PROCESSES: dict[str, tuple[tuple[str, ...], ...]] = {
    "one": (MODULES,),
    "five": (
        ("decklog",),
        ("periscope-ingest",),
        ("periscope-ingest",),
        ("periscope-query",),
        ("signalman",),
    ),
}
"""Both members of the group share the partitions out."""
SERVICES = ("quartermaster", "commodore", "decklog", "periscope", "signalman", "bridge", "foghorn", "purser")
QUICK = {
    "PERISCOPE_ROLL_UP_EVERY": "1s",
    "PERISCOPE_WIDEN_EVERY": "1s",
    "PERISCOPE_USAGE_EVERY": "1s",
    "PERISCOPE_USAGE_SETTLEMENT": "1s",
    "SIGNALMAN_PORT": "0",
}
SCOPES = ["streams:read", "analytics:read", "infrastructure:read"]


@dataclass
class Plane(Platform):
    """A running data plane; everything that is asked about a `Platform`'s stores can be asked of it."""

    settings: dict[str, str] = field(default_factory=dict)
    engines: dict[str, EmbeddedPostgres | Nats | Kafka | ClickHouse] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    @property
    def eventlog_url(self) -> str:
        """Its event log."""
        return self.settings["FRAMEWORKS_EVENTLOG"]

    def identity(self, service: str) -> Identity:
        """A service's own."""
        return Identity(service, TrustStore(self.data / "keys").private_key(service), CLOCK)

    def peer(self, stub: Any, service: str, caller: Identity | NodeIdentity) -> Any:
        """A service over its socket, called by someone."""
        transport = connect(f"unix:{self.data.resolve()}/run/{service}.sock")
        self.channels.append(transport)
        channel: Any = Channel(lambda _: transport, caller)
        return stub(channel)

    def periscope(self) -> Any:
        """Periscope, called by Purser."""
        return self.peer(PeriscopeServiceStub, "periscope", self.identity("purser"))

    def reader(self, tenant: UUID) -> tuple[tuple[str, str], ...]:
        """Call metadata of a user of this tenant."""
        claims = {"sub": "user", "aud": "frameworks", "kind": "user", "tenant": str(tenant), "roles": []}
        token = self.identity("commodore").sign(
            claims | {"scopes": SCOPES}, typ="user", lifetime=timedelta(minutes=15)
        )
        return (("authorization", f"Bearer {token}"),)

    def _sender(self, name: str, owner: UUID) -> Any:
        """Decklog as this sender calls it; the nodes are this tenant's."""
        if name not in NODES:
            return self.peer(DecklogServiceStub, "decklog", self.identity(name))
        key = new_key()
        claims = {
            "node_id": name,
            "cluster": CLUSTER,
            "region": "local",
            "owner_tenant": str(owner),
            "cnf": {"jwk": public_jwk(key)},
        }
        certificate = self.identity("quartermaster").sign(
            claims, typ="node_cert", lifetime=timedelta(hours=1)
        )
        return self.peer(DecklogServiceStub, "decklog", NodeIdentity(name, key, certificate, CLOCK))

    def _word(self, word: Word, since: int) -> str:
        claims = {
            "tenant": str(word.tenant),
            "stream": str(word.stream),
            "cluster": CLUSTER,
            "node": word.node,
            "role": word.role.value,
            "epoch": word.epoch,
            "nbf": since // SECOND,
        }
        return self.identity("commodore").sign(claims, typ="attribution", lifetime=timedelta(hours=24))

    async def take(self, load: Load) -> None:
        """Send the whole load, every sender for itself; returns when all is acknowledged."""
        words = {one.word: self._word(one.word, load.since) for one in load.sent if one.word is not None}
        async with asyncio.TaskGroup() as group:
            for name in load.senders:
                requests = [
                    request(number, events, words)
                    for number, events in enumerate(load.requests(name), start=1)
                ]
                group.create_task(self._send(self._sender(name, load.tenants[0]), requests))

    async def suffer(self, random: Random) -> None:
        """Kill the log and every process of the platform once, as a power cut would, in any order."""
        log = self.engines["log"].process
        assert log is not None
        for victim in random.sample([log, *self.processes], len(self.processes) + 1):
            await CLOCK.sleep(random.uniform(0.1, 1.5))
            if victim.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(victim.pid, signal.SIGKILL)

    async def _send(self, decklog: Any, requests: Sequence[PublishRequest]) -> None:
        """What was not acknowledged is sent again, in order, as an edge does."""
        waiting = list(requests)
        while waiting:
            try:
                async for ack in decklog.Publish(list(waiting)):
                    assert not ack.refused, ack
                    waiting = [one for one in waiting if one.sequence > ack.sequence]
            except Unavailable:
                await CLOCK.sleep(0.2)


def request(number: int, events: Sequence[Sent], words: Mapping[Word, str]) -> PublishRequest:
    """One request with the words its events point at."""
    tokens: dict[str, int] = {}
    envelopes = [
        Envelope(
            event=one.event.SerializeToString(deterministic=True),
            attribution=tokens.setdefault(words[one.word], len(tokens) + 1) if one.word else 0,
        )
        for one in events
    ]
    return PublishRequest(sequence=number, attributions=list(tokens), events=envelopes)


@asynccontextmanager
async def plane(data: Path, log: str, processes: str) -> AsyncIterator[Plane]:
    """A data plane on an empty directory."""
    engines: dict[str, EmbeddedPostgres | Nats | Kafka | ClickHouse] = {
        "postgres": EmbeddedPostgres(data),
        "log": ENGINES[log](data / "log"),
        "clickhouse": ClickHouse(data / "clickhouse"),
    }
    made = Plane(data, 0, None, {}, engines=engines)
    for service in SERVICES:
        register_service(data / "keys", service)
    async with AsyncExitStack() as stack:
        for engine in made.engines.values():
            stack.push_async_callback(engine.stop)
        await asyncio.gather(*(engine.start() for engine in made.engines.values()))
        made.settings |= QUICK | {
            "FRAMEWORKS_DATA_DIR": str(data),
            "FRAMEWORKS_ADMIN_PORT": "0",
            "FRAMEWORKS_CLUSTER": "",
            "FRAMEWORKS_DATABASE": made.engines["postgres"].url,
            "FRAMEWORKS_EVENTLOG": made.engines["log"].url,
            "FRAMEWORKS_ANALYTICS": made.engines["clickhouse"].url,
        }
        for number, modules in enumerate(PROCESSES[processes]):
            command = Command(
                name=f"{modules[0]}-{number}",
                argv=(sys.executable, "-m", "frameworks", "run", *modules),
                env=dict(os.environ) | made.settings,
            )
            made.processes.append(Process(command, data / "logs"))
            stack.push_async_callback(made.processes[-1].stop)
        await asyncio.gather(
            *(process.start(partial(announces, data, process), within=90.0) for process in made.processes)
        )
        yield made
        for channel in made.channels:
            await channel.close()


async def announces(data: Path, process: Process) -> bool:
    """Whether this very process said that it is ready."""
    return any(present.pid == process.pid for present in announced(data))
