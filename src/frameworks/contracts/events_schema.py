"""The text of `events.proto` as the analytics engine wants it: made from the generated code, so it can not differ."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from frameworks.contracts.pb import events_v1_pb2

_TYPES = {
    1: "double",
    3: "int64",
    4: "uint64",
    6: "fixed64",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint32",
}
_MESSAGE, _REPEATED = 11, 3


def _field(field: Any, maps: dict[str, Any]) -> str:
    if entry := maps.get(field.type_name.rpartition(".")[2]):
        key, value = (_TYPES[part.type] for part in entry.field)
        return f"map<{key},{value}> {field.name}={field.number};"
    name = field.type_name.rpartition(".")[2] if field.type == _MESSAGE else _TYPES[field.type]
    return f"{'repeated ' if field.label == _REPEATED else ''}{name} {field.name}={field.number};"


def _message(message: Any) -> Iterator[str]:
    maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    yield f"message {message.name}{{"
    for field in message.field:
        if not field.HasField("oneof_index"):
            yield _field(field, maps)
    for number, oneof in enumerate(message.oneof_decl):
        yield f"oneof {oneof.name}{{"
        members = (f for f in message.field if f.HasField("oneof_index") and f.oneof_index == number)
        yield from (_field(field, maps) for field in members)
        yield "}"
    yield "}"


def _schema() -> str:
    file = FileDescriptorProto.FromString(events_v1_pb2.DESCRIPTOR.serialized_pb)
    lines = ['syntax="proto3";', *(line for message in file.message_type for line in _message(message))]
    return "\n".join(lines) + "\n"


SCHEMA_TEXT = _schema()
