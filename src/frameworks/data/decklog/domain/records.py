"""Accepted events become log records: of one topic, tenant, partition and cluster each, never too large."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from frameworks.contracts.framing import FRAMING, join, stamp
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.decklog.domain import (
    MAX_EVENTS,
    Arrival,
    Attribution,
    Sender,
    SenderKind,
    partition_of,
)

MAX_RECORD_BYTES = 1_000_000
DEDUPE = 40
"""Digits of a record's dedupe id."""


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
    """Topic, tenant, partition, cluster and stamp: what events of one record have in common, as one key."""


def lane_of(event: Arrival, sender: Sender, region: str, word: Attribution | None = None) -> Lane:
    """The lane of an accepted event: its envelope, and what that leaves out and Decklog knows."""
    cluster = "" if event.cluster else sender.cluster or ""
    where = "" if event.region else sender.region or region
    source = "" if event.source or sender.kind is SenderKind.NODE else sender.name
    partition = partition_of(event.tenant, event.stream or event.node.encode())
    topic, of = EVENT_TYPES[event.type].topic, event.cluster or cluster
    said = stamp(cluster=cluster, region=where, source=source)
    return Lane(
        topic=topic,
        tenant=event.tenant,
        partition=partition,
        cluster=of,
        region=event.region or where,
        type=event.type,
        schema_version=event.schema_version,
        stamp=said,
        word=word,
        record=b"%b%d/%b/%b/%b" % (event.tenant, partition, topic.encode(), of.encode(), said),
    )


@dataclass(frozen=True, slots=True)
class Part:
    """Events of one request for one record, serialised, in the order they came in; and their lanes."""

    lanes: set[Lane]
    events: list[bytes]


class Places:
    """Where the accepted events of a request lie: by record, in the order they came in, each once."""

    def __init__(self) -> None:
        self.ids: dict[bytes, bytes] = {}
        """Event id → event."""
        self.parts: dict[bytes, Part] = {}
        self._of: dict[Lane, list[bytes]] = {}

    def of(self, lane: Lane) -> list[bytes]:
        """The events that take a lane and others of its record."""
        found = self._of.get(lane)
        if found is None:
            part = self.parts.setdefault(lane.record, Part(set(), []))
            part.lanes.add(lane)
            found = self._of[lane] = part.events
        return found


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
        return hashlib.sha256(self.value).hexdigest()[:DEDUPE]


def regroup(parts: Iterable[Part]) -> Sequence[RecordBatch]:
    """Records of one topic, tenant, partition and cluster each: the events' own bytes in the order they came in."""
    alike: dict[bytes, Part] = {}
    for part in parts:
        record = next(iter(part.lanes)).record
        if record in alike:
            alike[record].events.extend(part.events)
            alike[record].lanes.update(part.lanes)
        else:
            alike[record] = Part({*part.lanes}, [*part.events])
    return [record for same in alike.values() for record in _records(same)]


def _records(part: Part) -> Iterator[RecordBatch]:
    """The events in pieces that fit into a record."""
    events = part.events
    if said := next(iter(part.lanes)).stamp:
        events = [event + said for event in events]
    if len(events) <= MAX_EVENTS and sum(map(len, events)) + FRAMING * len(events) <= MAX_RECORD_BYTES:
        yield _record(part.lanes, events)
        return
    start = size = 0
    for at, event in enumerate(events):
        more = len(event) + FRAMING
        if at > start and (at - start == MAX_EVENTS or size + more > MAX_RECORD_BYTES):
            yield _record(part.lanes, events[start:at])
            start, size = at, 0
        size += more
    yield _record(part.lanes, events[start:])


def _record(lanes: Collection[Lane], events: Sequence[bytes]) -> RecordBatch:
    first = next(iter(lanes))
    return RecordBatch(
        topic=first.topic,
        tenant=first.tenant,
        partition=first.partition,
        value=join(events),
        types=tuple(sorted({lane.type for lane in lanes})),
        schema_version=max(lane.schema_version for lane in lanes),
        events=len(events),
        region=first.region,
        cluster=first.cluster,
    )
