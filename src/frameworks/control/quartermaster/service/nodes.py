"""Nodes: what their owner may see of them, and their heartbeats."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from frameworks.control.quartermaster.domain import Node, NodeFacts, NoSuchNode, facts
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock
from frameworks.kit.paging import Paged, Window

log = logs.get("quartermaster")


class Store(Protocol):
    """Where nodes are kept."""

    async def resolve_node_owners(self) -> Sequence[UUID]:
        """Every tenant that owns a node."""

    async def node(self, tenant: UUID, node_id: str) -> tuple[Node, str] | None:
        """A node of this tenant and its public key."""

    async def nodes(
        self, tenant: UUID, window: Window, *, cluster_id: str = "", status: str = "", type: str = ""
    ) -> Paged[Node]:
        """The tenant's nodes, narrowed by what is given."""

    async def report(self, tenant: UUID, node_id: str, facts: NodeFacts, at: datetime) -> Node | None:
        """Keep what a node says of itself; None when it is not enrolled."""

    async def mark_stale(self, tenant: UUID, heard_before: datetime, at: datetime) -> list[str]:
        """Put nodes offline that were not heard since; their ids."""


class Nodes:
    """The nodes of each tenant."""

    def __init__(self, store: Store, clock: Clock, *, stale_after: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._stale_after = stale_after

    async def one(self, tenant: UUID, node_id: str) -> Node:
        """A node of this tenant; raises NoSuchNode."""
        found = await self._store.node(tenant, node_id)
        if found is None:
            raise NoSuchNode("There is no such node.")
        return found[0]

    async def of(
        self, tenant: UUID, window: Window, *, cluster_id: str, status: str, type: str
    ) -> Paged[Node]:
        """The tenant's own nodes: those of clusters it does not own are not in the list."""
        return await self._store.nodes(tenant, window, cluster_id=cluster_id, status=status, type=type)

    async def report(self, tenant: UUID, node_id: str, given: NodeFacts) -> Node:
        """A heartbeat with what the node says of itself; raises NoSuchNode once it was removed."""
        node = await self._store.report(tenant, node_id, facts(given), self._clock.now())
        if node is None:
            raise NoSuchNode("This node is not enrolled.")
        return node

    async def sweep(self) -> int:
        """Put every node offline that has been silent too long; how many."""
        now = self._clock.now()
        count = 0
        for tenant in await self._store.resolve_node_owners():
            for node_id in await self._store.mark_stale(tenant, now - self._stale_after, now):
                count += 1
                log.warning("node.lost", tenant_id=str(tenant), node_id=node_id)
        return count
