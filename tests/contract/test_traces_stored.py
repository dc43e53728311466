"""The trace an event was made in reaches its row by either way in, and a migration run twice changes nothing."""

from uuid import UUID

import pytest
from fixtures_events import fill
from fixtures_periscope import PACKAGE, Periscope, new_story

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.framing import frame
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.periscope.store.facts import COMMON, DOORS
from frameworks.data.periscope.store.tables import FACTS, PASSAGES
from frameworks.kit.analytics import Analytics, Scope
from frameworks.kit.analytics.migrations import of_package

UNTRACED = {
    "stream_health",
    "node_metrics",
    "stream_metrics_detailed",
    "client_samples",
    "storage_samples",
    "player_sessions",
    "api_requests",
}
"""Samples and sums: nobody is served when they are made, or more than one."""
TRACE = "0af7651916cd43dd8448eb211c80319c"
COLUMNS = """SELECT DISTINCT table FROM system.columns
    WHERE database = 'periscope' AND name = 'trace_id' AND table IN {tables:Array(String)}"""
FACT_OF = {
    kind.name: next(view for view in PASSAGES if view.startswith(f"{kind.field}_to_")).partition("_to_")[2]
    for kind in EVENT_TYPES.values()
}


async def traced(store: Analytics, names: dict[str, str]) -> set[str]:
    """Which of these tables or views, by the fact they are for, have the column."""
    rows = await store.query(COLUMNS, {"tables": list(names)}, Scope.system("looks for columns"))
    return {names[row["table"]] for row in rows}


async def test_facts_but_samples_keep_their_trace_and_their_readers_see_it(periscope: Periscope) -> None:
    for suffix in ("", "_v"):
        found = await traced(periscope.analytics, {f"{name}{suffix}": name for name in FACTS})
        assert found == set(FACTS) - UNTRACED
    doors = {f"arrivals_{EVENT_TYPES[kind].field}": table for kind, table in FACT_OF.items()}
    assert await traced(periscope.analytics, doors) == set(FACT_OF.values()) - UNTRACED


async def stored_trace(periscope: Periscope, kind: str, door: str) -> str:
    """The trace in the row of an event that went in by `door`."""
    story = new_story()
    event = story.event(kind, 1)
    event.tenant_id, event.trace_id = story.tenant.bytes, TRACE
    fill(getattr(event, EVENT_TYPES[kind].field))
    payload = frame(event.SerializeToString())
    await periscope.analytics.insert_protobuf(door, message="Event", schema_text=SCHEMA_TEXT, payload=payload)
    sql = f"SELECT trace_id FROM periscope.{FACT_OF[kind]}_v WHERE event_id = {{event:UUID}}"
    asked = {"event": str(UUID(bytes=event.event_id))}
    (row,) = await periscope.analytics.query(sql, asked, Scope.tenant(story.tenant))
    return str(row["trace_id"])


@pytest.mark.parametrize("kind", [kind for kind, table in FACT_OF.items() if table not in UNTRACED])
async def test_either_way_in_delivers_the_trace(periscope: Periscope, kind: str) -> None:
    for door in (DOORS[kind], COMMON):
        assert await stored_trace(periscope, kind, door) == TRACE


async def test_the_migration_can_run_again(periscope: Periscope) -> None:
    (migration,) = [one for one in of_package(PACKAGE) if one.name == "traces"]
    before = await definitions(periscope.analytics)
    for statement in migration.statements():
        await periscope.analytics.command(statement)
    assert await definitions(periscope.analytics) == before


async def definitions(store: Analytics) -> list[dict[str, str]]:
    """Every table and view as the engine would make it."""
    sql = "SELECT name, create_table_query FROM system.tables WHERE database = 'periscope' ORDER BY name"
    return await store.query(sql, {}, Scope.system("compares definitions"))
