"""Who publishes a stream: one claim at a time, its epochs only grow.

A claim ends when its publisher disconnects, when its node starts again, or after five seconds without media, whichever
is first. Then the next publisher takes the next epoch at once; while it lives, others are refused.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

SILENCE = timedelta(seconds=5)
"""A publisher that sent no media for this long may be taken over from."""
REMEMBERED_TRIGGERS = 8

DUPLICATE_INGEST = "DUPLICATE_INGEST"
SUPERSEDED = "SUPERSEDED"
RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """One publisher's connection, as the node that has it describes it."""

    node_id: str
    cluster_id: str
    boot_id: str
    connection_id: str
    key_id: UUID
    trigger_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The latest claim on a stream, `held` until it was given back; `recent` are the triggers it outlived."""

    epoch: int
    publisher: Publisher
    held: bool
    admitted_at: datetime
    last_media_at: datetime
    recent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no claim."""

    reason: str


def admit(
    current: Claim | None, asks: Publisher, now: datetime, *, sees_media: bool = False
) -> Claim | Refused:
    """The claim `asks` gets: its own again when it repeats itself, else the next epoch, else a refusal.

    `sees_media`: the asking node still receives media for this stream over another connection.
    """
    if current is None:
        return _granted(0, asks, now, ())
    if asks.trigger_id in current.recent:
        return Refused(SUPERSEDED)
    if _same(current.publisher, asks):
        return current if current.held else Refused(RELEASED)
    if current.held and _lives(current, asks, now, sees_media):
        return Refused(DUPLICATE_INGEST)
    outlived = (current.publisher.trigger_id, *current.recent)[:REMEMBERED_TRIGGERS]
    return _granted(current.epoch, asks, now, outlived)


def renew(
    current: Claim | None, holder: tuple[str, str, str], epoch: int, now: datetime, *, media: bool
) -> Claim | Refused:
    """The claim with its media noted, if `holder` (node, boot, connection) has this epoch; silence changes nothing."""
    if current is None or current.epoch != epoch or _holder(current) != holder:
        return Refused(SUPERSEDED)
    if not current.held:
        return Refused(RELEASED)
    return replace(current, last_media_at=max(now, current.last_media_at)) if media else current


def release(current: Claim | None, node_id: str, connection_id: str, epoch: int) -> Claim | None:
    """The claim given back, or None when it was not this connection's to give."""
    if current is None or not current.held or current.epoch != epoch:
        return None
    if (current.publisher.node_id, current.publisher.connection_id) != (node_id, connection_id):
        return None
    return replace(current, held=False)


def is_live(claim: Claim | None, now: datetime) -> bool:
    """Whether a publisher holds the stream and sent media lately."""
    return claim is not None and claim.held and now - claim.last_media_at < SILENCE


def _granted(epoch: int, publisher: Publisher, now: datetime, recent: tuple[str, ...]) -> Claim:
    return Claim(
        epoch=epoch + 1, publisher=publisher, held=True, admitted_at=now, last_media_at=now, recent=recent
    )


def _lives(current: Claim, asks: Publisher, now: datetime, sees_media: bool) -> bool:
    holder = current.publisher
    if holder.node_id == asks.node_id:
        if holder.boot_id != asks.boot_id:
            return False
        if sees_media:
            return True
    return now - current.last_media_at < SILENCE


def _same(holder: Publisher, asks: Publisher) -> bool:
    """The same question again, or another about the same connection."""
    if (holder.node_id, holder.boot_id, holder.key_id) != (asks.node_id, asks.boot_id, asks.key_id):
        return False
    return holder.trigger_id == asks.trigger_id or holder.connection_id == asks.connection_id


def _holder(claim: Claim) -> tuple[str, str, str]:
    return claim.publisher.node_id, claim.publisher.boot_id, claim.publisher.connection_id
