"""Periscope's metrics."""

from frameworks.kit.metrics import counter, gauge, histogram

STORED = counter("frameworks_periscope_stored_total", "Events stored; a repeated event counts again.")
BURIED = counter(
    "frameworks_periscope_buried_total", "Frames no one could read, in the dead-letter topic: look at them."
)
PAUSES = counter(
    "frameworks_periscope_pauses_total",
    "Times ingestion waited for the log, ClickHouse or PostgreSQL; growing means one of them is down.",
)
BATCHES = histogram(
    "frameworks_periscope_batch_events", "Events of one insert.", buckets=(1, 10, 100, 1000, 10_000, 100_000)
)
ROLLED_UP = counter("frameworks_periscope_rolled_up_total", "Buckets recomputed.")
DIRTY = gauge(
    "frameworks_periscope_dirty_buckets", "Buckets that wait for roll-up; growing means it is behind."
)
