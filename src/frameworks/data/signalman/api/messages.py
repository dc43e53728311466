"""What is said on a socket: JSON messages, and the WebSocket frames around them (RFC 6455 §5.2)."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast
from uuid import UUID

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.signalman.domain.changes import Change
from frameworks.kit.clock import from_micros

Read = Callable[[Any], Any]

encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
HIDDEN = frozenset({"viewer_hash", "callers"})
"""Fields of events that stay inside the platform."""
_TEXT_FRAME = 0x81
_WIDE, _WIDER = 126, 127


def text_frame(payload: bytes) -> bytes:
    """One unmasked text frame."""
    size = len(payload)
    if size < _WIDE:
        return bytes((_TEXT_FRAME, size)) + payload
    if size < 1 << 16:
        return bytes((_TEXT_FRAME, _WIDE)) + size.to_bytes(2, "big") + payload
    return bytes((_TEXT_FRAME, _WIDER)) + size.to_bytes(8, "big") + payload


def message(kind: str, **facts: Any) -> bytes:
    """A message of ours, framed."""
    return text_frame(encode({"type": kind} | facts))


def change_frame(tenant: UUID, change: Change, position: str) -> bytes:
    """A change, framed; without a position it is a part of something that has one at its end."""
    placed = b',"position":"%b"}' % position.encode() if position else b"}"
    return text_frame(b"{" + _text(tenant, change) + placed)


def state_frame(tenant: UUID, change: Change) -> bytes:
    """A state of a snapshot, framed."""
    return text_frame(b"{" + _text(tenant, change) + b',"snapshot":true}')


def _text(tenant: UUID, change: Change) -> bytes:
    """The members of a change's message; worked out once."""
    if not change.text:
        change.text = encode(_members(tenant, Event.FromString(change.event)))[1:-1]
    return change.text


def _members(tenant: UUID, event: Event) -> dict[str, Any]:
    kind = event.WhichOneof("data")
    return {
        "type": event.type,
        "channel": EVENT_TYPES[event.type].channel,
        "data": _mapping(getattr(event, kind)) if kind else {},
        "timestamp": from_micros(event.occurred_at).isoformat().replace("+00:00", "Z"),
        "tenant_id": str(tenant),
        "event_id": _id(event.event_id),
        "stream_id": _id(event.stream_id) or None,
        "node_id": event.node_id or None,
        "cluster_id": event.cluster_id or None,
    }


def _mapping(found: Message) -> dict[str, Any]:
    """A message's fields by name, those that were not set included."""
    return {name: read(getattr(found, name)) for name, read in _plan(found.DESCRIPTOR)}


@cache
def _plan(kind: Descriptor) -> tuple[tuple[str, Read], ...]:
    """How each field of a message is read; worked out once for each type."""
    fields = cast("list[FieldDescriptor]", list(kind.fields))
    return tuple((field.name, _reading(field)) for field in fields if field.name not in HIDDEN)


def _reading(field: FieldDescriptor) -> Read:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return lambda value: {str(key): each for key, each in value.items()}
    single = _single(field)
    return (lambda value: [single(each) for each in value]) if field.is_repeated else single


def _single(field: FieldDescriptor) -> Read:
    if field.message_type is not None:
        return _mapping
    return _id if field.type == FieldDescriptor.TYPE_BYTES else _same


def _same(value: Any) -> Any:
    return value


def _id(value: bytes) -> str:
    return str(UUID(bytes=value)) if len(value) == 16 else value.hex()
