"""Requests to Periscope from GraphQL arguments, and pages of its rows as connections."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from ariadne import ObjectType

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.control.bridge.api import relay
from frameworks.control.bridge.api.scalars import int32, text
from frameworks.control.bridge.api.streams import stream_of
from frameworks.control.bridge.domain import BadPage, uuid_id
from frameworks.kit.clock import micros

Row = dict[str, Any]

GIGABYTE = 1_000_000_000
HOUR = 3600


class HasCursor(Protocol):
    """A row of a page."""

    @property
    def cursor(self) -> str:
        """Where it stands in its list."""


R = TypeVar("R", bound=HasCursor)


def time_range(given: Row | None) -> pb.Range:
    """The range asked for; Periscope's own default when none is."""
    if given is None:
        return pb.Range()
    if given["start"] >= given["end"]:
        raise BadPage("The range ends before it starts.", field="timeRange")
    return pb.Range(from_at=micros(given["start"]), until_at=micros(given["end"]))


def history(arguments: Row) -> pb.HistoryRequest:
    """The one request of history, from whichever of its arguments a field has."""
    stream = arguments.get("streamId")
    return pb.HistoryRequest(
        range=time_range(arguments.get("timeRange")),
        page=relay.page(pb.Page(), arguments.get("page")),
        stream_id=uuid_id("Stream", stream) if stream else "",
        node_id=arguments.get("nodeId") or "",
        cluster_id=arguments.get("clusterId") or "",
        artifact=arguments.get("artifactHash") or "",
        state=arguments.get("stage") or "",
        kind=arguments.get("contentType") or arguments.get("assetType") or "",
        scope=arguments.get("storageScope") or "",
        caller_kind=arguments.get("authType") or "",
        operation_kind=(arguments.get("operationType") or "").lower(),
    )


def listed(rows: Sequence[R], page: pb.PageInfo, row: Callable[[R], Row]) -> Row:
    """A connection of rows that carry their cursors."""
    return relay.connection([row(r) for r in rows], [r.cursor for r in rows], page)


def with_stream(*names: str) -> list[ObjectType]:
    """Types whose field `stream` is looked up by their `streamId`."""
    found = []
    for name in names:
        bound = ObjectType(name)
        bound.set_field("stream", stream_of)
        found.append(bound)
    return found


def bucket(cell: int) -> Row | None:
    """An H3 cell; its resolution is in the index itself."""
    return {"h3Index": f"{cell:x}", "resolution": cell >> 52 & 0xF} if cell else None


def place(position: pb.Position) -> Row:
    """Where a client was, as coarse as history knows it."""
    known = bool(position.h3_cell)
    return {
        "countryCode": text(position.country),
        "city": text(position.city),
        "latitude": position.latitude if known else None,
        "longitude": position.longitude if known else None,
        "clientBucket": bucket(position.h3_cell),
    }


def track_row(track: pb.Track) -> Row:
    """One track of a stream."""
    return {
        "trackName": track.name,
        "trackType": track.type,
        "codec": text(track.codec),
        "bitrateKbps": int32(track.bitrate_kbps) or None,
        "bitrateBps": int32(track.bitrate_kbps * 1000) or None,
        "buffer": int32(track.buffer_ms),
        "jitter": int32(track.jitter_ms),
        "width": track.width or None,
        "height": track.height or None,
        "fps": track.fps_milli / 1000 if track.fps_milli else None,
        "resolution": f"{track.width}x{track.height}" if track.width else None,
        "hasBFrames": track.b_frames if track.type == "video" else None,
        "channels": track.channels or None,
        "sampleRate": int32(track.sample_rate) or None,
    }


def loss(lost: int, sent: int) -> float | None:
    """The share of packets lost; None when none was sent."""
    return lost / sent if sent else None


def ratio(part: float, whole: float) -> float:
    """A share, 0 of nothing."""
    return part / whole if whole else 0.0


def percent(part: float, whole: float) -> float | None:
    """A share in percent; None of nothing."""
    return 100 * part / whole if whole else None
