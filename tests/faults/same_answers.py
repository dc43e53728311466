"""Everything a data plane answers about a load, so that two planes can be compared."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from fixtures_platform import eventually
from flow_stores import eventlog, rows, sql
from google.protobuf import text_format
from same_load import DAY, Load
from same_plane import Plane, plane

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.contracts.pb.usage_v1_pb2 import UsageRecord
from frameworks.contracts.topics import USAGE_WINDOWS
from frameworks.data.periscope.store import tables
from frameworks.kit.clock import from_micros

OF_PROCESSES = {"GetPipelineStatus", "ReportProcess"}
"""What Periscope says of the processes themselves: that is to differ."""
NAMED = {"GetRetention": {"artifact": "a1"}}
"""What has to be named to be asked at all."""
OF_ONE_STREAM = {"GetStreamSeries", "GetStreamSummary", "ListViewerCounts"}
UP_TO_NOW = {"GetOverview"}
"""Counts the seconds of what is live up to the moment it is asked, so it is asked about days that are over."""
PAGE = 60
KEPT = (*tables.FACTS, *tables.BUCKETS, *tables.HOURS_AND_DAYS, *tables.SESSIONS)
STATE = {
    "stream_analytics": "*",
    "viewer_sessions": "tenant_id, stream_id, node_id, session_id, connected_at, disconnected_at, presumed_at",
}
Answers = dict[str, Any]


async def answered(
    data: Path, load: Load, log: str, processes: str, *, breaks: Random | None = None
) -> Answers:
    """What a fresh plane says of a load; with `breaks` its log and its processes are killed while they take it."""
    async with plane(data, log, processes) as made:
        async with asyncio.TaskGroup() as group:
            group.create_task(made.take(load))
            if breaks is not None:
                group.create_task(made.suffer(breaks))
        return await answers(made, load)


def differing(one: Answers, other: Answers) -> list[str]:
    """The names of what the two do not say alike."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def facts(said: Answers) -> int:
    """How many events are in history."""
    return sum(int(said[f"table {name}"][0]) for name in tables.FACTS)


async def answers(made: Plane, load: Load) -> Answers:
    """Rows of every table, state, usage said for billing, and every call's answer page by page."""
    await settled(made, load)
    found: Answers = {f"table {name}": await digest(made, name) for name in KEPT}
    async with sql(made) as connection:
        for table, columns in STATE.items():
            kept = await connection.fetch(f"SELECT {columns} FROM periscope.{table}")
            found[f"state {table}"] = sorted(str(dict(row)) for row in kept)
    found["usage windows"] = await usage(made, load)
    return found | await calls(made, load)


async def settled(made: Plane, load: Load) -> None:
    """Wait until all that was acknowledged is history, in every grain, and billed."""

    async def facts() -> bool:
        each = " UNION ALL ".join(f"SELECT count() AS n FROM periscope.{name}_v" for name in tables.FACTS)
        return int((await rows(made, f"SELECT sum(n) AS n FROM ({each})"))[0]["n"]) >= load.events

    async def computed() -> bool:
        dirty = "SELECT count() AS n FROM (SELECT 1 FROM periscope.dirty GROUP BY kind, tenant_id, subject, bucket"
        left = await rows(made, f"{dirty} HAVING max(marked_at) >= max(done_at))")
        async with sql(made) as connection:
            due = await connection.fetchval(
                "SELECT (SELECT count(*) FROM periscope.usage_waiting WHERE window_at < $1)"
                " + (SELECT count(*) FROM periscope.outbox)",
                from_micros(load.over),
            )
        return int(left[0]["n"]) == 0 and due == 0

    await eventually(facts, within=120.0, every=1.0, what="every event in history")
    await eventually(computed, within=120.0, every=0.5, what="every bucket and usage window computed")


async def digest(made: Plane, table: str) -> tuple[str, str]:
    """How many rows readers find in a table, and a sum over all they say; versions count writings, not facts."""
    columns = await rows(
        made,
        "SELECT name, type FROM system.columns WHERE database = 'periscope' AND table = {table:String}",
        table=f"{table}_v",
    )
    said = ", ".join(
        f"finalizeAggregation({column['name']})" if "AggregateFunction" in column["type"] else column["name"]
        for column in columns
        if column["name"] != "version"
    )
    asked = f"SELECT count() AS n, sum(cityHash64(toString(tuple({said})))) AS sum FROM periscope.{table}_v"
    (row,) = await rows(made, asked)
    return str(row["n"]), str(row["sum"])


async def usage(made: Plane, load: Load) -> dict[tuple[str, str, int], dict[str, int]]:
    """What the topic for billing says of each window that is over, corrections added; a record counts once."""
    total: dict[tuple[str, str, int], Counter[str]] = {}
    known: set[bytes] = set()
    async with eventlog(made) as log:
        async for record in log.replay(USAGE_WINDOWS):
            said = UsageRecord.FromString(record.value).window
            if not said.tenant_id or said.record_id in known or said.window_at >= load.over:
                continue
            known.add(said.record_id)
            window = str(UUID(bytes=said.tenant_id)), said.cluster_id, said.window_at
            for amount in said.amounts:
                total.setdefault(window, Counter())[amount.meter] += amount.amount
    return {window: dict(amounts) for window, amounts in sorted(total.items())}


async def calls(made: Plane, load: Load) -> Answers:
    """What every method of Periscope answers to each tenant."""
    stub, found = made.periscope(), Answers()
    whole = pb.Range(from_at=load.since, until_at=load.until // DAY * DAY + DAY)
    over = pb.Range(from_at=load.since, until_at=load.over)
    for tenant, streams in load.streams.items():
        for method in pb.DESCRIPTOR.services_by_name["PeriscopeService"].methods:
            if method.name in OF_PROCESSES:
                continue
            span = over if method.name in UP_TO_NOW else whole
            reader = None if method.name == "GetUsage" else made.reader(tenant)
            call = getattr(stub, method.name)
            for number, asked in enumerate(questions(method, span, tenant, streams)):
                name = f"{method.name} {tenant} {number}"
                found[name] = [told async for told in _pages(call, asked, reader)]
    return found


def questions(method: Any, span: pb.Range, tenant: UUID, streams: list[UUID]) -> Iterator[Any]:
    """Requests of a method: about everything, and about a stream where one can be named."""
    request = getattr(pb, method.input_type.name)
    fields = request.DESCRIPTOR.fields_by_name
    made: dict[str, Any] = NAMED.get(method.name, {}) | ({"range": span} if "range" in fields else {})
    if "tenant_id" in fields:
        made["tenant_id"] = str(tenant)
    if "stream_ids" in fields:
        made["stream_ids"] = [str(stream) for stream in streams]
    if method.name not in OF_ONE_STREAM:
        yield request(**made)
    if "stream_id" in fields:
        yield request(**made, stream_id=str(streams[0]))


async def _pages(call: Any, asked: Any, metadata: Any) -> AsyncIterator[str]:
    """The answer, or each page of it."""
    paged = "page" in asked.DESCRIPTOR.fields_by_name
    if paged:
        asked.page.first = PAGE
    while True:
        answer = await call(asked, metadata=metadata)
        yield text_format.MessageToString(answer)
        if not paged or "page" not in answer.DESCRIPTOR.fields_by_name or not answer.page.has_next:
            return
        asked.page.after = answer.page.end_cursor
