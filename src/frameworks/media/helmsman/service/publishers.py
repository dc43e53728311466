"""A publisher as this node keeps it: under which claim it came, and what became of it."""

from typing import Any

import msgspec

from frameworks.media.helmsman.domain import Subject


class Admitted(msgspec.Struct, frozen=True):
    """Commodore's yes: the names, the claim, the attribution."""

    internal_name: str
    stream_id: str
    tenant_id: str
    key_id: str
    epoch: int
    attribution: str
    attribution_expires_at: int
    max_kbps: int = 0


class Refused(msgspec.Struct, frozen=True):
    """Commodore's no, with a code and a sentence."""

    reason: str
    message: str


class Overrun(msgspec.Struct, frozen=True):
    """By how much a publisher exceeded its plan."""

    allowed_kbps: int
    measured_kbps: int
    protocol: str
    key_fingerprint: str


class Publisher(msgspec.Struct):
    """One stream on this node, from its admission to STREAM_END."""

    admitted: Admitted
    connection: str
    pid: str
    started_at: int
    boot: str = ""
    state: str = "started"
    connected: bool = True
    health: dict[str, Any] = {}
    issues: tuple[str, ...] = ()
    last_media_ms: int = 0
    media_seen: float = 0.0
    fingerprint: str = ""
    encoder: str = ""
    """The same key from the same address: a hash of both."""
    protocol: str = ""
    cut: str = ""
    """Why it was cut off here."""
    cut_detail: str = ""
    overrun: Overrun | None = None

    @property
    def subject(self) -> Subject:
        """Whose the stream's events are."""
        a = self.admitted
        return Subject(a.tenant_id, a.stream_id, a.attribution, a.epoch)


class PublisherNoted(msgspec.Struct, frozen=True, tag="publisher"):
    """What a stream's publisher became; None when it is gone."""

    name: str
    publisher: Publisher | None = None
