"""Periscope's metrics."""

from frameworks.kit.metrics import counter, gauge, histogram

STORED = counter("frameworks_periscope_stored_total", "Events stored; a repeated event counts again.")
BURIED = counter(
    "frameworks_periscope_buried_total", "Frames no one could read, in the dead-letter topic: look at them."
)
PAUSES = counter(
    "frameworks_periscope_pauses_total",
    "Times ingestion waited, by reason: the log, ClickHouse or PostgreSQL is away, or refuses for now.",
    ("reason",),
)
UNCLAIMED = counter(
    "frameworks_periscope_unclaimed_total",
    "Events of a type that no table claims; only their envelopes are kept: a writer is newer than Periscope.",
)
BATCHES = histogram(
    "frameworks_periscope_batch_events", "Events of one insert.", buckets=(1, 10, 100, 1000, 10_000, 100_000)
)
ROLLED_UP = counter("frameworks_periscope_rolled_up_total", "Buckets recomputed.")
DIRTY = gauge(
    "frameworks_periscope_dirty_buckets", "Buckets that wait for roll-up; growing means it is behind."
)
USAGE_RECORDS = counter(
    "frameworks_periscope_usage_records_total",
    "Records appended to `usage_windows`, by kind; many corrections mean edges that deliver late, or long sessions.",
    ("kind",),
)
USAGE_BEHIND = gauge(
    "frameworks_periscope_usage_behind_seconds",
    "How long ago the window ended up to which every cluster is complete; beyond some fifteen minutes something is "
    "waited for: a partition, a node or an analytics store.",
)
USAGE_DROPPED = counter(
    "frameworks_periscope_usage_dropped_total",
    "Marks of usage windows too old to be measured again: facts that came more than a month late are not billed.",
)
