"""Facts become events in the node's write-ahead log; Decklog gets them from there, once."""

from uuid import UUID

import msgspec
from google.protobuf.message_factory import GetMessageClass

from frameworks.contracts import topics
from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.kit import trace
from frameworks.media.helmsman.domain import Fact

_BODIES = {
    field.name: GetMessageClass(field.message_type)
    for field in events.Event.DESCRIPTOR.oneofs[0].fields
    if field.message_type is not None
}


class EventRecorder:
    """A `Recorder` over `EventDelivery`."""

    def __init__(self, delivery: EventDelivery, *, node: str, cluster: str) -> None:
        self._delivery = delivery
        self._node = node
        self._cluster = cluster
        self._encode = msgspec.msgpack.Encoder().encode

    async def record(self, *facts: Fact, noted: msgspec.Struct | None = None) -> None:
        """Make facts of one subject durable as events, in one write. Raises Unavailable when the disk is full."""
        note = self._encode(noted) if noted is not None else b""
        attribution = facts[0].subject.attribution
        await self._delivery.record_all([self._event(fact) for fact in facts], attribution, note=note)

    def _event(self, fact: Fact) -> events.Event:
        kind = topics.EVENT_TYPES[fact.kind]
        subject = fact.subject
        event = events.Event(
            event_id=fact.event_id,
            type=kind.name,
            occurred_at=fact.at,
            schema_version=topics.SCHEMA_VERSION,
            tenant_id=UUID(subject.tenant_id).bytes,
            stream_id=UUID(subject.stream_id).bytes if subject.stream_id else b"",
            node_id=self._node,
            cluster_id=self._cluster,
            source="helmsman",
            trace_id=trace.current.get() or "",
            claim_epoch=subject.epoch,
        )
        getattr(event, kind.field).CopyFrom(_BODIES[kind.field](**fact.body))
        return event
