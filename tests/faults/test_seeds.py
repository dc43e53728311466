"""Under seeded faults: what Helmsman has taken is in history once, and state is what an independent count says."""

import asyncio
from collections import Counter
from datetime import datetime
from uuid import UUID

from fault_story import Story, Truth
from fault_world import World, faults
from fixtures_platform import Tenant, eventually
from flow_stores import dirty, event_ids, logged, rows, sql

from frameworks.kit.clock import SystemClock

SECONDS = 5.0


async def test_nothing_acknowledged_is_lost_or_counted_twice(world: World, seed: int) -> None:
    await world.whole()
    tenants = [await world.tenant() for _ in range(2)]
    streams = [[await tenant.stream(f"{seed}") for _ in range(2)] for tenant in tenants]
    planned, since = faults(seed, SECONDS), SystemClock().now()
    print("\n".join(map(str, planned)))
    stories = [Story(world.node, seed * 100 + number) for number in range(len(tenants))]
    async with asyncio.TaskGroup() as group:
        group.create_task(world.suffer(planned))
        told = [group.create_task(story.tell(streams[n], SECONDS)) for n, story in enumerate(stories)]
    await world.whole()
    await drained(world, tenants, since)
    for tenant, task in zip(tenants, told, strict=True):
        await agrees(world, tenant, task.result())


async def drained(world: World, tenants: list[Tenant], since: datetime) -> None:
    """Wait until nothing is on its way: the edge's log, the topic, the marks."""

    async def empty() -> bool:
        if await world.waiting_at_the_edge():
            return False
        for tenant in tenants:
            promised = {event.event_id for event in await logged(world.platform, tenant.tenant_id, since)}
            if not promised <= {each.bytes for each in await event_ids(world.platform, tenant.tenant_id)}:
                return False
        return not any([await dirty(world.platform, tenant.tenant_id) for tenant in tenants])

    await eventually(empty, within=90.0, every=0.3, what="everything on its way has arrived")


async def agrees(world: World, tenant: Tenant, truth: Truth) -> None:
    """Facts, buckets and state are what the node counted."""
    mine = {"t": tenant.tenant_id}
    twice = await rows(
        world.platform,
        " UNION ALL ".join(
            f"SELECT event_id FROM periscope.{table}_v WHERE tenant_id = {{t:UUID}}"
            " GROUP BY event_id HAVING count() > 1"
            for table in ("stream_events", "connection_events", "stream_health", "stream_views")
        ),
        **mine,
    )
    assert twice == []
    await sessions_agree(world, mine, truth)
    await lifecycle_agrees(world, mine, truth)
    await state_agrees(world, tenant, truth)


async def sessions_agree(world: World, mine: dict[str, str], truth: Truth) -> None:
    """Every session opened once and closed once, with the bytes and seconds of the node."""
    found = await rows(
        world.platform,
        "SELECT toString(stream_id) AS stream, action, connector, seconds, up_bytes, down_bytes,"
        " toUnixTimestamp64Milli(occurred_at) AS at FROM periscope.connection_events_v"
        " WHERE tenant_id = {t:UUID}",
        **mine,
    )
    opened = Counter(
        (row["stream"], row["connector"], int(row["at"])) for row in found if row["action"] == "connect"
    )
    closed = Counter(
        (
            row["stream"],
            int(row["at"]),
            row["connector"],
            *(int(row[n]) for n in ("seconds", "up_bytes", "down_bytes")),
        )
        for row in found
        if row["action"] == "disconnect"
    )
    assert opened == Counter((w.stream, w.connector, w.opened_ms) for w in truth.watched)
    assert closed == Counter(
        (w.stream, w.closed_ms, w.connector, w.seconds, w.up, w.down) for w in truth.watched
    )
    buckets = await rows(
        world.platform,
        "SELECT sum(opened) AS opened, sum(closed) AS closed, sum(viewer_us) AS us, sum(egress_bytes) AS up,"
        " sum(ingress_bytes) AS down FROM periscope.viewers_5m_v WHERE tenant_id = {t:UUID}",
        **mine,
    )
    counted = {name: int(value) for name, value in buckets[0].items()}
    assert counted == {
        "opened": len(truth.watched),
        "closed": len(truth.watched),
        "us": sum(w.seconds for w in truth.watched) * 1_000_000,
        "up": sum(w.up for w in truth.watched),
        "down": sum(w.down for w in truth.watched),
    }


async def lifecycle_agrees(world: World, mine: dict[str, str], truth: Truth) -> None:
    """Every admission, buffer state, track list and end once."""
    found = await rows(
        world.platform,
        "SELECT toString(stream_id) AS stream, type, status, count() AS n FROM periscope.stream_events_v"
        " WHERE tenant_id = {t:UUID} GROUP BY stream, type, status",
        **mine,
    )
    counted = {(row["stream"], row["type"], row["status"]): int(row["n"]) for row in found}
    for stream, times in truth.admitted.items():
        assert counted[stream, "stream-ingest", "admitted"] == times
        assert counted[stream, "stream-lifecycle", "started"] == times
        assert counted[stream, "track-list", "tracks"] == truth.tracks[stream]
        assert counted[stream, "stream-lifecycle", "ended"] == 1
    for (stream, state), times in truth.buffers.items():
        assert counted[stream, "stream-buffer", state] == times


async def state_agrees(world: World, tenant: Tenant, truth: Truth) -> None:
    """PostgreSQL holds the last state, and nobody watches any more."""
    async with sql(world.platform) as connection:
        streams = await connection.fetch(
            "SELECT stream_id, state, up_bytes, down_bytes, claim_epoch FROM periscope.stream_analytics"
            " WHERE tenant_id = $1",
            UUID(tenant.tenant_id),
        )
        sessions = await connection.fetch(
            "SELECT stream_id, connected_at, disconnected_at FROM periscope.viewer_sessions WHERE tenant_id = $1",
            UUID(tenant.tenant_id),
        )
    assert {str(s["stream_id"]): (s["state"], int(s["up_bytes"]), int(s["down_bytes"])) for s in streams} == {
        stream: ("ended", *totals) for stream, totals in truth.ended.items()
    }
    assert Counter(
        (
            str(s["stream_id"]),
            round(s["connected_at"].timestamp() * 1000),
            round(s["disconnected_at"].timestamp() * 1000),
        )
        for s in sessions
    ) == Counter((w.stream, w.opened_ms, w.closed_ms) for w in truth.watched)
