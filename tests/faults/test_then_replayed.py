"""After the stories: every topic told again from zero, cut into other batches, changes no answer."""

import asyncio
import os
import subprocess
import sys
from random import Random
from typing import Any
from uuid import UUID

from fault_world import AGAIN, World
from fixtures_platform import eventually
from flow_stores import dirty, eventlog, rows, sql

from frameworks.contracts.framing import frame, split
from frameworks.contracts.pb.events_v1_pb2 import Event, NodeLifecycle
from frameworks.contracts.topics import ANALYTICS_EVENTS, PARTITIONS, SCHEMA_VERSION
from frameworks.kit.clock import SystemClock, micros, uuid7
from frameworks.kit.eventlog import EventLog, Outgoing, Record

FACTS = ("stream_events", "stream_views", "connection_events", "stream_health", "client_samples")
STATE = {
    "stream_analytics": "*",
    "viewer_sessions": "tenant_id, stream_id, node_id, session_id, connected_at, disconnected_at",
}


async def answers(world: World) -> dict[str, Any]:
    """What history and state say of everybody who had a story."""
    mine = ",".join(f"toUUID('{tenant.tenant_id}')" for tenant in world.tenants)
    found: dict[str, Any] = {}
    for table in FACTS:
        asked = (
            "SELECT count() AS n, groupBitXor(cityHash64(toString(tuple(*)))) AS sum"
            f" FROM periscope.{table}_v WHERE tenant_id IN ({mine})"
        )
        found[table] = await rows(world.platform, asked)
    tenants = [UUID(tenant.tenant_id) for tenant in world.tenants]
    async with sql(world.platform) as connection:
        for table, columns in STATE.items():
            kept = await connection.fetch(
                f"SELECT {columns} FROM periscope.{table} WHERE tenant_id = ANY($1)", tenants
            )
            found[table] = sorted(str(dict(row)) for row in kept)
    return found


async def told_again(log: EventLog, seed: int) -> None:
    """Publish what the topic holds on the mirrored one, a partition's events in their order, other records."""
    random = Random(seed)
    held: dict[tuple[int, str, str], list[tuple[bytes, Record]]] = {}
    async for record in log.replay(ANALYTICS_EVENTS):
        key = record.partition, record.headers["tenant_id"], record.headers["source_cluster_id"]
        held.setdefault(key, []).extend((each, record) for each in split(record.value))
    for (partition, _, _), events in held.items():
        while events:
            size = random.randint(1, 23)
            some, events = events[:size], events[size:]
            value = b"".join(each for each, _ in some)
            await log.publish([Outgoing(f"{AGAIN}.{ANALYTICS_EVENTS}", partition, value, some[0][1].headers)])


async def last_words(log: EventLog, tenant: UUID) -> None:
    """One event at the end of every partition, to see when all before it has been read."""
    for partition in range(PARTITIONS):
        event = Event(
            event_id=uuid7().bytes,
            type="node-lifecycle",
            occurred_at=micros(SystemClock().now()),
            schema_version=SCHEMA_VERSION,
            tenant_id=tenant.bytes,
            node_id=f"last-{partition}",
            cluster_id="default",
            source="helmsman",
            node_lifecycle=NodeLifecycle(state="up"),
        )
        headers = {"tenant_id": str(tenant), "event_type": event.type, "source_cluster_id": "default"}
        value = frame(event.SerializeToString())
        await log.publish([Outgoing(f"{AGAIN}.{ANALYTICS_EVENTS}", partition, value, headers)])


async def test_replaying_from_zero_in_other_batches_changes_no_answer(world: World) -> None:
    await world.whole()
    before, last = await answers(world), uuid7()
    assert int(before["connection_events"][0]["n"]) > 0
    async with eventlog(world.platform) as log:
        await told_again(log, seed=1)
        await last_words(log, last)

    async def read() -> bool:
        asked = "SELECT count() AS n FROM periscope.node_metrics_v WHERE tenant_id = {t:UUID}"
        heard = int((await rows(world.platform, asked, t=str(last)))[0]["n"])
        return heard == PARTITIONS and not any(
            [await dirty(world.platform, t.tenant_id) for t in world.tenants]
        )

    await eventually(read, within=120.0, every=0.5, what="everything read again")
    assert await answers(world) == before


async def test_every_roll_up_equals_one_made_anew_from_facts(world: World) -> None:
    await world.whole()
    command = (sys.executable, "-m", "frameworks", "periscope", "rebuild", "--since", "1d")
    rebuilt = await asyncio.to_thread(
        subprocess.run,
        [*command, "--data-dir", str(world.platform.data)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"FRAMEWORKS_ANALYTICS": world.platform.settings["FRAMEWORKS_ANALYTICS"]},
    )
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert "Every row is what facts say." in rebuilt.stdout
