"""What lies in a platform's stores, read past every service: ClickHouse, PostgreSQL, the log, the node's own log."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import msgspec
from fixtures_http import http_client
from fixtures_platform import Platform

from frameworks.contracts.pb.events_v1_pb2 import Event, EventBatch
from frameworks.contracts.topics import ANALYTICS_EVENTS
from frameworks.data.periscope.store import tables
from frameworks.engines.postgres import socket_directory
from frameworks.kit.eventlog import EventLog, connect

FACTS = tuple(table for table in tables.FACTS if table != "service_events")
"""Where the events of the topic `analytics_events` end up."""
_HEADER = struct.Struct("<II")


async def rows(platform: Platform, sql: str, **parameters: str) -> list[dict[str, Any]]:
    """The rows of a statement, asked of the ClickHouse facade over HTTP."""
    home = platform.data / "clickhouse"
    async with http_client(timeout=30.0) as client:
        answer = await client.post(
            f"http://127.0.0.1:{(home / 'port').read_text().strip()}/",
            content=f"{sql} FORMAT JSON",
            params={f"param_{name}": value for name, value in parameters.items()},
            headers={
                "X-ClickHouse-User": "default",
                "X-ClickHouse-Key": (home / "password").read_text().strip(),
            },
        )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def count(platform: Platform, table: str, where: str, **parameters: str) -> int:
    """Facts that a reader of history finds."""
    found = await rows(platform, f"SELECT count() AS n FROM periscope.{table}_v WHERE {where}", **parameters)
    return int(found[0]["n"])


async def event_ids(platform: Platform, tenant: str) -> list[UUID]:
    """The ids of all facts of a tenant, as readers find them: one that is there twice is in it twice."""
    each = (f"SELECT event_id FROM periscope.{t}_v WHERE tenant_id = {{tenant:UUID}}" for t in FACTS)
    found = await rows(platform, " UNION ALL ".join(each), tenant=tenant)
    return [UUID(row["event_id"]) for row in found]


@asynccontextmanager
async def sql(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    """PostgreSQL as its owner."""
    root = platform.data.absolute() / "postgres"
    password = (root / "password").read_text().strip()
    place = f"host={quote(str(socket_directory(root)), safe='')}&port=5432"
    connection = await asyncpg.connect(f"postgresql://frameworks:{password}@/frameworks?{place}")
    try:
        yield connection
    finally:
        await connection.close()


async def state(platform: Platform, stream: str) -> dict[str, Any]:
    """The row of `stream_analytics`; empty when there is none."""
    async with sql(platform) as connection:
        found = await connection.fetchrow(
            "SELECT * FROM periscope.stream_analytics WHERE stream_id = $1", UUID(stream)
        )
    return dict(found) if found else {}


async def dirty(platform: Platform, tenant: str) -> int:
    """Buckets of a tenant, not hours or days, that wait for roll-up."""
    waiting = """SELECT count() AS n FROM (SELECT 1 FROM periscope.dirty
        WHERE tenant_id = toUUID({tenant:String}) AND NOT endsWith(kind, '_1h') AND NOT endsWith(kind, '_1d')
        GROUP BY kind, subject, bucket HAVING max(marked_at) >= max(done_at))"""
    return int((await rows(platform, waiting, tenant=tenant))[0]["n"])


@asynccontextmanager
async def eventlog(platform: Platform) -> AsyncIterator[EventLog]:
    """The event log."""
    log = await connect(platform.eventlog_url)
    try:
        yield log
    finally:
        await log.close()


async def logged(platform: Platform, tenant: str, since: datetime | None = None) -> list[Event]:
    """Every event of a tenant in the topic, repeated ones too."""
    found: list[Event] = []
    async with eventlog(platform) as log:
        async for record in log.replay(ANALYTICS_EVENTS, start=since or "earliest"):
            if record.headers.get("tenant_id") == tenant:
                found += EventBatch.FromString(record.value).events
    return found


def recorded(platform: Platform, service: str) -> list[Event]:
    """The events in the write-ahead log of `helmsman` or `foghorn` that are still on disk, sent or not."""
    found: list[Event] = []
    for path in sorted((platform.data / service).glob("**/wal/*.wal")):
        try:
            content, at = path.read_bytes(), 0
        except FileNotFoundError:  # sent meanwhile
            continue
        while at + _HEADER.size <= len(content):
            length, _ = _HEADER.unpack_from(content, at)
            at += _HEADER.size
            *_, framed = msgspec.msgpack.decode(content[at : at + length])
            found += EventBatch.FromString(framed).events
            at += length
    return found
