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


ANYBODY = Actor("public", "")
"""Somebody who showed no credential."""

ACTIONS: dict[str, str] = {
    "user.registered": "An account was made, or asked for again before its address was confirmed.",
    "user.verified": "The address of an account was confirmed.",
    "user.signed_in": "A session was opened.",
    "user.signed_out": "A session was ended by its user.",
    "user.signed_out_everywhere": "All sessions were ended by their user.",
    "user.password_reset_requested": "A link that sets a new password was mailed; anybody can ask for it.",
    "user.password_changed": "Another password was set; all sessions ended.",
    "user.email_change_requested": "A link that changes the address was mailed to the new one.",
    "user.email_changed": "The address was changed.",
    "user.operator_changed": "The user runs the platform now, or no longer does.",
    "user.deleted": "The account was deleted.",
    "session.revoked": "A refresh token was used by two: the session ended.",
    "stream.created": "A stream was made.",
    "stream.updated": "What is named in `changed` was changed.",
    "stream.deleted": "A stream was deleted.",
    "key.created": "A stream key was made.",
    "key.rotated": "A new key took the place of the others.",
    "key.revoked": "A stream key was switched off.",
    "token.created": "An API token was made, with the `scopes` named.",
    "token.revoked": "An API token was revoked.",
    "tenant.created": "A tenant was made.",
    "tenant.updated": "What is named in `changed` was changed.",
    "tenant.closed": "A tenant was switched off for good.",
    "tenant.suspended": "An operator stopped what costs money, or gave another reason for it.",
    "tenant.unsuspended": "The suspension was lifted.",
    "cluster.created": "A tenant made a cluster of its own.",
    "cluster.preferred": "A tenant chose the cluster that serves it when possible.",
    "enrollment.issued": "A single-use token that enrols a node was made, for the `cluster` named.",
    "node.enrolled": "A node joined the `cluster` named.",
}
"""What the trail tells of. What comes before the dot is the kind of thing it was done to."""


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
