"""What makes an event acceptable, and how accepted events become log records: pure rules."""

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from frameworks.contracts.framing import frame
from frameworks.contracts.topics import EVENT_TYPES, PARTITIONS, SCHEMA_VERSION, EventType, Role
from frameworks.kit.errors import Refusal

SECOND = 1_000_000
OLDEST = 7 * 86_400 * SECOND
SKEW = 120 * SECOND
"""How far an event's time may lie in the future, and outside the window of its attribution."""

MAX_EVENTS = 1000
"""Events of one request, and of one record."""
MAX_EVENT_BYTES = 256 * 1024
MAX_RECORD_BYTES = 1_000_000
MAX_NAME = 200

SERVICE_EVENTS: dict[str, frozenset[str]] = {"foghorn": frozenset({"load-balancing"})}
"""Which services may write which events; every other service may write none."""


class BatchTooLarge(Refusal):
    """More events in one request than Decklog takes at once."""

    code = "decklog.batch_too_large"


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
    epoch: int
    attribution: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one event is refused: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """One log record to be: events of one tenant and one partition, framed as an EventBatch."""

    tenant: bytes
    partition: int
    value: bytes
    types: tuple[str, ...]
    schema_version: int
    events: int
    region: str
    cluster: str

    @property
    def dedupe_id(self) -> str:
        """The same events in the same order give the same id, so that a client's retry is stored once."""
        return hashlib.blake2b(self.value, digest_size=20, person=b"decklog").hexdigest()


def shape_problem(event: Arrival, now: int) -> Problem | None:
    """What is wrong with the event itself, whoever sent it."""
    kind = EVENT_TYPES.get(event.type)
    if kind is None:
        return Problem("event.unknown_type", f"There is no event type {event.type[:MAX_NAME]!r}.")
    if event.field != kind.field:
        return Problem("event.wrong_payload", f"A {kind.name} event carries {kind.field}, not {event.field}.")
    if len(event.raw) > MAX_EVENT_BYTES:
        return Problem("event.too_large", f"An event holds at most {MAX_EVENT_BYTES} bytes.")
    return (
        _id_problem(event) or _time_problem(event.occurred_at, now) or _version_problem(event.schema_version)
    )


def _id_problem(event: Arrival) -> Problem | None:
    if len(event.event_id) != 16:
        return Problem("event.bad_id", "event_id is a UUID of 16 bytes.")
    if len(event.tenant) != 16:
        return Problem("event.no_tenant", "tenant_id is a UUID of 16 bytes, and never absent.")
    if len(event.stream) not in (0, 16):
        return Problem("event.bad_stream", "stream_id is a UUID of 16 bytes, or empty.")
    if not event.stream and not event.node:
        return Problem("event.no_subject", "An event names its stream or its node.")
    if max(len(event.node), len(event.cluster), len(event.region)) > MAX_NAME:
        return Problem(
            "event.long_name", f"Names of nodes, clusters and regions have at most {MAX_NAME} characters."
        )
    if not (event.node + event.cluster + event.region).isprintable():
        return Problem("event.bad_name", "Names of nodes, clusters and regions are printable text.")
    return None


def _time_problem(occurred_at: int, now: int) -> Problem | None:
    if occurred_at < now - OLDEST:
        return Problem("event.too_old", "The event is older than seven days.")
    if occurred_at > now + SKEW:
        return Problem("event.in_the_future", "The event lies more than two minutes in the future.")
    return None


def _version_problem(version: int) -> Problem | None:
    if not 1 <= version <= SCHEMA_VERSION:
        return Problem("event.unknown_version", f"schema_version is 1 to {SCHEMA_VERSION}.")
    return None


def sender_problem(event: Arrival, sender: Sender, attribution: Attribution | None) -> Problem | None:
    """Why this sender may not write this event; `attribution` is the verified one the event points at."""
    kind = EVENT_TYPES[event.type]
    if sender.kind is SenderKind.SERVICE:
        return _service_problem(event, kind, sender)
    if event.node != sender.name or event.cluster != sender.cluster:
        return Problem("sender.wrong_node", "The event names another node or cluster than its sender's.")
    if Role.NODE in kind.roles:
        return _owner_problem(event, sender)
    if attribution is None:
        return Problem("attribution.missing", "The event needs a valid attribution of its stream.")
    return attribution_problem(event, kind, sender, attribution)


def _service_problem(event: Arrival, kind: EventType, sender: Sender) -> Problem | None:
    if Role.SERVICE not in kind.roles or kind.name not in SERVICE_EVENTS.get(sender.name, frozenset()):
        return Problem("sender.wrong_role", f"{sender.name} may not write {kind.name} events.")
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


def partition_of(tenant: bytes, subject: bytes) -> int:
    """The partition of a stream's (or node's) events: the same for ever."""
    return zlib.crc32(tenant + subject) % PARTITIONS


@dataclass(slots=True)
class _Group:
    events: list[Arrival] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    size: int = 0

    def has_room(self, extra: int) -> bool:
        return self.size + extra <= MAX_RECORD_BYTES and len(self.frames) < MAX_EVENTS

    def add(self, event: Arrival, framed: bytes) -> None:
        self.events.append(event)
        self.frames.append(framed)
        self.size += len(framed)

    def record(self, tenant: bytes, partition: int) -> RecordBatch:
        return RecordBatch(
            tenant=tenant,
            partition=partition,
            value=b"".join(self.frames),
            types=tuple(sorted({event.type for event in self.events})),
            schema_version=max(event.schema_version for event in self.events),
            events=len(self.events),
            region=self.events[0].region,
            cluster=self.events[0].cluster,
        )


def regroup(events: Iterable[Arrival]) -> Sequence[RecordBatch]:
    """Records of one tenant and partition each, holding the events' own bytes in the order they came in."""
    closed: list[RecordBatch] = []
    open_: dict[tuple[bytes, int], _Group] = {}
    for event in events:
        key = event.tenant, partition_of(event.tenant, event.stream or event.node.encode())
        framed = frame(event.raw)
        group = open_.get(key)
        if group is None or not group.has_room(len(framed)):
            if group is not None:
                closed.append(group.record(*key))
            group = open_[key] = _Group()
        group.add(event, framed)
    return closed + [group.record(*key) for key, group in open_.items()]
