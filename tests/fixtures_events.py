"""Events with every field said: of today's schema, and of schemas frozen beside the tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from frameworks.contracts.framing import split, unframed

FROZEN = Path(__file__).parent / "fixtures" / "events"
_REALS = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}


def frozen_class(version: int) -> Any:
    """`Event` as schema version `version` had it."""
    pool = DescriptorPool()
    file = FileDescriptorProto.FromString((FROZEN / f"v{version}.descriptor").read_bytes())
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("frameworks.events.v1.Event"))


def frozen_events(version: int) -> dict[str, bytes]:
    """Type → the bytes a writer of that version once wrote, every field of every type said."""
    read = frozen_class(version)
    raws = [unframed(framed) for framed in split((FROZEN / f"v{version}.batch").read_bytes())]
    return {read.FromString(raw).type: raw for raw in raws}


def moved(raw: bytes, seen: int, to: int) -> bytes:
    """The same bytes with another `occurred_at`: nothing is decoded or written anew."""
    old, new = (b"\x19" + at.to_bytes(8, "little") for at in (seen, to))
    assert raw.count(old) == 1
    return raw.replace(old, new)


def fill(message: Message, seed: int = 1) -> None:
    """Say every field of a message and of the messages in it, no two alike where they may differ."""
    for field in message.DESCRIPTOR.fields:
        value = seed * 100 + field.number
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, field.name)["name"] = f"{field.name}-{value}"
        elif field.message_type is not None and field.is_repeated:
            for number in (1, 2):
                fill(getattr(message, field.name).add(), seed + number)
        elif field.message_type is not None:
            fill(getattr(message, field.name), seed + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(_scalar(field, value + more) for more in (0, 1))
        else:
            setattr(message, field.name, _scalar(field, value))


def _scalar(field: Any, value: int) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return f"{field.name}-{value}"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return value.to_bytes(16, "big")
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    return value + 0.5 if field.type in _REALS else value


def payloads(event: Descriptor) -> Iterator[Any]:
    """The fields one of which is an event's payload."""
    yield from event.oneofs_by_name["data"].fields
