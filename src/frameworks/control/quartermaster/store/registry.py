"""Running service instances: of no tenant; what of them a tenant may see follows from the clusters it may see."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from frameworks.control.quartermaster.domain import ServiceInstance
from frameworks.kit.paging import Paged, Position, Window, paged
from frameworks.kit.sql import Database

_COLUMNS = """i.id, i.service, i.cluster_id, i.node_id, i.address, i.protocol, i.port, i.status, i.health, i.version,
    i.started_at, i.last_seen_at"""
_PUBLIC = """i.id, i.service, i.cluster_id, '' AS node_id, '' AS address, i.protocol, 0 AS port, i.status, i.health,
    i.version, i.started_at, i.last_seen_at"""
_OWNED = (
    """EXISTS (SELECT FROM quartermaster.clusters c WHERE c.id = i.cluster_id AND c.owner_tenant_id = $1)"""
)
_VISIBLE = """EXISTS (SELECT FROM quartermaster.clusters c WHERE c.id = i.cluster_id
    AND (c.owner_tenant_id = $1 OR c.visibility = 'public'))"""
_NARROWED = """ AND ($2 = '' OR i.cluster_id = $2) AND ($3 = '' OR i.node_id = $3) AND ($4 = '' OR i.status = $4)
    AND ($5 = '' OR i.service = $5)"""


class RegistryStore:
    """Service instances in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def system_report(self, instances: Sequence[ServiceInstance], at: datetime) -> None:
        """Keep what each instance last said, and that it was heard."""
        async with self._db.system() as c:
            await c.executemany(
                """INSERT INTO quartermaster.service_instances (id, service, cluster_id, node_id, address, protocol,
                     port, status, health, version, started_at, last_seen_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                   ON CONFLICT (id) DO UPDATE SET service = excluded.service, cluster_id = excluded.cluster_id,
                     node_id = excluded.node_id, address = excluded.address, protocol = excluded.protocol,
                     port = excluded.port, status = excluded.status, health = excluded.health,
                     version = excluded.version, started_at = excluded.started_at,
                     last_seen_at = excluded.last_seen_at""",
                [
                    (
                        *(each.id, each.service, each.cluster_id, each.node_id, each.address, each.protocol),
                        *(each.port, each.status, each.health, each.version, each.started_at or at, at),
                    )
                    for each in instances
                ],
            )

    async def owned(
        self,
        tenant: UUID,
        window: Window,
        *,
        cluster_id: str = "",
        node_id: str = "",
        status: str = "",
        service: str = "",
    ) -> Paged[ServiceInstance]:
        """The instances in clusters this tenant owns."""
        given = (cluster_id, node_id, status, service)
        return await self._page(tenant, window, _COLUMNS, _OWNED + _NARROWED, given)

    async def running(
        self, tenant: UUID, window: Window, *, service: str, cluster_id: str, addresses: bool
    ) -> Paged[ServiceInstance]:
        """Healthy running instances in clusters open to this tenant, with their addresses only if asked for."""
        condition = f"{_VISIBLE}{_NARROWED} AND i.health = 'healthy'"
        columns = _COLUMNS if addresses else _PUBLIC
        return await self._page(tenant, window, columns, condition, (cluster_id, "", "running", service))

    async def system_mark_stale(self, heard_before: datetime, forget_before: datetime) -> int:
        """Call instances unhealthy that were not heard since, forget those long gone; how many changed."""
        async with self._db.system() as c:
            tag = await c.execute(
                """UPDATE quartermaster.service_instances SET health = 'unhealthy'
                   WHERE health <> 'unhealthy' AND last_seen_at < $1""",
                heard_before,
            )
            await c.execute(
                "DELETE FROM quartermaster.service_instances WHERE last_seen_at < $1", forget_before
            )
        return int(tag.rpartition(" ")[2])

    async def _page(
        self, tenant: UUID, window: Window, columns: str, condition: str, given: tuple[str, str, str, str]
    ) -> Paged[ServiceInstance]:
        clause, values = window.clause(6, at="i.started_at", id="i.id")
        source = f"FROM quartermaster.service_instances i WHERE {condition}"
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(f"SELECT {columns} {source}{clause}", tenant, *given, *values)
            total = await c.fetchval(f"SELECT count(*) {source}", tenant, *given)
        return paged([ServiceInstance(**row) for row in rows], window, total, _place)


def _place(row: ServiceInstance) -> Position:
    assert row.started_at is not None
    return Position(row.started_at, row.id)
