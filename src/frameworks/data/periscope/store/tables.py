"""Every ClickHouse table and view that holds tenants' rows, for the reader's fence."""

from frameworks.kit.analytics import TenantTable

FACTS = (
    "stream_events",
    "stream_views",
    "connection_events",
    "stream_health",
    "node_metrics",
    "routing_events",
    "unclaimed_events",
    "health_5m",
    "lifecycle_5m",
    "viewers_5m",
    "peaks_5m",
    "nodes_5m",
)

_PASSAGES = ("arrivals", "events", *(f"events_to_{name}" for name in FACTS[:7]), "arrivals_to_events")


def declared() -> tuple[TenantTable, ...]:
    """Tables, their deduplicating views, and the passages nothing is kept in."""
    names = (*FACTS, *(f"{name}_v" for name in FACTS), *_PASSAGES)
    return tuple(TenantTable(f"periscope.{name}") for name in names)
