"""Inbound calls of Decklog: one bidirectional stream of batches and their acknowledgements."""

from collections.abc import AsyncIterator

from google.protobuf.message import DecodeError

from frameworks.contracts.metrics import decklog as metrics
from frameworks.contracts.pb import decklog_v1_pb2 as pb
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.data.decklog.domain import MAX_EVENTS, Arrival, BatchTooLarge, Problem, Sender, SenderKind
from frameworks.data.decklog.service import Intake
from frameworks.kit.errors import Forbidden
from frameworks.kit.identity import Principal, PrincipalKind
from frameworks.kit.rpc import Call

SERVICE = pb.DESCRIPTOR.services_by_name["DecklogService"]

_KINDS = {PrincipalKind.NODE: SenderKind.NODE, PrincipalKind.SERVICE: SenderKind.SERVICE}
_UNREADABLE = Problem("event.unreadable", "These bytes are no event.")
_AMBIGUOUS = Problem("event.ambiguous", "The event says a field twice, or says nothing at length.")


class Api:
    """DecklogService."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def Publish(
        self, requests: AsyncIterator[pb.PublishRequest], call: Call
    ) -> AsyncIterator[pb.PublishAck]:
        """One acknowledgement a batch, in order, each after its events are durable; one batch at a time."""
        sender = _sender(call.principal)
        async for request in requests:
            yield await self._take(request, sender, call.trace)

    async def _take(self, request: pb.PublishRequest, sender: Sender, trace: str) -> pb.PublishAck:
        if max(len(request.events), len(request.attributions)) > MAX_EVENTS:
            raise BatchTooLarge(f"A batch has at most {MAX_EVENTS} events.")
        events, unreadable = _decode(request)
        outcome = await self._intake.take(events, request.attributions, sender=sender, trace=trace)
        refused = sorted((*unreadable, *outcome.refused), key=lambda entry: entry[0])
        metrics.ACCEPTED.labels(sender.kind.value).inc(outcome.accepted)
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
    return Sender(kind, principal.subject, principal.cluster, principal.tenant)


def _decode(request: pb.PublishRequest) -> tuple[list[Arrival], list[tuple[int, Problem]]]:
    """Every event fully parsed; what does not parse is refused, never forwarded."""
    events: list[Arrival] = []
    unreadable: list[tuple[int, Problem]] = []
    parse = Event.FromString
    for index, envelope in enumerate(request.events):
        try:
            event = parse(envelope.event)
        except DecodeError:
            unreadable.append((index, _UNREADABLE))
            continue
        # Readers differ on which of two values wins, so what was checked must be all there is.
        if event.ByteSize() != len(envelope.event):
            unreadable.append((index, _AMBIGUOUS))
            continue
        events.append(_arrival(index, envelope.event, envelope.attribution, event))
    return events, unreadable


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
        event.claim_epoch,
        attribution,
    )
