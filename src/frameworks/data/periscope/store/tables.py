"""Every ClickHouse table and view that holds tenants' rows, for the reader's fence."""

from frameworks.kit.analytics import TenantTable

FACTS = (
    "stream_events",
    "stream_views",
    "connection_events",
    "stream_health",
    "node_metrics",
    "routing_events",
    "push_events",
    "artifact_events",
    "stream_metrics_detailed",
    "client_samples",
    "storage_samples",
    "service_events",
    "player_boots",
    "player_sessions",
    "api_requests",
    "unclaimed_events",
)
"""Fed from events by a view each."""

BUCKETS = (
    "health_5m",
    "lifecycle_5m",
    "viewers_5m",
    "peaks_5m",
    "nodes_5m",
)
"""Computed from facts."""

HOURS_AND_DAYS = tuple(f"{name.removesuffix('_5m')}_{grain}" for name in BUCKETS for grain in ("1h", "1d"))
"""Computed from buckets."""

SESSIONS = ("viewer_sessions_final", "stream_sessions_final")
"""Computed from facts, a row a session."""

_INTO = {
    **dict.fromkeys(("stream_ingest", "stream_lifecycle", "stream_buffer", "track_list"), "stream_events"),
    "stream_view": "stream_views",
    "user_connection": "connection_events",
    "stream_metrics": "stream_health",
    "node_lifecycle": "node_metrics",
    "load_balancing": "routing_events",
    "push_lifecycle": "push_events",
    "recording_lifecycle": "artifact_events",
    "stream_metrics_detailed": "stream_metrics_detailed",
    "client_sample": "client_samples",
    "storage_sample": "storage_samples",
    "player_boot": "player_boots",
    "player_session": "player_sessions",
    "api_requests": "api_requests",
    "service_event": "service_events",
}
"""An event's field → the table its type is kept in."""
_DOORS = (
    *("arrivals_stream_events", "arrivals_to_stream_events"),
    *(name for field, table in _INTO.items() for name in (f"arrivals_{field}", f"{field}_to_{table}")),
)
PASSAGES = ("arrivals", "events", *(f"events_to_{name}" for name in FACTS), "arrivals_to_events", *_DOORS)

MERGED = "FINAL PREWHERE tenant_id = {tenant:UUID}"
"""Behind a table's name: each row once, in its newest version. Every part of a table has the tenant's rows between
those of others; these are left out before parts are merged, since that is what would cost more the more parts there
are. The tenant is in every sorting key, so that no version of a row goes without the others."""

REPEATED = "PREWHERE tenant_id = {tenant:UUID}"
"""Behind a table's name where a row that comes twice changes nothing, as under `min`, `max` and `argMax`."""


def declared() -> tuple[TenantTable, ...]:
    """Tables, their deduplicating views, and the passages nothing is kept in."""
    kept = (*FACTS, *BUCKETS, *HOURS_AND_DAYS, *SESSIONS)
    names = ("dirty", *kept, *(f"{name}_v" for name in kept), *PASSAGES)
    return tuple(TenantTable(f"periscope.{name}") for name in names)
