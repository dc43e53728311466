"""Settings of Quartermaster."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "QUARTERMASTER_"

    operator_name: str = "Operator"
    """The name of the operator's own tenant, made at the first start."""
    default_cluster: str = "default"
    """The id of the shared cluster that every tenant may use."""
    default_cluster_name: str = "Default"
    """Its name as people see it."""
    default_cluster_url: str = ""
    """Where viewers reach the shared cluster, if it has an address of its own."""
    default_region: str = "local"
    """The region of the shared cluster."""
    max_owned_clusters: int = 5
    """How many private clusters a tenant may own."""
    node_stale_after: timedelta = timedelta(seconds=90)
    """A node that has not reported for this long is offline."""
    instance_stale_after: timedelta = timedelta(seconds=90)
    """A service instance that has not reported for this long is unhealthy."""
    sweep_every: timedelta = timedelta(seconds=15)
    """How often staleness is looked for."""
    certificate_lifetime: timedelta = timedelta(days=30)
    """How long a node's certificate is valid; nodes renew theirs well before."""
