"""Streams and their keys: three separate names, none of which tells another."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from frameworks.contracts.ids import InternalName, PlaybackId, StreamKey
from frameworks.control.commodore.domain.accounts import Invalid
from frameworks.kit.clock import random_text
from frameworks.kit.errors import NotFound, Precondition

MOST_KEYS = 20


class NoSuchStream(NotFound):
    """No such stream, or not one of this tenant's."""

    code = "commodore.no_stream"


class NoSuchKey(NotFound):
    """No such key of this stream."""

    code = "commodore.no_key"


class TooManyStreams(Precondition):
    """The plan allows no more streams."""

    code = "commodore.stream_limit"


class TooManyKeys(Precondition):
    """A stream has at most `MOST_KEYS` active keys."""

    code = "commodore.key_limit"


class Suspended(Precondition):
    """The tenant may not start anything that costs money."""

    code = "commodore.suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream's settings and names."""

    id: UUID
    tenant_id: UUID
    title: str
    description: str = ""
    playback_id: PlaybackId
    internal_name: InternalName
    recording_enabled: bool = False
    public: bool = True
    ingest_mode: str = "push"
    claim_state: str = "idle"
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A stream key as it is kept: encrypted for its owner, and bound to its id."""

    id: UUID
    sealed: bytes


@dataclass(frozen=True, slots=True)
class KeptStream:
    """A stream and the key its owner pushes with, if it has an active one."""

    stream: Stream
    key: SealedKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One of a stream's keys."""

    id: UUID
    stream_id: UUID
    name: str
    active: bool
    last_used_at: datetime | None
    created_at: datetime
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key about to be kept."""

    id: UUID
    name: str
    key_hash: str
    sealed: bytes


def new_stream_key() -> StreamKey:
    """A fresh stream key (165 random bits)."""
    return StreamKey("sk_" + random_text(32))


def new_playback_id() -> PlaybackId:
    """A fresh playback id."""
    return PlaybackId(random_text(16))


def new_internal_name() -> InternalName:
    """A fresh internal name."""
    return InternalName(random_text(32))


def title(text: str, *, field: str = "title") -> str:
    """A title: one line of 1 to 200 printable characters; raises Invalid."""
    value = " ".join(text.split())
    if not 0 < len(value) <= 200 or not value.isprintable():
        raise Invalid(f"The {field} has 1 to 200 printable characters.", field=field)
    return value


def description(text: str) -> str:
    """A description of at most 5,000 characters; raises Invalid."""
    value = text.strip()
    if len(value) > 5_000 or "\0" in value:
        raise Invalid("The description has at most 5,000 characters.", field="description")
    return value
