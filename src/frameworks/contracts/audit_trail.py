"""How services write the audit trail: an outbox row in the transaction of what it tells of, never without it."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from frameworks.contracts.audit import ACTIONS, Actor, Entry
from frameworks.kit import outbox
from frameworks.kit.clock import micros, uuid7
from frameworks.kit.rpc import Call
from frameworks.kit.sql import Connection

TOPIC = "audit"


def caller(call: Call) -> Actor:
    """Whoever makes the call."""
    return Actor(call.principal.kind.value, call.principal.subject, call.trace)


async def note(
    c: Connection,
    service: str,
    tenant: UUID,
    action: str,
    resource: object,
    *,
    at: datetime,
    by: Actor | None,
    stream: UUID | None = None,
    attributes: Mapping[str, object] | None = None,
) -> None:
    """Add a line to the caller's transaction; without `by` the service did it itself."""
    if action not in ACTIONS:
        raise ValueError(f"nobody knows what {action} means")
    actor = by or Actor("service", service)
    entry = Entry(
        event_id=uuid7(at),
        at=micros(at),
        tenant=tenant,
        action=action,
        actor_kind=actor.kind,
        actor=actor.id,
        resource_kind=action.partition(".")[0],
        resource=str(resource),
        stream=stream,
        trace=actor.trace,
        attributes={name: str(value) for name, value in (attributes or {}).items()},
    )
    await outbox.add(c, service, TOPIC, str(tenant), msgspec.json.encode(entry))
