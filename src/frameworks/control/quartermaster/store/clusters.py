"""Clusters as a tenant may see them: its own, public ones, and those it was given access to."""

from datetime import datetime
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.contracts.audit_trail import note
from frameworks.control.quartermaster.domain import (
    OWNED_PRIORITY,
    Cluster,
    ClusterAccess,
    NoSuchCluster,
    NotEntitled,
    TooManyClusters,
)
from frameworks.kit.paging import Paged, Position, Window, paged
from frameworks.kit.sql import Connection, Database, Row

_COLUMNS = """c.id, c.name, c.type, c.owner_tenant_id, c.deployment_model, c.base_url, c.region, c.default_cluster,
    c.visibility, c.health, c.max_streams, c.max_viewers, c.max_bandwidth_bps, c.active, c.short_description,
    c.node_count, c.healthy_nodes, c.created_at, c.updated_at, c.owner_tenant_id = $1 AS owned,
    c.id = coalesce((SELECT t.primary_cluster_id FROM quartermaster.tenants t WHERE t.tenant_id = $1), '')
      AS preferred"""
_ENTITLED = """EXISTS (SELECT FROM quartermaster.cluster_access a WHERE a.tenant_id = $1
    AND a.cluster_id = c.id AND (a.expires_at IS NULL OR a.expires_at > $2))"""
_VISIBLE = f"c.active AND (c.owner_tenant_id = $1 OR c.visibility = 'public' OR {_ENTITLED})"


class ClusterStore:
    """Clusters and the access to them in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def ensure(self, tenant: UUID, cluster: Cluster) -> None:
        """Keep the cluster, and its owner in the directory, unless it exists."""
        async with self._db.tenant(tenant) as c:
            await _insert(c, cluster)
            await c.execute(
                """INSERT INTO quartermaster.directory (tenant_id, kind, value) VALUES ($1, 'cluster', $2)
                   ON CONFLICT (kind, value) DO NOTHING""",
                tenant,
                cluster.id,
            )

    async def create_owned(
        self, tenant: UUID, cluster: Cluster, most: int, *, by: Actor | None = None
    ) -> None:
        """Keep a tenant's own cluster and its access to it; raises TooManyClusters."""
        async with self._db.tenant(tenant) as c:
            await c.execute("SELECT FROM quartermaster.tenants WHERE tenant_id = $1 FOR UPDATE", tenant)
            owned: int = await c.fetchval(
                "SELECT count(*) FROM quartermaster.clusters WHERE owner_tenant_id = $1 AND active", tenant
            )
            if owned >= most:
                raise TooManyClusters(f"You may own {most} clusters.")
            await _insert(c, cluster)
            await c.execute(
                "INSERT INTO quartermaster.directory (tenant_id, kind, value) VALUES ($1, 'cluster', $2)",
                tenant,
                cluster.id,
            )
            await c.execute(
                """INSERT INTO quartermaster.cluster_access
                   (tenant_id, cluster_id, access_level, priority, granted_at) VALUES ($1, $2, 'owner', $3, $4)""",
                tenant,
                cluster.id,
                OWNED_PRIORITY,
                cluster.created_at,
            )
            made = tenant, "cluster.created", cluster.id
            await note(c, "quartermaster", *made, at=cluster.created_at, by=by)

    async def cluster(self, tenant: UUID, cluster_id: str, now: datetime) -> Cluster:
        """A cluster this tenant may see; raises NoSuchCluster."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                f"SELECT {_COLUMNS} FROM quartermaster.clusters c WHERE c.id = $3 AND {_VISIBLE}",
                tenant,
                now,
                cluster_id,
            )
        if row is None:
            raise NoSuchCluster("There is no such cluster.")
        return Cluster(**row)

    async def clusters(
        self, tenant: UUID, window: Window, now: datetime, *, public: bool = False
    ) -> Paged[Cluster]:
        """The clusters this tenant may see, or only those open to everyone."""
        condition = f"{_VISIBLE} AND (NOT $3 OR c.visibility = 'public')"
        clause, values = window.clause(4, at="c.created_at", id="c.id")
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                f"SELECT {_COLUMNS} FROM quartermaster.clusters c WHERE {condition}{clause}",
                tenant,
                now,
                public,
                *values,
            )
            total = await c.fetchval(
                f"SELECT count(*) FROM quartermaster.clusters c WHERE {condition}", tenant, now, public
            )
        return paged(
            [Cluster(**row) for row in rows], window, total, lambda row: Position(row.created_at, row.id)
        )

    async def access(self, tenant: UUID, window: Window, now: datetime) -> Paged[ClusterAccess]:
        """The clusters that may serve this tenant, and since when."""
        source = """quartermaster.cluster_access g JOIN quartermaster.clusters c ON c.id = g.cluster_id
            WHERE g.tenant_id = $1 AND c.active AND (g.expires_at IS NULL OR g.expires_at > $2)"""
        clause, values = window.clause(3, at="g.granted_at", id="g.cluster_id")
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                f"SELECT g.access_level, g.granted_at, g.expires_at, {_COLUMNS} FROM {source}{clause}",
                tenant,
                now,
                *values,
            )
            total = await c.fetchval(f"SELECT count(*) FROM {source}", tenant, now)
        found = [_access(row) for row in rows]
        return paged(found, window, total, lambda row: Position(row.granted_at, row.cluster.id))

    async def routing(self, tenant: UUID, now: datetime) -> tuple[list[str], bool] | None:
        """The clusters that may serve the tenant, best first, and whether it is active; None: no such tenant."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                "SELECT active, primary_cluster_id FROM quartermaster.tenants WHERE tenant_id = $1", tenant
            )
            if row is None:
                return None
            found = await c.fetch(
                """SELECT c.id FROM quartermaster.cluster_access g JOIN quartermaster.clusters c ON c.id = g.cluster_id
                   WHERE g.tenant_id = $1 AND c.active AND (g.expires_at IS NULL OR g.expires_at > $2)
                   ORDER BY c.health = 'unhealthy', c.id <> $3, g.priority, c.id LIMIT 100""",
                tenant,
                now,
                row["primary_cluster_id"],
            )
        return [each["id"] for each in found], row["active"]

    async def require_entitled(self, tenant: UUID, cluster_id: str, now: datetime) -> None:
        """Raises NotEntitled unless the cluster may serve this tenant."""
        async with self._db.tenant(tenant) as c:
            entitled = await c.fetchval(
                f"SELECT TRUE FROM quartermaster.clusters c WHERE c.id = $3 AND c.active AND {_ENTITLED}",
                tenant,
                now,
                cluster_id,
            )
        if not entitled:
            raise NotEntitled("This cluster does not serve your tenant.")


async def _insert(c: Connection, cluster: Cluster) -> None:
    await c.execute(
        """INSERT INTO quartermaster.clusters (id, name, type, owner_tenant_id, deployment_model, base_url, region,
             default_cluster, visibility, short_description, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11) ON CONFLICT (id) DO NOTHING""",
        cluster.id,
        cluster.name,
        cluster.type,
        cluster.owner_tenant_id,
        cluster.deployment_model,
        cluster.base_url,
        cluster.region,
        cluster.default_cluster,
        cluster.visibility,
        cluster.short_description,
        cluster.created_at,
    )


def _access(row: Row) -> ClusterAccess:
    own = {"access_level", "granted_at", "expires_at"}
    cluster = Cluster(**{name: value for name, value in row.items() if name not in own})
    return ClusterAccess(cluster=cluster, **{name: row[name] for name in own})
