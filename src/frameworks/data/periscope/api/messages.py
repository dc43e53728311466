"""Requests as the service asks for them, rows as messages."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.domain import DAY, SECOND, Asked, asked
from frameworks.kit.clock import Clock, micros
from frameworks.kit.paging import Paged
from frameworks.kit.sql import fill

SERVICE = pb.DESCRIPTOR.services_by_name["PeriscopeService"]

_NARROWED = {
    "stream": "stream_id",
    "node": "node_id",
    "cluster": "cluster_id",
    "artifact": "artifact",
    "state": "state",
    "kind": "kind",
    "scope": "scope",
    "caller": "caller_kind",
    "operation": "operation_kind",
}
"""What a request may name, by the word the domain has for it."""

M = TypeVar("M", bound=Message)
Row = Mapping[str, Any]


class Ranged(Protocol):
    """A request with a range."""

    @property
    def range(self) -> pb.Range:
        """The range; both ends 0 mean the usual one."""


def wanted(request: Ranged, clock: Clock, *, usual: int = DAY) -> Asked:
    """The checked request; raises BadRange, BadSubject."""
    bounds = request.range
    return asked(
        bounds.from_at,
        bounds.until_at,
        micros(clock.now()),
        usual=usual,
        **{name: getattr(request, field, "") for name, field in _NARROWED.items()},
    )


def rows(kind: type[M], found: Sequence[Row], *, place: str = "") -> list[M]:
    """Rows as messages by equal names; `place` names the field that holds a position."""
    return [row(kind, one, place=place) for one in found]


def row(kind: type[M], values: Row, *, place: str = "") -> M:
    """One row as a message."""
    message = fill(kind(), values)
    if place:
        fill(getattr(message, place), values)
    return message


def paged_rows(kind: type[M], found: Paged[Row], *, place: str = "") -> list[M]:
    """A page's rows as messages, each with its cursor."""
    messages = rows(kind, found.rows, place=place)
    for message, cursor in zip(messages, found.cursors, strict=True):
        message.cursor = cursor  # type: ignore[attr-defined]
    return messages


def page_of(found: Paged[Row]) -> pb.PageInfo:
    """Where a page stands in its list."""
    return pb.PageInfo(
        start_cursor=found.cursors[0] if found.cursors else "",
        end_cursor=found.cursors[-1] if found.cursors else "",
        has_next=found.has_next,
        has_previous=found.has_previous,
        total=found.total,
    )


def range_of(checked: Asked) -> pb.Range:
    """The range an answer is about."""
    return pb.Range(from_at=checked.from_at, until_at=checked.until_at)


def share(total: Any, parts: Any) -> float:
    """An average from its sum; 0 where there was nothing to average."""
    return float(total) / float(parts) if parts else 0.0


_TIERS = {
    "4K": "tier_2160p",
    "1440p": "tier_1440p",
    "1080p+": "tier_1440p",
    "1080p": "tier_1080p",
    "720p": "tier_720p",
    "480p": "tier_480p",
    "SD": "tier_sd",
}
_CODECS = {
    "H264": "codec_h264",
    "HEVC": "codec_h265",
    "H265": "codec_h265",
    "VP9": "codec_vp9",
    "AV1": "codec_av1",
}


def quality(tiers: Mapping[str, int], codecs: Mapping[str, int]) -> pb.QualityMinutes:
    """Minutes by tier and codec from microseconds; what has no field of its own is left out."""
    minutes: dict[str, float] = {}
    for names, found in ((_TIERS, tiers), (_CODECS, codecs)):
        for name, spent in found.items():
            if field := names.get(name):
                minutes[field] = minutes.get(field, 0.0) + spent / (60 * SECOND)
    return pb.QualityMinutes(**minutes)
