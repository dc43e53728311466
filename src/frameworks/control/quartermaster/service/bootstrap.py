"""The first start: the operator's tenant and the shared cluster it owns."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from frameworks.control.quartermaster.domain import Cluster
from frameworks.control.quartermaster.service.tenants import Tenants
from frameworks.kit import log as logs

log = logs.get("quartermaster")


@dataclass(frozen=True, slots=True)
class SharedCluster:
    """The cluster every tenant may use."""

    id: str
    name: str
    base_url: str
    region: str


class Clusters(Protocol):
    """Where clusters are kept."""

    async def ensure(self, tenant: UUID, cluster: Cluster) -> None:
        """Keep the cluster unless it exists."""


async def ensure_platform(
    tenants: Tenants, clusters: Clusters, operator_name: str, shared: SharedCluster, now: datetime
) -> UUID:
    """Make the operator's tenant and the shared cluster unless they exist; the operator's tenant id."""
    operator = await tenants.ensure(name=operator_name, idempotency_key="", operator=True)
    await clusters.ensure(
        operator.id,
        Cluster(
            id=shared.id,
            name=shared.name,
            type="central",
            owner_tenant_id=operator.id,
            deployment_model="shared",
            base_url=shared.base_url,
            region=shared.region,
            default_cluster=True,
            visibility="public",
            short_description="Shared by all tenants.",
            created_at=now,
            updated_at=now,
        ),
    )
    log.info("platform.ensured", tenant_id=str(operator.id), cluster_id=shared.id)
    return operator.id
