"""What makes an event acceptable: pure rules. Accepted events become log records in `records`, quickly by `lanes`."""

import zlib
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from frameworks.contracts.topics import EVENT_TYPES, PARTITIONS, SCHEMA_VERSION, WRITERS, EventType, Role
from frameworks.kit.errors import Limited, Refusal

SECOND = 1_000_000
OLDEST = 7 * 86_400 * SECOND
SKEW = 120 * SECOND
"""How far an event's time may lie in the future, and outside the window of its attribution."""

MAX_EVENTS = 1000
"""Events of one request, and of one record."""
MAX_EVENT_BYTES = 256 * 1024
MAX_NAME = 200
NOBODY = bytes(16)
"""The zero UUID stands for an absent id in history, so nobody may have it."""


class BatchTooLarge(Refusal):
    """More events in one request than Decklog takes at once."""

    code = "decklog.batch_too_large"


class TooManyStreams(Limited):
    """One sender has as many open streams as it may."""

    code = "decklog.too_many_streams"


class SenderKind(Enum):
    """Who may send events at all."""

    NODE = "node"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Sender:
    """The authenticated caller; `tenant` is the owner of a node's cluster, None for services."""

    kind: SenderKind
    name: str
    cluster: str | None
    tenant: UUID | None
    region: str | None = None
    """As its certificate says; None when that is older than regions in certificates."""

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"


@dataclass(frozen=True, slots=True)
class Attribution:
    """Commodore's word on whose stream a node carries, in which role and window (microseconds)."""

    tenant: bytes
    stream: bytes
    cluster: str
    node: str
    role: Role
    epoch: int
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as it arrived: the fields that rules look at, and the bytes that are forwarded."""

    index: int
    raw: bytes
    type: str
    field: str | None
    event_id: bytes
    occurred_at: int
    schema_version: int
    tenant: bytes
    stream: bytes
    node: str
    cluster: str
    region: str
    source: str
    trace: str
    epoch: int
    attribution: int
    envelope: tuple[bytes, bytes] | None = None
    """What follows the time: before the trace id or its place, and behind it up to and with the payload's tag. None
    when the fields do not come in order."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one event is refused: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes that came as the `index`-th event and are none."""

    index: int
    raw: bytes
    problem: Problem


def shape_problem(event: Arrival, now: int) -> Problem | None:
    """What is wrong with the event itself, whoever sent it."""
    if not 1 <= event.schema_version <= SCHEMA_VERSION:
        return Problem("event.unknown_version", f"schema_version is 1 to {SCHEMA_VERSION}.")
    kind = EVENT_TYPES.get(event.type)
    if kind is None:
        return Problem("event.unknown_type", f"There is no event type {event.type[:MAX_NAME]!r}.")
    if event.field != kind.field:
        return Problem("event.wrong_payload", f"A {kind.name} event carries {kind.field}, not {event.field}.")
    return _id_problem(event, kind) or _time_problem(event.occurred_at, now)


def _id_problem(event: Arrival, kind: EventType) -> Problem | None:
    if len(event.event_id) != 16 or event.event_id == NOBODY:
        return Problem("event.bad_id", "event_id is a UUID of 16 bytes.")
    if len(event.tenant) != 16 or event.tenant == NOBODY:
        return Problem("event.no_tenant", "tenant_id is a UUID of 16 bytes, and never absent.")
    if len(event.stream) not in (0, 16):
        return Problem("event.bad_stream", "stream_id is a UUID of 16 bytes, or empty.")
    if not event.stream and not event.node and Role.SERVICE not in kind.roles:
        return Problem("event.no_subject", "An event names its stream or its node.")
    return _name_problem(event.node, event.cluster, event.region, event.source, event.trace)


def _name_problem(*names: str) -> Problem | None:
    if max(map(len, names)) > MAX_NAME:
        return Problem("event.long_name", f"Names in an envelope have at most {MAX_NAME} characters.")
    if not "".join(names).isprintable():
        return Problem("event.bad_name", "Names in an envelope are printable text.")
    return None


def _time_problem(occurred_at: int, now: int) -> Problem | None:
    if occurred_at < now - OLDEST:
        return Problem("event.too_old", "The event is older than seven days.")
    if occurred_at > now + SKEW:
        return Problem("event.in_the_future", "The event lies more than two minutes in the future.")
    return None


def sender_problem(event: Arrival, sender: Sender, attribution: Attribution | None) -> Problem | None:
    """Why this sender may not write this event; `attribution` is the verified one the event points at."""
    kind = EVENT_TYPES[event.type]
    if sender.kind is SenderKind.SERVICE:
        return _service_problem(event, kind, sender)
    if event.node != sender.name or event.cluster != sender.cluster:
        return Problem("sender.wrong_node", "The event names another node or cluster than its sender's.")
    if event.region and sender.region is not None and event.region != sender.region:
        return Problem("sender.wrong_region", "The event names another region than its sender's certificate.")
    if Role.NODE in kind.roles:
        return _owner_problem(event, sender)
    if attribution is None:
        return Problem("attribution.missing", "The event needs a valid attribution of its stream.")
    return attribution_problem(event, kind, sender, attribution)


def _service_problem(event: Arrival, kind: EventType, sender: Sender) -> Problem | None:
    if Role.SERVICE not in kind.roles or kind.name not in WRITERS.get(sender.name, frozenset()):
        return Problem("sender.wrong_role", f"{sender.name} may not write {kind.name} events.")
    if event.source not in ("", sender.name):
        return Problem("sender.wrong_source", "The event names another service than its sender.")
    return None


def _owner_problem(event: Arrival, sender: Sender) -> Problem | None:
    if sender.tenant is None or event.tenant != sender.tenant.bytes:
        return Problem("sender.wrong_tenant", "A node's events belong to the tenant that owns its cluster.")
    return None


def attribution_problem(
    event: Arrival, kind: EventType, sender: Sender, attribution: Attribution
) -> Problem | None:
    """Where the event, its sender and Commodore's word disagree."""
    if attribution.node != sender.name or attribution.cluster != sender.cluster:
        return Problem("attribution.wrong_node", "The attribution was given to another node.")
    if (event.tenant, event.stream) != (attribution.tenant, attribution.stream):
        return Problem("attribution.wrong_stream", "The attribution is for another stream.")
    if attribution.role not in kind.roles:
        return Problem(
            "attribution.wrong_role", f"The role {attribution.role.value} may not write {kind.name}."
        )
    if attribution.role is Role.INGEST and event.epoch != attribution.epoch:
        return Problem("attribution.wrong_epoch", "The event belongs to another claim than the attribution.")
    if not attribution.not_before - SKEW <= event.occurred_at <= attribution.not_after + SKEW:
        return Problem(
            "attribution.outside_window", "The event's time lies outside the attribution's window."
        )
    return None


def repeat_problem(event: Arrival, before: bytes | None) -> Problem | None:
    """An id that this request gave to another event; the same event twice is no problem, it is kept once."""
    if before is not None and before != event.raw:
        return Problem("event.duplicate_id", "Two different events of one request have this event_id.")
    return None


def partition_of(tenant: bytes, subject: bytes) -> int:
    """The partition of a stream's (or node's) events: the same for ever."""
    return zlib.crc32(tenant + subject) % PARTITIONS
