"""The audit trail: who did what to which thing. Ids, codes and field names; no names, no addresses, no secrets."""

from dataclasses import dataclass
from uuid import UUID

import msgspec


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: a user, an API token, a service or a node, and in which trace."""

    kind: str
    id: str
    trace: str = ""


def user(user_id: UUID) -> Actor:
    """A user, as whom no call was made yet."""
    return Actor("user", str(user_id))


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the trail; its id is made once, so that it is told once however often it is sent."""

    event_id: UUID
    at: int
    tenant: UUID
    action: str
    actor_kind: str
    actor: str
    resource_kind: str
    resource: str
    stream: UUID | None = None
    trace: str = ""
    attributes: dict[str, str] = {}
