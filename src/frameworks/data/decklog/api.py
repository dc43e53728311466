"""Inbound calls of Decklog: one bidirectional stream of batches and their acknowledgements."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from frameworks.contracts.framing import join, parts
from frameworks.contracts.metrics import decklog as metrics
from frameworks.contracts.pb import decklog_v1_pb2 as pb
from frameworks.contracts.pb.events_v1_pb2 import Event, EventBatch
from frameworks.contracts.topics import SCHEMA_VERSION
from frameworks.data.decklog.domain import (
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    Arrival,
    BatchTooLarge,
    Problem,
    Sender,
    SenderKind,
    TooManyStreams,
    Unreadable,
)
from frameworks.data.decklog.domain.lanes import Lanes
from frameworks.data.decklog.service import Intake, Judged, Offered, Outcome
from frameworks.kit.errors import Forbidden
from frameworks.kit.identity import Principal, PrincipalKind
from frameworks.kit.rpc import Call

SERVICE = pb.DESCRIPTOR.services_by_name["DecklogService"]

_KINDS = {PrincipalKind.NODE: SenderKind.NODE, PrincipalKind.SERVICE: SenderKind.SERVICE}
_UNREADABLE = Problem("event.unreadable", "These bytes are no event.")
_AMBIGUOUS = Problem("event.ambiguous", "The event says a field twice, or says nothing at length.")
_UNKNOWN_FIELD = Problem("event.unknown_field", "The event has fields that its schema version does not.")
_TOO_LARGE = Problem("event.too_large", f"An event holds at most {MAX_EVENT_BYTES} bytes.")
STREAMS = 32
READ_AHEAD, READ_AHEAD_BYTES = 8, 1024**2
"""Batches of one stream, and bytes of them, that are judged and wait for those before them."""


class Api:
    """DecklogService."""

    def __init__(self, intake: Intake, *, streams: int = STREAMS) -> None:
        self._intake = intake
        self._streams = streams
        self._open: Counter[Sender] = Counter()

    async def Publish(
        self, requests: AsyncIterator[pb.PublishRequest], call: Call
    ) -> AsyncIterator[pb.PublishAck]:
        """One acknowledgement a batch, in order, each after its events are durable.

        Batches that came while others were made durable are judged meanwhile and stored together, in their order.
        Few are read ahead: a slow log slows its senders, it fills no memory.
        """
        sender = _sender(call.principal)
        if self._open[sender] >= self._streams:
            metrics.REFUSED.labels(TooManyStreams.code).inc()
            raise TooManyStreams(f"One sender has at most {self._streams} streams open.", retry_after=10)
        self._open[sender] += 1
        ahead = Ahead[tuple[int, Judged]](READ_AHEAD, READ_AHEAD_BYTES)
        reading = asyncio.create_task(self._read(requests, sender, ahead))
        reading.add_done_callback(_looked_at)
        try:
            while batches := await ahead.take():
                for ack in await self._store(batches, sender, call.trace):
                    yield ack
            await reading
        finally:
            reading.cancel()
            self._open[sender] -= 1
            self._open += Counter()  # forgets who has none

    async def _read(
        self,
        requests: AsyncIterator[pb.PublishRequest],
        sender: Sender,
        ahead: "Ahead[tuple[int, Judged]]",
    ) -> None:
        lanes = Lanes()
        try:
            async for request in requests:
                judged = self._intake.judge(_offered(request), sender, lanes)
                await ahead.put((request.sequence, judged), judged.size)
        finally:
            ahead.end()

    async def _store(
        self, batches: Sequence[tuple[int, Judged]], sender: Sender, trace: str
    ) -> list[pb.PublishAck]:
        metrics.IN_FLIGHT.inc()
        try:
            outcomes = await self._intake.store([judged for _, judged in batches], sender=sender, trace=trace)
        finally:
            metrics.IN_FLIGHT.dec()
        return [_ack(number, outcome, sender) for (number, _), outcome in zip(batches, outcomes, strict=True)]


def _looked_at(task: "asyncio.Task[None]") -> None:
    """A reader that failed while the writer did has nobody else to tell."""
    if not task.cancelled():
        task.exception()


T = TypeVar("T")


class Ahead(Generic[T]):
    """Handed from a reader to a writer in order, several at once, and never many."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._items: list[T] = []
        self._bytes = 0
        self._ended = False
        self._changed = asyncio.Event()

    async def put(self, item: T, size: int) -> None:
        """Hand over; waits while there are many."""
        while self._items and (len(self._items) >= self._most or self._bytes + size > self._most_bytes):
            await self._change()
        self._items.append(item)
        self._bytes += size
        self._changed.set()

    async def take(self) -> list[T]:
        """All there are, at least one; none when the reader ended."""
        while not self._items and not self._ended:
            await self._change()
        items, self._items, self._bytes = self._items, [], 0
        self._changed.set()
        return items

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _ack(sequence: int, outcome: Outcome, sender: Sender) -> pb.PublishAck:
    metrics.ACCEPTED.labels(sender.kind.value).inc(outcome.accepted)
    metrics.REPEATED.inc(outcome.repeated)
    metrics.UNREADABLE.labels("kept").inc(outcome.buried)
    metrics.UNREADABLE.labels("dropped").inc(outcome.dropped)
    for _, problem in outcome.refused:
        metrics.REFUSED.labels(problem.code).inc()
    return pb.PublishAck(
        sequence=sequence,
        accepted=outcome.accepted,
        refused=[pb.Refused(index=i, code=p.code, message=p.message) for i, p in outcome.refused],
    )


def _sender(principal: Principal) -> Sender:
    kind = _KINDS.get(principal.kind)
    if kind is None:
        raise Forbidden("Only nodes and services publish events.")
    return Sender(kind, principal.subject, principal.cluster, principal.tenant, principal.region)


def _offered(request: pb.PublishRequest) -> Offered:
    """The batch in a request; raises BatchTooLarge."""
    if max(len(request.events), len(request.groups), len(request.attributions)) > MAX_EVENTS:
        raise _too_large()
    groups: list[tuple[int, Sequence[bytes]]] = [(one.attribution, (one.event,)) for one in request.events]
    framed = join([event for _, (event,) in groups]) + b"".join([group.events for group in request.groups])
    groups += [(group.attribution, _parted(group.events)) for group in request.groups]
    if sum(len(events) for _, events in groups) > MAX_EVENTS:
        raise _too_large()
    return Offered(request.attributions, groups, _is_plain(framed), len(framed), _arrived)


def _too_large() -> BatchTooLarge:
    metrics.REFUSED.labels(BatchTooLarge.code).inc()
    return BatchTooLarge(f"A batch has at most {MAX_EVENTS} events.")


def _parted(batch: bytes) -> Sequence[bytes]:
    """The events of a group; all of it as one, which is refused, when it can not be taken apart."""
    try:
        return parts(batch)
    except DecodeError:
        return (batch,)


def _is_plain(framed: bytes) -> bool:
    """Whether every event parses and says each field that is known once, in order, and nothing else.

    All in one: a batch that comes out as it went in has nothing left over. Others are looked at one by one.
    """
    try:
        batch = EventBatch.FromString(framed)
    except DecodeError:
        return False
    batch.DiscardUnknownFields()
    return batch.SerializeToString() == framed


def _arrived(index: int, raw: bytes, attribution: int) -> Arrival | Unreadable | Problem:
    """The event, fully parsed; what does not parse is refused, never forwarded."""
    read = _read(raw)
    if isinstance(read, Event):
        return _arrival(index, raw, attribution, read)
    return Unreadable(index, raw, read) if read in _NO_EVENT else read


def _read(raw: bytes) -> Event | Problem:
    """The event; what is forwarded is what was checked, so that nothing in it may be left over."""
    if len(raw) > MAX_EVENT_BYTES:
        return _TOO_LARGE
    try:
        event = Event.FromString(raw)
    except DecodeError:
        return _UNREADABLE
    # Readers differ on which of two values wins, so what was checked must be all there is.
    if event.ByteSize() != len(raw):
        return _AMBIGUOUS
    event.DiscardUnknownFields()
    # A later version is refused by its number, with a sentence that says so.
    if event.ByteSize() != len(raw) and event.schema_version <= SCHEMA_VERSION:
        return _UNKNOWN_FIELD
    return event


_NO_EVENT = (_UNREADABLE, _AMBIGUOUS)


def _arrival(index: int, raw: bytes, attribution: int, event: Event) -> Arrival:
    field = event.WhichOneof("data")
    return Arrival(
        index,
        raw,
        event.type,
        field,
        event.event_id,
        event.occurred_at,
        event.schema_version,
        event.tenant_id,
        event.stream_id,
        event.node_id,
        event.cluster_id,
        event.region,
        event.source,
        event.trace_id,
        event.claim_epoch,
        attribution,
        _envelope(event, field, raw),
    )


def _envelope(event: Event, field: str | None, raw: bytes) -> tuple[bytes, bytes] | None:
    """What follows the time, around the trace id; None when fields of the envelope do not come first, in order."""
    if field is None or not _TRACE.fullmatch(event.trace_id):
        return None
    head = Event()
    head.CopyFrom(event)
    head.ClearField(field)  # type: ignore[arg-type]
    whole = head.SerializeToString()
    head.ClearField("claim_epoch")
    traced = head.ByteSize()
    head.ClearField("trace_id")
    if not raw.startswith(whole):
        return None
    return raw[_TIME_END + len(event.type) : head.ByteSize()], raw[traced : len(whole) + _PAYLOAD_TAG]


_TRACE = re.compile("([0-9a-f]{32})?")
_TIME_END = 29
"""Where an envelope goes on behind id, type and time, when its type has no characters."""
_PAYLOAD_TAG = 2
"""Bytes of the tag of a payload: those of fields 16 to 2047 have two."""
