"""Inbound calls of Decklog: one bidirectional stream of batches and their acknowledgements."""

from collections import Counter
from collections.abc import AsyncIterator

from google.protobuf.message import DecodeError

from frameworks.contracts.metrics import decklog as metrics
from frameworks.contracts.pb import decklog_v1_pb2 as pb
from frameworks.contracts.pb.events_v1_pb2 import Event
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
from frameworks.data.decklog.service import Intake
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


class Api:
    """DecklogService."""

    def __init__(self, intake: Intake, *, streams: int = STREAMS) -> None:
        self._intake = intake
        self._streams = streams
        self._open: Counter[Sender] = Counter()

    async def Publish(
        self, requests: AsyncIterator[pb.PublishRequest], call: Call
    ) -> AsyncIterator[pb.PublishAck]:
        """One acknowledgement a batch, in order, each after its events are durable; one batch at a time.

        The next batch is read when the last one is durable: a slow log slows its senders, it fills no memory.
        """
        sender = _sender(call.principal)
        if self._open[sender] >= self._streams:
            metrics.REFUSED.labels(TooManyStreams.code).inc()
            raise TooManyStreams(f"One sender has at most {self._streams} streams open.", retry_after=10)
        self._open[sender] += 1
        try:
            async for request in requests:
                yield await self._take(request, sender, call.trace)
        finally:
            self._open[sender] -= 1
            self._open += Counter()  # forgets who has none

    async def _take(self, request: pb.PublishRequest, sender: Sender, trace: str) -> pb.PublishAck:
        if max(len(request.events), len(request.attributions)) > MAX_EVENTS:
            metrics.REFUSED.labels(BatchTooLarge.code).inc()
            raise BatchTooLarge(f"A batch has at most {MAX_EVENTS} events.")
        events, unreadable, unfit = _decode(request)
        metrics.IN_FLIGHT.inc()
        try:
            outcome = await self._intake.take(
                events, request.attributions, sender=sender, trace=trace, unreadable=unreadable
            )
        finally:
            metrics.IN_FLIGHT.dec()
        refused = sorted((*unfit, *outcome.refused), key=lambda entry: entry[0])
        metrics.ACCEPTED.labels(sender.kind.value).inc(outcome.accepted)
        metrics.REPEATED.inc(outcome.repeated)
        metrics.UNREADABLE.labels("kept").inc(outcome.buried)
        metrics.UNREADABLE.labels("dropped").inc(len(unreadable) - outcome.buried)
        for _, problem in refused:
            metrics.REFUSED.labels(problem.code).inc()
        return pb.PublishAck(
            sequence=request.sequence,
            accepted=outcome.accepted,
            refused=[pb.Refused(index=i, code=p.code, message=p.message) for i, p in refused],
        )


def _sender(principal: Principal) -> Sender:
    kind = _KINDS.get(principal.kind)
    if kind is None:
        raise Forbidden("Only nodes and services publish events.")
    return Sender(kind, principal.subject, principal.cluster, principal.tenant, principal.region)


def _decode(
    request: pb.PublishRequest,
) -> tuple[list[Arrival], list[Unreadable], list[tuple[int, Problem]]]:
    """Every event fully parsed; what does not parse is refused, never forwarded."""
    events: list[Arrival] = []
    unreadable: list[Unreadable] = []
    unfit: list[tuple[int, Problem]] = []
    for index, envelope in enumerate(request.events):
        read = _read(envelope.event)
        if isinstance(read, Event):
            events.append(_arrival(index, envelope.event, envelope.attribution, read))
        elif read in _NO_EVENT:
            unreadable.append(Unreadable(index, envelope.event, read))
        else:
            unfit.append((index, read))
    return events, unreadable, unfit


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
    return Arrival(
        index,
        raw,
        event.type,
        event.WhichOneof("data"),
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
    )
