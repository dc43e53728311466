"""What may no longer run: streams whose publishers and viewers Foghorn is told to end."""

from dataclasses import dataclass

TOPIC = "streams.stopped"
MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One stream: publishers admitted up to `epoch`, those with `key_id` only when it is named."""

    internal_name: str
    epoch: int
    key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOrder:
    """The streams of one tenant to stop, and why; with none, Foghorn only asks about the tenant again."""

    order_id: str
    tenant_id: str
    reason: str
    streams: tuple[Stop, ...] = ()
