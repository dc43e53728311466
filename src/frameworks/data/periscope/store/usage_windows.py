"""Usage: facts measured in ClickHouse, and in PostgreSQL what waits, what was said and how far everything is."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec

from frameworks.data.periscope.domain import BUCKET, NodeHeard, UsageKey
from frameworks.data.periscope.service.usage_windows import (
    Cluster,
    Completed,
    Heard,
    Said,
    Series,
    Source,
    Waiting,
    WindowSaid,
)
from frameworks.kit import outbox
from frameworks.kit.clock import Clock, from_micros, micros
from frameworks.kit.sql import Connection, Database

SCHEMA = "periscope"
LETTERS = "usage"
NODE_FORGOTTEN = "1 day"

_CLUSTERS = """
INSERT INTO periscope.usage_clusters (cluster_id, complete_until, sequence)
SELECT DISTINCT cluster_id, $2::timestamptz, 0 FROM unnest($1::text[]) AS c (cluster_id)
ON CONFLICT (cluster_id) DO NOTHING
"""

_MARK = """
INSERT INTO periscope.usage_waiting AS w (tenant_id, cluster_id, window_at, generation)
SELECT tenant_id, cluster_id, window_at, 1
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS m (tenant_id, cluster_id, window_at)
ON CONFLICT (tenant_id, cluster_id, window_at) DO UPDATE SET generation = w.generation + 1
"""

_NODES = """
INSERT INTO periscope.usage_nodes AS n (cluster_id, node_id, reached_at, said_at, appended_at, seen_at)
SELECT cluster_id, node_id, said_at, said_at, appended_at, appended_at
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    AS h (cluster_id, node_id, said_at, appended_at)
ON CONFLICT (cluster_id, node_id) DO UPDATE SET
    said_at = CASE WHEN n.reached_at >= n.said_at THEN excluded.said_at ELSE n.said_at END,
    appended_at = CASE WHEN n.reached_at >= n.said_at THEN excluded.appended_at ELSE n.appended_at END,
    seen_at = greatest(n.seen_at, excluded.seen_at)
"""

_REACHED = """
UPDATE periscope.usage_nodes SET reached_at = greatest(reached_at, said_at)
WHERE cluster_id = $1 AND appended_at <= $2
"""

_PARTITIONS = """
INSERT INTO periscope.usage_partitions AS p (topic, partition, reached_at)
SELECT topic, partition, reached_at
FROM unnest($1::text[], $2::integer[], $3::timestamptz[]) AS r (topic, partition, reached_at)
ON CONFLICT (topic, partition) DO UPDATE SET reached_at = greatest(p.reached_at, excluded.reached_at)
"""

_SAID = """
INSERT INTO periscope.usage_said AS s (tenant_id, cluster_id, window_at, records, amounts)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, cluster_id, window_at) DO UPDATE
SET records = excluded.records, amounts = excluded.amounts
WHERE s.tenant_id = $1
"""

_SEQUENCE = """
INSERT INTO periscope.usage_sequences AS s (tenant_id, cluster_id, sequence) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, cluster_id) DO UPDATE SET sequence = excluded.sequence WHERE s.tenant_id = $1
"""

_KEYS = "unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS k (tenant_id, cluster_id, window_at)"


async def mark_usage(c: Connection, used: Sequence[UsageKey], clock: Clock) -> None:
    """Remember that these windows must be measured; their clusters are complete from now on."""
    await _register(c, {key.cluster for key in used}, clock)
    await c.execute(_MARK, *_columns(used))


async def _register(c: Connection, clusters: Iterable[str], clock: Clock) -> None:
    first = micros(clock.now()) // BUCKET * BUCKET
    await c.execute(_CLUSTERS, sorted(clusters), from_micros(first))


def _columns(keys: Collection[UsageKey]) -> tuple[list[UUID], list[str], list[object]]:
    return (
        [key.tenant for key in keys],
        [key.cluster for key in keys],
        [from_micros(key.at) for key in keys],
    )


class PostgresUsage:
    """Where windows wait and what was said is remembered; `holder` names this process."""

    def __init__(self, database: Database, clock: Clock, holder: str) -> None:
        self._db = database
        self._clock = clock
        self._holder = holder

    async def heard(self, reached: Mapping[Source, int], nodes: Sequence[Heard]) -> None:
        """Say how far this process stored the log, and which nodes it heard of."""
        async with self._db.system() as c:
            sources = sorted(source for source, at in reached.items() if at)
            await c.execute(
                _PARTITIONS,
                [topic for topic, _ in sources],
                [partition for _, partition in sources],
                [from_micros(reached[source]) for source in sources],
            )
            if nodes:
                ordered = sorted(nodes, key=lambda heard: (heard.node.cluster, heard.node.node))
                await _register(c, {heard.node.cluster for heard in ordered}, self._clock)
                await c.execute(
                    _NODES,
                    [heard.node.cluster for heard in ordered],
                    [heard.node.node for heard in ordered],
                    [from_micros(heard.node.at) for heard in ordered],
                    [from_micros(heard.seen_at) for heard in ordered],
                )

    async def clusters(self) -> list[str]:
        """Every cluster heard of."""
        async with self._db.system() as c:
            rows = await c.fetch("SELECT cluster_id FROM periscope.usage_clusters ORDER BY cluster_id")
        return [row["cluster_id"] for row in rows]

    async def waiting_until(self) -> int:
        """The earliest end (microseconds) up to which a cluster is complete; 0 without clusters."""
        async with self._db.system() as c:
            earliest = await c.fetchval("SELECT min(complete_until) FROM periscope.usage_clusters")
        return micros(earliest) if earliest else 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["PostgresUsageTurn | None"]:
        """A turn: the row's lock ends with the transaction, so what is said fails when the lock is lost."""
        async with self._db.system() as c:
            row = await c.fetchrow("SELECT turn FROM periscope.usage_turn WHERE one FOR UPDATE SKIP LOCKED")
            if row is None:
                yield None
                return
            number = row["turn"] + 1
            await c.execute("UPDATE periscope.usage_turn SET turn = $1, holder = $2", number, self._holder)
            yield PostgresUsageTurn(c, number)


class PostgresUsageTurn:
    """One transaction that holds the turn."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._c = connection
        self.number = number

    async def reached(self) -> dict[Source, int]:
        """By partition of the log: until when everything appended is stored."""
        rows = await self._c.fetch("SELECT topic, partition, reached_at FROM periscope.usage_partitions")
        return {(row["topic"], row["partition"]): micros(row["reached_at"]) for row in rows}

    async def cluster(self, name: str, stored: int) -> Cluster:
        """The cluster as it is when the whole log is stored until then."""
        await self._c.execute(_REACHED, name, from_micros(stored))
        row = await self._c.fetchrow(
            "SELECT complete_until, sequence FROM periscope.usage_clusters WHERE cluster_id = $1", name
        )
        assert row is not None
        nodes = await self._c.fetch(
            "SELECT node_id, reached_at, seen_at FROM periscope.usage_nodes WHERE cluster_id = $1", name
        )
        heard = [
            Heard(NodeHeard(name, node["node_id"], micros(node["reached_at"])), micros(node["seen_at"]))
            for node in nodes
        ]
        return Cluster(name, micros(row["complete_until"]), row["sequence"], heard)

    async def waiting(self, cluster: str, until: int, limit: int) -> list[Waiting]:
        """The cluster's oldest windows that wait and end by then."""
        rows = await self._c.fetch(
            """SELECT tenant_id, window_at, generation FROM periscope.usage_waiting
               WHERE cluster_id = $1 AND window_at <= $2 ORDER BY window_at, tenant_id LIMIT $3""",
            cluster,
            from_micros(max(0, until - BUCKET)),
            limit,
        )
        return [
            Waiting(
                UsageKey(UUID(str(row["tenant_id"])), cluster, micros(row["window_at"])), row["generation"]
            )
            for row in rows
        ]

    async def said(self, keys: Collection[UsageKey]) -> dict[UsageKey, Said]:
        """What was said of these windows."""
        rows = await self._c.fetch(
            f"""SELECT s.tenant_id, s.cluster_id, s.window_at, s.records, s.amounts
                FROM periscope.usage_said s JOIN {_KEYS} USING (tenant_id, cluster_id, window_at)""",
            *_columns(keys),
        )
        return {_key(row): Said(row["amounts"], row["records"]) for row in rows}

    async def sequences(self, series: Collection[Series]) -> dict[Series, int]:
        """The last sequence said of each."""
        rows = await self._c.fetch(
            """SELECT s.tenant_id, s.cluster_id, s.sequence FROM periscope.usage_sequences s
               JOIN unnest($1::uuid[], $2::text[]) AS k (tenant_id, cluster_id) USING (tenant_id, cluster_id)""",
            [tenant for tenant, _ in series],
            [cluster for _, cluster in series],
        )
        return {(UUID(str(row["tenant_id"])), row["cluster_id"]): row["sequence"] for row in rows}

    async def counted(self, cluster: str, since: int, until: int) -> dict[int, int]:
        """By window: the tenants something was said of."""
        rows = await self._c.fetch(
            """SELECT window_at, count(*) AS tenants FROM periscope.usage_said
               WHERE cluster_id = $1 AND window_at >= $2 AND window_at < $3 GROUP BY window_at""",
            cluster,
            from_micros(since),
            from_micros(until),
        )
        return {micros(row["window_at"]): row["tenants"] for row in rows}

    async def say(self, windows: Sequence[WindowSaid]) -> None:
        """Remember and publish: the outbox row is written with what was said."""
        before = await self.said([window.key for window in windows]) if windows else {}
        for window in windows:
            key, known = window.key, before.get(window.key, Said())
            total = {**known.amounts}
            for meter, amount in window.amounts.items():
                total[meter] = total.get(meter, 0) + amount
            at = from_micros(key.at)
            await self._c.execute(_SAID, key.tenant, key.cluster, at, known.records + 1, total)
            await self._c.execute(_SEQUENCE, key.tenant, key.cluster, window.sequence)
            await self._post("window", key.cluster, window)

    async def complete(self, markers: Sequence[Completed]) -> None:
        """Remember and publish, in order."""
        for marker in markers:
            await self._c.execute(
                """UPDATE periscope.usage_clusters SET complete_until = $2, sequence = $3
                   WHERE cluster_id = $1""",
                marker.cluster,
                from_micros(marker.at + BUCKET),
                marker.sequence,
            )
            await self._post("complete", marker.cluster, marker)

    async def clear(self, done: Sequence[Waiting]) -> None:
        """These wait no longer, unless they were marked again meanwhile."""
        await self._c.execute(
            """DELETE FROM periscope.usage_waiting w
               USING unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[])
                   AS m (tenant_id, cluster_id, window_at, generation)
               WHERE w.tenant_id = m.tenant_id AND w.cluster_id = m.cluster_id
                   AND w.window_at = m.window_at AND w.generation = m.generation""",
            *_columns([entry.key for entry in done]),
            [entry.generation for entry in done],
        )

    async def forget(self, cluster: str, *, waiting_before: int, said_before: int) -> int:
        """Drop marks and memories from before then; how many marks."""
        await self._c.execute(
            "DELETE FROM periscope.usage_said WHERE tenant_id IS NOT NULL AND cluster_id = $1 AND window_at < $2",
            cluster,
            from_micros(said_before),
        )
        await self._c.execute(
            f"""DELETE FROM periscope.usage_nodes
                WHERE cluster_id = $1 AND seen_at < now() - interval '{NODE_FORGOTTEN}'""",
            cluster,
        )
        tag = await self._c.execute(
            "DELETE FROM periscope.usage_waiting WHERE tenant_id IS NOT NULL AND cluster_id = $1 AND window_at < $2",
            cluster,
            from_micros(waiting_before),
        )
        return int(tag.rpartition(" ")[2])

    async def _post(self, record: str, cluster: str, said: WindowSaid | Completed) -> None:
        """One key a cluster, so that a window's marker comes after everything it completes."""
        await outbox.add(self._c, SCHEMA, LETTERS, cluster, msgspec.json.encode(said), {"record": record})


def _key(row: Mapping[str, Any]) -> UsageKey:
    return UsageKey(UUID(str(row["tenant_id"])), row["cluster_id"], micros(row["window_at"]))
