"""Nodes: rows of the tenant that owns their cluster."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from frameworks.control.quartermaster.domain import Node, NodeFacts, cluster_health
from frameworks.kit.paging import Paged, Position, Window, paged
from frameworks.kit.sql import Connection, Database, Row

_COLUMNS = """id, name, cluster_id, tenant_id AS owner_tenant_id, type, status, region, base_url, rtmp_url, latitude,
    longitude, cpu_cores, memory_bytes, disk_bytes, version, capabilities, last_heartbeat_at, created_at, updated_at"""


class NodeStore:
    """Nodes in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_node_owners(self) -> Sequence[UUID]:
        """Every tenant that owns a node."""
        async with self._db.directory() as c:
            rows = await c.fetch("SELECT DISTINCT tenant_id FROM quartermaster.directory WHERE kind = 'node'")
        return [row["tenant_id"] for row in rows]

    async def node(self, tenant: UUID, node_id: str) -> tuple[Node, str] | None:
        """A node of this tenant and its public key."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                f"SELECT {_COLUMNS}, public_key FROM quartermaster.nodes WHERE tenant_id = $1 AND id = $2",
                tenant,
                node_id,
            )
        return (_node(row), row["public_key"]) if row else None

    async def nodes(
        self, tenant: UUID, window: Window, *, cluster_id: str = "", status: str = "", type: str = ""
    ) -> Paged[Node]:
        """The tenant's nodes, narrowed by what is given."""
        condition = """tenant_id = $1 AND ($2 = '' OR cluster_id = $2) AND ($3 = '' OR status = $3)
            AND ($4 = '' OR type = $4)"""
        clause, values = window.clause(5)
        given = (tenant, cluster_id, status, type)
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                f"SELECT {_COLUMNS} FROM quartermaster.nodes WHERE {condition}{clause}", *given, *values
            )
            total = await c.fetchval(f"SELECT count(*) FROM quartermaster.nodes WHERE {condition}", *given)
        return paged(
            [_node(row) for row in rows], window, total, lambda row: Position(row.created_at, row.id)
        )

    async def report(self, tenant: UUID, node_id: str, facts: NodeFacts, at: datetime) -> Node | None:
        """Keep what a node says of itself, and that it was heard; None when it is not enrolled."""
        async with self._db.tenant(tenant) as c:
            before = await c.fetchval(
                "SELECT status FROM quartermaster.nodes WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
                tenant,
                node_id,
            )
            if before is None:
                return None
            row = await c.fetchrow(
                f"""UPDATE quartermaster.nodes SET region = $3, base_url = $4, rtmp_url = $5, latitude = $6,
                      longitude = $7, cpu_cores = $8, memory_bytes = $9, disk_bytes = $10, version = $11,
                      capabilities = $12, last_heartbeat_at = $13, updated_at = $13,
                      status = CASE WHEN status IN ('draining', 'maintenance') THEN status ELSE 'online' END
                    WHERE tenant_id = $1 AND id = $2 RETURNING {_COLUMNS}""",
                tenant,
                node_id,
                *_values(facts),
                at,
            )
            assert row is not None
            if before != row["status"]:
                await count_nodes(c, tenant, row["cluster_id"], at)
        return _node(row)

    async def mark_stale(self, tenant: UUID, heard_before: datetime, at: datetime) -> list[str]:
        """Put nodes offline that were not heard since; their ids."""
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                """UPDATE quartermaster.nodes SET status = 'offline', updated_at = $3
                   WHERE tenant_id = $1 AND status = 'online' AND last_heartbeat_at < $2 RETURNING id, cluster_id""",
                tenant,
                heard_before,
                at,
            )
            for cluster_id in sorted({row["cluster_id"] for row in rows}):
                await count_nodes(c, tenant, cluster_id, at)
        return [row["id"] for row in rows]


async def count_nodes(c: Connection, tenant: UUID, cluster_id: str, at: datetime) -> None:
    """Bring a cluster's node counts and health up to date."""
    row = await c.fetchrow(
        """SELECT count(*) AS nodes, count(*) FILTER (WHERE status = 'online') AS healthy
           FROM quartermaster.nodes WHERE tenant_id = $1 AND cluster_id = $2""",
        tenant,
        cluster_id,
    )
    assert row is not None
    await c.execute(
        """UPDATE quartermaster.clusters SET node_count = $3, healthy_nodes = $4, health = $5, updated_at = $6
           WHERE owner_tenant_id = $1 AND id = $2""",
        tenant,
        cluster_id,
        row["nodes"],
        row["healthy"],
        cluster_health(row["nodes"], row["healthy"]),
        at,
    )


def _values(facts: NodeFacts) -> tuple[object, ...]:
    return (
        facts.region,
        facts.base_url,
        facts.rtmp_url,
        facts.latitude,
        facts.longitude,
        facts.cpu_cores,
        facts.memory_bytes,
        facts.disk_bytes,
        facts.version,
        list(facts.capabilities),
    )


def _node(row: Row) -> Node:
    values = {name: value for name, value in row.items() if name != "public_key"}
    return Node(**values | {"capabilities": tuple(row["capabilities"])})
