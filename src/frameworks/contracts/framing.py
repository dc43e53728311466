"""EventBatch by hand: framed events concatenate to a batch, so records are grouped and cut without decoding."""

from collections.abc import Sequence

from frameworks.contracts.pb.events_v1_pb2 import EventFrames
from frameworks.kit.errors import Refusal

FRAMING = 6
"""A frame is at most so many bytes longer than its event."""
_TAG = 0x0A
_CLUSTER_TAG, _REGION_TAG, _SOURCE_TAG = 0x42, 0x4A, 0x52
"""Fields 8, 9 and 10 of an Event."""
_LONGEST_VARINT = 5


class BrokenBatch(Refusal):
    """Bytes that are no sequence of framed events."""

    code = "events.broken_batch"


def frame(event: bytes) -> bytes:
    """The serialised event as one entry of an EventBatch."""
    return _delimited(_TAG, event)


def join(events: Sequence[bytes]) -> bytes:
    """The serialised events as an EventBatch."""
    return EventFrames(events=events).SerializeToString()


def parts(batch: bytes) -> Sequence[bytes]:
    """The serialised events of a batch that `join` made."""
    return EventFrames.FromString(batch).events


def stamp(*, cluster: str = "", region: str = "", source: str = "") -> bytes:
    """Bytes that, put behind a serialised event which leaves these fields out, say them."""
    said = ((_CLUSTER_TAG, cluster), (_REGION_TAG, region), (_SOURCE_TAG, source))
    return b"".join(_delimited(tag, text.encode()) for tag, text in said if text)


def _delimited(tag: int, content: bytes) -> bytes:
    head = bytearray((tag,))
    number = len(content)
    while number > 0x7F:
        head.append(number & 0x7F | 0x80)
        number >>= 7
    head.append(number)
    return bytes(head) + content


def split(batch: bytes) -> list[bytes]:
    """The framed events whose concatenation is `batch`; raises BrokenBatch."""
    frames: list[bytes] = []
    start, end = 0, len(batch)
    while start < end:
        if batch[start] != _TAG:
            raise BrokenBatch("The record is no batch of events.", offset=start)
        size, body = _varint(batch, start + 1)
        if body + size > end:
            raise BrokenBatch("The record ends inside an event.", offset=start)
        frames.append(batch[start : body + size])
        start = body + size
    return frames


def unframed(framed: bytes) -> bytes:
    """The serialised event inside a frame."""
    return framed[_varint(framed, 1)[1] :]


def _varint(batch: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    for position in range(at, min(at + _LONGEST_VARINT, len(batch))):
        byte = batch[position]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position + 1
        shift += 7
    raise BrokenBatch("The record holds a length that is none.", offset=at)
