"""Orders to stop streams: an outbox row in the transaction of what they follow from."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from frameworks.control.commodore.domain.stops import MOST_AT_ONCE, TOPIC, Stop, StopOrder
from frameworks.kit import outbox
from frameworks.kit.clock import uuid7
from frameworks.kit.sql import Connection, Database


async def order(c: Connection, tenant: UUID, stops: Sequence[Stop], reason: str, now: datetime) -> None:
    """Have Foghorn told."""
    made = StopOrder(order_id=str(uuid7(now)), tenant_id=str(tenant), reason=reason, streams=tuple(stops))
    await outbox.add(c, "commodore", TOPIC, str(tenant), msgspec.json.encode(made))


async def of_stream(c: Connection, tenant: UUID, stream_id: UUID) -> Stop | None:
    """The stream's publishers up to now."""
    row = await c.fetchrow(
        """SELECT s.internal_name, coalesce(cl.epoch, 0) AS epoch FROM commodore.streams s
           LEFT JOIN commodore.claims cl ON cl.tenant_id = s.tenant_id AND cl.stream_id = s.id
           WHERE s.tenant_id = $1 AND s.id = $2""",
        tenant,
        stream_id,
    )
    return Stop(internal_name=row["internal_name"], epoch=row["epoch"]) if row else None


async def of_keys(
    c: Connection, tenant: UUID, stream_id: UUID, key_ids: Sequence[UUID], now: datetime
) -> None:
    """Order that whoever publishes the stream with one of these keys is stopped."""
    row = await c.fetchrow(
        """SELECT s.internal_name, cl.epoch, cl.key_id FROM commodore.claims cl
           JOIN commodore.streams s ON s.tenant_id = cl.tenant_id AND s.id = cl.stream_id
           WHERE cl.tenant_id = $1 AND cl.stream_id = $2 AND cl.held AND cl.key_id = ANY($3)""",
        tenant,
        stream_id,
        key_ids,
    )
    if row is not None:
        stop = Stop(internal_name=row["internal_name"], epoch=row["epoch"], key_id=str(row["key_id"]))
        await order(c, tenant, [stop], "KEY_INACTIVE", now)


class StopStore:
    """All that a tenant has on air, in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def stop_all(self, tenant: UUID, reason: str, now: datetime) -> int:
        """Order everything the tenant has on air stopped; how many streams. Without any, Foghorn just asks again."""
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                """SELECT s.internal_name, cl.epoch FROM commodore.claims cl
                   JOIN commodore.streams s ON s.tenant_id = cl.tenant_id AND s.id = cl.stream_id
                   WHERE cl.tenant_id = $1 AND cl.held ORDER BY s.id""",
                tenant,
            )
            stops = [Stop(internal_name=row["internal_name"], epoch=row["epoch"]) for row in rows]
            for first in range(0, max(len(stops), 1), MOST_AT_ONCE):
                await order(c, tenant, stops[first : first + MOST_AT_ONCE], reason, now)
        return len(stops)

    async def look_again(self, tenant: UUID, now: datetime) -> None:
        """Have Foghorn ask about the tenant again: it may do more than before."""
        async with self._db.tenant(tenant) as c:
            await order(c, tenant, [], "", now)
