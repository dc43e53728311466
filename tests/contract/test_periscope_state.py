"""Current state in PostgreSQL: a batch leaves what its changes leave one at a time, in any order, however often."""

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fixtures_periscope import Periscope

from frameworks.data.periscope.domain import SECOND, SessionChange, StreamChange
from frameworks.kit.clock import uuid7

START = 1_790_000_100 * SECOND
STREAMS = [UUID(int=n) for n in (11, 12, 13)]
EVENTS = [UUID(int=n) for n in range(40)]


def stream_change(chance: random.Random, tenant: UUID) -> StreamChange:
    """One of few times, claims and events, so that many agree in some and differ in others."""
    return StreamChange(
        tenant=tenant,
        stream=chance.choice(STREAMS),
        epoch=chance.randint(1, 3),
        state=chance.choice(["started", "live", "ended", "waiting"]),
        at=START + chance.randint(0, 5) * SECOND,
        event=chance.choice(EVENTS),
        node="node-1",
        cluster="default",
        reason="",
        detail="",
        up_bytes=(1 << 64) - 1,
        down_bytes=0,
    )


def session_change(chance: random.Random, tenant: UUID) -> SessionChange:
    """A session with a name that an array's text would have to quote."""
    return SessionChange(
        tenant=tenant,
        stream=chance.choice(STREAMS),
        node=chance.choice(["node-1", 'n"{,}\\']),
        session=chance.choice(["s", "NULL", "a,b", '{"x"}', ""]),
        opened=chance.random() < 0.5,
        at=START + chance.randint(0, 9) * SECOND + 1,
    )


async def found(periscope: Periscope, tenant: UUID) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A tenant's streams and sessions, without the tenant."""
    async with periscope.database.tenant(tenant) as c:
        streams = await c.fetch(
            """SELECT stream_id, claim_epoch, state, state_at, state_event, started_at, up_bytes
               FROM periscope.stream_analytics WHERE tenant_id = $1 ORDER BY stream_id""",
            tenant,
        )
        sessions = await c.fetch(
            """SELECT stream_id, node_id, session_id, connected_at, disconnected_at
               FROM periscope.viewer_sessions WHERE tenant_id = $1
               ORDER BY stream_id, node_id, session_id""",
            tenant,
        )
    return [dict(row) for row in streams], [dict(row) for row in sessions]


def of(tenant: UUID, changes: Sequence[Any]) -> list[Any]:
    """The same changes of another tenant."""
    return [change._replace(tenant=tenant) for change in changes]


async def test_a_batch_leaves_what_its_changes_leave_one_at_a_time(periscope: Periscope) -> None:
    for seed in range(12):
        chance, whole, single = random.Random(seed), uuid7(), uuid7()
        drawn = [stream_change(chance, whole) for _ in range(25)]
        streams = list({(one.stream, one.version): one for one in drawn}.values())
        sessions = [session_change(chance, whole) for _ in range(25)]
        middle = chance.randint(0, 20)
        for part in (slice(middle), slice(middle, None), slice(None)):
            await periscope.state.reduce(streams[part], sessions[part])
        chance.shuffle(streams)
        chance.shuffle(sessions)
        for stream in of(single, streams):
            await periscope.state.reduce([stream], [])
        for session in of(single, sessions):
            await periscope.state.reduce([], [session])
        assert await found(periscope, whole) == await found(periscope, single)


async def test_what_is_known_already_is_not_written_again(periscope: Periscope) -> None:
    chance, tenant = random.Random(7), uuid7()
    streams = sorted({stream_change(chance, tenant) for _ in range(20)}, key=lambda change: change.version)
    sessions = [session_change(chance, tenant) for _ in range(20)]
    await periscope.state.reduce(streams, sessions)
    before = await versions(periscope, tenant)
    await periscope.state.reduce(streams[:10], sessions)
    await periscope.state.reduce(streams[10:], sessions[:5])
    assert await versions(periscope, tenant) == before


async def versions(periscope: Periscope, tenant: UUID) -> set[tuple[str, int]]:
    """Which transaction wrote each row."""
    async with periscope.database.tenant(tenant) as c:
        rows = await c.fetch(
            """SELECT concat('stream ', stream_id) AS name, xmin::text::bigint AS written
               FROM periscope.stream_analytics WHERE tenant_id = $1
               UNION ALL
               SELECT concat_ws('/', stream_id, node_id, session_id), xmin::text::bigint
               FROM periscope.viewer_sessions WHERE tenant_id = $1""",
            tenant,
        )
    return {(row["name"], row["written"]) for row in rows}
