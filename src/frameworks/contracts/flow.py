"""How events flow, in figures and words: what processes report of themselves, and what an operator can do."""

from dataclasses import dataclass

REPORT_EVERY = 2.0
"""Seconds between two reports of a process."""

RATES = {
    "recorded": "frameworks_delivery_recorded_total",
    "delivered": "frameworks_delivery_acknowledged_total",
    "accepted": "frameworks_decklog_accepted_total",
    "refused": "frameworks_decklog_refused_total",
    "stored": "frameworks_periscope_stored_total",
    "buried": "frameworks_periscope_buried_total",
    "rolled_up": "frameworks_periscope_rolled_up_total",
    "pushed": "frameworks_signalman_pushed_total",
    "written": "frameworks_signalman_delivered_total",
    "admissions": "commodore_admissions_total",
    "calls": "frameworks_rpc_calls_total",
}
"""Figures that are told by the second, and the counters they come from."""

LEVELS = {
    "sockets": "frameworks_signalman_sockets",
    "sessions": "frameworks_helmsman_sessions",
    "node_answers": "frameworks_helmsman_node_answers",
    "in_flight": "frameworks_decklog_in_flight",
}
"""Figures that are told as they are, and the gauges they come from."""

READERS = ("ingest", "following")
"""The facts of `/health` in which readers of the log tell how far they are."""

ENGINES = {"clickhouse": "ClickHouse", "postgresql": "PostgreSQL", "eventlog": "The event log"}
PLACES = {
    "decklog": "decklog",
    "periscope-ingest": "ingest",
    "periscope-query": "ingest",
    "signalman": "signalman",
    "helmsman": "node",
    "mist": "node",
    "foghorn": "control",
}
"""Module → the box of the drawing it belongs to; all others are the control plane."""

_REMEDIES = {
    "eventlog.": "Look at `frameworks logs nats` (or the Kafka brokers) and at the disk; edges keep their events "
    "meanwhile and deliver them by themselves.",
    "analytics.read_only": "ClickHouse refuses writes: free space on its disk, then restart it.",
    "analytics.no_space": "Free space on the disk of ClickHouse; storing goes on by itself.",
    "analytics.no_memory": "Give ClickHouse more memory, or lower PERISCOPE_BATCH_RECORDS.",
    "analytics.too_many_parts": "ClickHouse merges too slowly: wait, look at its disk, raise PERISCOPE_BATCH_WAIT.",
    "analytics.": "Look at `frameworks logs clickhouse` and at the disk. Nothing is lost while the log keeps it "
    "(seven days); storing goes on by itself.",
    "periscope.schema_behind": "A migration did not run: restart Periscope on the right release.",
    "sql.": "Look at `frameworks logs postgres` and at the disk; services reconnect by themselves.",
    "flow.silent": "Look at `frameworks status` and at the log of that process; start it again.",
    "flow.loop_failing": "Look for `loop.failed` in the log of that process; it is tried again by itself.",
    "flow.dead_letters": "Run `frameworks dlq list`: upgrade a reader that is older than its writer, then "
    "`frameworks dlq replay`.",
    "flow.unclaimed": "A writer is newer than Periscope: upgrade Periscope. The envelopes are kept.",
    "flow.roll_up_behind": "Look at ClickHouse's load and for failing `roll-up` loops; charts lag, nothing is lost.",
    "flow.behind": "Look at ClickHouse's load; start another `frameworks run periscope-ingest` if it keeps growing.",
    "flow.edge_log": "Bring Decklog or the event log back, it drains by itself; before it is full raise "
    "HELMSMAN_WAL_BYTES and restart Helmsman.",
    "flow.node_silent": "The media node does not answer its agent: look at `frameworks logs mist` and start it again.",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing wrong with the flow of events: where, what, and what to do."""

    place: str
    code: str
    message: str
    broken: bool = True

    @property
    def remedy(self) -> str:
        """What an operator can do about it; empty when there is nothing to say."""
        return remedy(self.code)


def remedy(code: str) -> str:
    """What to do about a code: the advice for it, else that for its family."""
    family = f"{code.partition('.')[0]}."
    return _REMEDIES.get(code) or _REMEDIES.get(family, "")


def away(engine: str, reason: str) -> str:
    """That an engine does not answer, in a sentence."""
    return f"{ENGINES.get(engine, engine)} does not answer: {reason}"
