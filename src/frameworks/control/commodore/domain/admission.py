"""Admission: why a publisher is refused, in a code for programs and a sentence for the owner."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

KEPT_REFUSALS = 50
"""Of each stream."""
LISTED_REFUSALS = 500
"""Of all streams of a tenant together."""
FINGERPRINT = 12

INVALID_KEY = "INVALID_KEY"
KEY_INACTIVE = "KEY_INACTIVE"
TENANT_INACTIVE = "TENANT_INACTIVE"
TENANT_SUSPENDED = "TENANT_SUSPENDED"
CLUSTER_NOT_ENTITLED = "CLUSTER_NOT_ENTITLED"
STREAM_LIMIT = "STREAM_LIMIT"
STREAM_DELETED = "STREAM_DELETED"
UNAVAILABLE = "UNAVAILABLE"

SENTENCES = {
    INVALID_KEY: "No stream has this key. Copy the key from the stream's page again.",
    KEY_INACTIVE: "This key was deactivated or replaced. Use the stream's current key.",
    TENANT_INACTIVE: "This account is closed.",
    TENANT_SUSPENDED: "This account is suspended. Open Billing to see why.",
    CLUSTER_NOT_ENTITLED: "Your plan does not include this location. Push to one of your own clusters.",
    STREAM_LIMIT: "As many streams are live as your plan allows. Stop one, or choose a larger plan.",
    STREAM_DELETED: "This stream was deleted.",
    UNAVAILABLE: "We can not check right now whether you may go live. Your encoder may try again in a few seconds.",
    "DUPLICATE_INGEST": "Another encoder is publishing this stream now. Stop it first, or use another stream's key.",
    "SUPERSEDED": "A newer connection of this stream took over from this one.",
    "RELEASED": "This connection has ended already. Connect again.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A node asks whether a publisher may come in; `live` are the streams it still receives media of."""

    node_id: str
    cluster_id: str
    boot_id: str
    connection_id: str
    trigger_id: str
    protocol: str
    live: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """What a stream key belongs to."""

    key_id: UUID
    stream_id: UUID
    internal_name: str
    playback_id: str
    active: bool
    recording_enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a tenant may do now."""

    active: bool
    cluster_ids: tuple[str, ...]
    suspended: bool
    max_streams: int
    max_live_streams: int
    max_viewers: int
    max_ingest_kbps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedIngest:
    """A refused publisher, for the stream's owner to read."""

    id: UUID
    stream_id: UUID
    reason: str
    message: str
    protocol: str
    node_id: str
    key_fingerprint: str
    refused_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """A node cut a publisher off because it sent more than its plan allows."""

    allowed_kbps: int
    measured_kbps: int
    protocol: str
    key_fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer to a node: the stream's names and the signed attribution, or why not."""

    admitted: bool
    reason: str = ""
    message: str = ""
    internal_name: str = ""
    playback_id: str = ""
    stream_id: UUID | None = None
    tenant_id: UUID | None = None
    key_id: UUID | None = None
    key_fingerprint: str = ""
    claim_epoch: int = 0
    attribution: str = ""
    attribution_expires_at: datetime | None = None
    max_kbps: int = 0


def objection(key: KnownKey, standing: Standing, cluster_id: str) -> str | None:
    """The first reason this key may not publish here, before anyone looks at who holds the stream."""
    if not key.active:
        return KEY_INACTIVE
    if not standing.active:
        return TENANT_INACTIVE
    if standing.suspended:
        return TENANT_SUSPENDED
    return None if cluster_id in standing.cluster_ids else CLUSTER_NOT_ENTITLED
