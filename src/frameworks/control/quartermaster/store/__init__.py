"""The only SQL of Quartermaster, by use case; every method takes the tenant first, but for `resolve_*` lookups."""

from frameworks.control.quartermaster.store.clusters import ClusterStore
from frameworks.control.quartermaster.store.enrollment import EnrollmentStore
from frameworks.control.quartermaster.store.nodes import NodeStore
from frameworks.control.quartermaster.store.registry import RegistryStore
from frameworks.control.quartermaster.store.tenants import TenantStore

__all__ = ["ClusterStore", "EnrollmentStore", "NodeStore", "RegistryStore", "TenantStore"]
