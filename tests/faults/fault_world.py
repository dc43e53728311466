"""A platform of separate processes whose edge is made of numbers, and what breaks in it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from fault_node import FaultNode
from fixtures_http import http_client
from fixtures_platform import Tenant, eventually, free_offset
from flow_processes import Apart, apart, ready
from flow_stores import eventlog

from frameworks.contracts.topics import ANALYTICS_EVENTS, PARTITIONS
from frameworks.engines.kafka import Kafka
from frameworks.engines.nats import Nats
from frameworks.engines.postgres import EmbeddedPostgres

GROUPS: dict[str, tuple[str, ...]] = {
    "control": ("commodore", "quartermaster", "purser", "bridge"),
    "decklog": ("decklog",),
    "periscope": ("periscope-ingest",),
    "foghorn": ("foghorn",),
    "helmsman": ("helmsman",),
}
AGAIN = "again"
"""The region whose mirrored topic tells everything once more."""
BREAKABLE = ("helmsman", "decklog", "log", "periscope", "clickhouse", "postgres")


@dataclass(frozen=True)
class Fault:
    """One thing that breaks: killed as by a power cut, or stopped for a while and continued."""

    at: float
    victim: str
    paused: float
    """Seconds; 0 means killed."""

    def __str__(self) -> str:
        what = f"paused for {self.paused:.1f} s" if self.paused else "killed"
        return f"{self.at:.1f} s: {self.victim} {what}"


def faults(seed: int, seconds: float) -> list[Fault]:
    """What breaks in the story of this seed."""
    random = Random(seed * 7919)
    chosen = [
        Fault(
            random.uniform(0.2, seconds),
            random.choice(BREAKABLE),
            0.0 if random.random() < 0.6 else random.uniform(0.3, 2.5),
        )
        for _ in range(random.randint(1, 4))
    ]
    return sorted(chosen, key=lambda fault: fault.at)


@dataclass
class World:
    """The platform, the node, the hand that breaks things; `tenants` had stories."""

    platform: Apart
    node: FaultNode
    tenants: list[Tenant] = field(default_factory=list)

    def _pid(self, victim: str) -> int | None:
        engine = self.platform.engines.get(victim)
        process = engine.process if engine is not None else self.platform.processes[victim]
        return process.pid if process is not None else None

    async def suffer(self, planned: list[Fault]) -> None:
        """Let it happen."""
        began = asyncio.get_running_loop().time()
        for fault in planned:
            await asyncio.sleep(max(0.0, began + fault.at - asyncio.get_running_loop().time()))
            pid = self._pid(fault.victim)
            if pid is None:
                continue
            with suppress(ProcessLookupError):  # it has just died of the fault before
                os.kill(pid, signal.SIGSTOP if fault.paused else signal.SIGKILL)
                await asyncio.sleep(fault.paused)
                os.kill(pid, signal.SIGCONT)

    async def tenant(self) -> Tenant:
        """A fresh tenant that talks to Bridge itself: nothing stands in front of it here."""
        made = await self.platform.tenant()
        self.tenants.append(replace(made, graphql_url=f"{self.platform.url('bridge')}/graphql"))
        return self.tenants[-1]

    async def waiting_at_the_edge(self) -> int:
        """Bytes in Helmsman's log that Decklog has not acknowledged."""
        async with http_client(timeout=5.0) as client:
            health = await client.get(f"http://127.0.0.1:{self.platform.admin['helmsman']}/health")
        return int(health.json()["facts"]["helmsman"]["wal_bytes"])

    async def whole(self) -> None:
        """Wait until every part runs and is ready."""
        for name in GROUPS:
            await self.platform.processes[name].wait_ready(ready(self.platform.admin[name]), within=90.0)
        for engine in self.platform.engines.values():
            if isinstance(engine, EmbeddedPostgres):
                await eventually(engine.answers, within=60.0, what="PostgreSQL answers")
            else:
                await engine.ready(within=60.0)


@asynccontextmanager
async def world(data: Path, log: type[Nats] | type[Kafka]) -> AsyncIterator[World]:
    """Start everything; the node is configured when this returns."""
    offset = free_offset()
    node = FaultNode(4242 + offset)
    await node.start()
    env = {
        "HELMSMAN_MIST_API": f"http://127.0.0.1:{node.port}",
        "PERISCOPE_ROLL_UP_EVERY": "1s",
        "PERISCOPE_MIRRORED_REGIONS": AGAIN,
    }
    try:
        async with apart(data, env=env, groups=GROUPS, offset=offset, log=log) as platform:
            made = World(platform, node)
            async with eventlog(platform) as topics:
                await topics.ensure(f"{AGAIN}.{ANALYTICS_EVENTS}", partitions=PARTITIONS)

            async def configured() -> bool:
                return node.configured

            await eventually(configured, within=60.0, what="a node that Helmsman configured")
            yield made
    finally:
        await node.stop()
