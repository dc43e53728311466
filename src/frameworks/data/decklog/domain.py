"""What makes an event acceptable, and how accepted events become log records: pure rules."""

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from uuid import UUID

from frameworks.contracts.framing import FRAMING, join, stamp
from frameworks.contracts.topics import EVENT_TYPES, PARTITIONS, SCHEMA_VERSION, WRITERS, EventType, Role
from frameworks.kit.errors import Limited, Refusal

SECOND = 1_000_000
OLDEST = 7 * 86_400 * SECOND
SKEW = 120 * SECOND
"""How far an event's time may lie in the future, and outside the window of its attribution."""

MAX_EVENTS = 1000
"""Events of one request, and of one record."""
MAX_EVENT_BYTES = 256 * 1024
MAX_RECORD_BYTES = 1_000_000
MAX_NAME = 200
NOBODY = bytes(16)
"""The zero UUID stands for an absent id in history, so nobody may have it."""
MAX_LANES = 4096
"""Envelopes remembered of one sender."""
_TIME = Struct("<Q")
_ID_HEAD, _TYPE_AT, _IDS, _SHORTEST = b"\n\x10", 18, 38, 40
"""How an event starts, where its type lies, how long version, tenant and stream are, and less than any good event."""


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
    envelope: int = 0
    """Bytes up to and with the tag of the payload; 0 when the fields do not come in order."""


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


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """One log record to be: events of one topic, tenant, partition and cluster, framed as an EventBatch."""

    topic: str
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


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """Where events of one envelope go when they come in time, and what Decklog says behind them."""

    topic: str
    tenant: bytes
    partition: int
    cluster: str
    region: str
    type: str
    schema_version: int
    stamp: bytes
    word: Attribution | None
    record: bytes
    """Topic, tenant, partition and cluster: what events of one record have in common, as a key that is hashed once."""


def lane_of(event: Arrival, sender: Sender, region: str, word: Attribution | None = None) -> Lane:
    """The lane of an accepted event: its envelope, and what that leaves out and Decklog knows."""
    cluster = "" if event.cluster else sender.cluster or ""
    where = "" if event.region else sender.region or region
    source = "" if event.source or sender.kind is SenderKind.NODE else sender.name
    partition = partition_of(event.tenant, event.stream or event.node.encode())
    topic, of = EVENT_TYPES[event.type].topic, event.cluster or cluster
    return Lane(
        topic=topic,
        tenant=event.tenant,
        partition=partition,
        cluster=of,
        region=event.region or where,
        type=event.type,
        schema_version=event.schema_version,
        stamp=stamp(cluster=cluster, region=where, source=source),
        word=word,
        record=b"%b%d/%b/%b" % (event.tenant, partition, topic.encode(), of.encode()),
    )


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word that a batch may point at, and when the events that do must lie (microseconds)."""

    word: Attribution | None
    earliest: int
    latest: int


def spoken(word: Attribution | None, now: int) -> Spoken:
    """When events under this word, or under none, may lie."""
    earliest, latest = now - OLDEST, now + SKEW
    if word is None:
        return Spoken(None, earliest, latest)
    return Spoken(word, max(earliest, word.not_before - SKEW), min(latest, word.not_after + SKEW))


class Lanes:
    """The lanes that events of one sender took before: the next event of the same envelope takes the same.

    An event whose fields come in order starts with its id (16 bytes), its type and its time; what follows, up to the
    tag of the payload, is alike in all events of a type and a stream. So is every judgement but those of id and time.
    Only events that say every field once and in order may be looked up.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes, bytes], tuple[bytes, Lane]] = {}

    def sort(
        self,
        events: Sequence[tuple[bytes, int]],
        words: Sequence[Spoken | None],
        kept: dict[bytes, tuple[Lane, bytes]],
        judge: Callable[[int, bytes, int], None],
    ) -> int:
        """Keep every event, under its id, whose envelope was accepted under its word and whose time is in order.

        The others go to `judge`, in their turn: index, bytes, number of the word. Returns how many did not. This is the
        one loop over single events in Decklog: a dozen steps each, written out.
        """
        known, time_at, count, sorted_out = self._known, _TIME.unpack_from, len(words), 0
        for index, event in enumerate(events):
            raw, number = event
            word = words[number] if number < count else None
            if word is not None and _SHORTEST <= len(raw) <= MAX_EVENT_BYTES and raw.startswith(_ID_HEAD):
                at = _TYPE_AT + 11 + raw[_TYPE_AT + 1]
                found = known.get((id(word.word), raw[_TYPE_AT : at - 8], raw[at : at + _IDS]))
                if (
                    found is not None
                    and raw.startswith(found[0], at)
                    and word.earliest <= time_at(raw, at - 8)[0] <= word.latest
                    and (event_id := raw[2:18]) != NOBODY
                ):
                    keep = found[1], raw
                    if kept.setdefault(event_id, keep) is keep:
                        sorted_out += 1
                        continue
            judge(index, raw, number)
        return sorted_out

    def remember(self, event: Arrival, lane: Lane) -> None:
        """Later events of this envelope, under the same word, take this lane."""
        if event.envelope:
            if len(self._known) >= MAX_LANES:
                self._known.clear()
            raw, at = event.raw, _TYPE_AT + 11 + len(event.type)
            key = id(lane.word), raw[_TYPE_AT : at - 8], raw[at : at + _IDS]
            self._known[key] = raw[at : event.envelope], lane


def regroup(events: Iterable[tuple[Lane, bytes]]) -> Sequence[RecordBatch]:
    """Records of one topic, tenant, partition and cluster each: the events' own bytes in the order they came in."""
    alike: defaultdict[bytes, list[tuple[Lane, bytes]]] = defaultdict(list)
    for event in events:
        alike[event[0].record].append(event)
    return [record for same in alike.values() for record in _records(same)]


def _records(events: Sequence[tuple[Lane, bytes]]) -> Iterator[RecordBatch]:
    """The events in pieces that fit into a record."""
    stamped = [raw + lane.stamp if lane.stamp else raw for lane, raw in events]
    if len(stamped) <= MAX_EVENTS and sum(map(len, stamped)) + FRAMING * len(stamped) <= MAX_RECORD_BYTES:
        yield _record(events, stamped)
        return
    start = size = 0
    for at, raw in enumerate(stamped):
        more = len(raw) + FRAMING
        if at > start and (at - start == MAX_EVENTS or size + more > MAX_RECORD_BYTES):
            yield _record(events[start:at], stamped[start:at])
            start, size = at, 0
        size += more
    yield _record(events[start:], stamped[start:])


def _record(events: Sequence[tuple[Lane, bytes]], stamped: Sequence[bytes]) -> RecordBatch:
    lanes = {lane for lane, _ in events}
    first = events[0][0]
    return RecordBatch(
        topic=first.topic,
        tenant=first.tenant,
        partition=first.partition,
        value=join(stamped),
        types=tuple(sorted({lane.type for lane in lanes})),
        schema_version=max(lane.schema_version for lane in lanes),
        events=len(events),
        region=first.region,
        cluster=first.cluster,
    )
