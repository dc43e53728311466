"""How the audit trail leaves an outbox: one entry at a time to Decklog, until it is durable there."""

from typing import TYPE_CHECKING

import msgspec

from frameworks.contracts.audit import Entry
from frameworks.contracts.metrics import delivery as metrics
from frameworks.contracts.pb import decklog_v1_pb2 as pb
from frameworks.contracts.pb.events_v1_pb2 import Event, ServiceEvent
from frameworks.contracts.topics import SCHEMA_VERSION, SERVICE_EVENT
from frameworks.kit import log as logs
from frameworks.kit.errors import Unavailable
from frameworks.kit.outbox import Letter
from frameworks.kit.rpc import reading

if TYPE_CHECKING:
    from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceAsyncStub

DURABLE_SECONDS = 10.0


class Unacknowledged(Unavailable):
    """Decklog ended the call without a word on the entry."""

    code = "audit.unacknowledged"


class AuditDelivery:
    """Sends entries as `service` events."""

    def __init__(self, service: str, decklog: "DecklogServiceAsyncStub") -> None:
        self._service = service
        self._decklog = decklog
        self._log = logs.get(service)

    async def deliver(self, letter: Letter) -> None:
        """Return when the entry is durable or never will be; raises Unavailable to be tried again."""
        event = event_of(msgspec.json.decode(letter.payload, type=Entry), self._service)
        request = pb.PublishRequest(sequence=1, events=[pb.Envelope(event=event.SerializeToString())])
        with reading(self._decklog.Publish(iter([request]), timeout=DURABLE_SECONDS)) as acks:
            async for ack in acks:
                for refused in ack.refused:
                    metrics.REFUSED.labels(self._service).inc()
                    self._log.error("audit.refused", code=refused.code, reason=refused.message)
                return
        raise Unacknowledged("Decklog did not say what became of the entry.")


def event_of(entry: Entry, service: str) -> Event:
    """The entry as an event."""
    return Event(
        event_id=entry.event_id.bytes,
        type=SERVICE_EVENT.name,
        occurred_at=entry.at,
        schema_version=SCHEMA_VERSION,
        tenant_id=entry.tenant.bytes,
        stream_id=entry.stream.bytes if entry.stream else b"",
        source=service,
        trace_id=entry.trace,
        service_event=ServiceEvent(
            action=entry.action,
            actor_kind=entry.actor_kind,
            actor=entry.actor,
            resource_kind=entry.resource_kind,
            resource=entry.resource,
            attributes=entry.attributes,
        ),
    )
