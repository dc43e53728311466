"""A row becomes a protobuf message by equal names, so that nobody writes that code."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from frameworks.kit.clock import micros

M = TypeVar("M", bound=Message)
Convert = Callable[[Any], Any]


def fill(message: M, row: Any) -> M:
    """Set each field of `message` that `row` has a value for, and return it; NULL leaves the field unset."""
    converters = _converters(message.DESCRIPTOR)
    for name, value in row.items():
        convert = converters.get(name)
        if convert is not None and value is not None:
            _set(message, name, convert(value))
    return message


def mismatches(message: type[Message], columns: Iterable[str]) -> tuple[set[str], set[str]]:
    """(fields without a column, columns without a field), for the test of a mapping."""
    fields = set(message.DESCRIPTOR.fields_by_name)
    return fields - set(columns), set(columns) - fields


def _set(message: Message, name: str, value: Any) -> None:
    if isinstance(value, list):
        field = getattr(message, name)
        del field[:]
        field.extend(value)
    elif isinstance(value, Mapping):
        target = getattr(message, name)
        if isinstance(target, Message):
            target.SetInParent()
            fill(target, value)
        else:
            target.clear()
            target.update(value)
    else:
        setattr(message, name, value)


@lru_cache(maxsize=1024)
def _converters(descriptor: Descriptor) -> dict[str, Convert]:
    return {field.name: _converter(field) for field in descriptor.fields}


def _converter(field: FieldDescriptor) -> Convert:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _nested(field)
    single = _scalar_reader(field)
    return lambda value: (
        [single(item) for item in value] if isinstance(value, (list, tuple)) else single(value)
    )


def _nested(field: FieldDescriptor) -> Convert:
    kind: Any = field.message_type
    if kind.GetOptions().map_entry:
        return lambda value: value
    return lambda value: [_made(kind, item) for item in value] if isinstance(value, list) else value


def _made(kind: Any, row: Any) -> Message:
    made: Message = kind._concrete_class()
    return fill(made, row)


def _scalar_reader(field: FieldDescriptor) -> Convert:
    """By the field's type: UUIDs as their bytes or text, instants as microseconds, exact numbers as text."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: value.bytes if isinstance(value, UUID) else bytes(value)
    if field.type == FieldDescriptor.TYPE_STRING:
        return lambda value: _text(field.name, value)
    return lambda value: _number(field.name, value)


def _text(name: str, value: Any) -> str:
    if isinstance(value, (str, UUID)):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{name}: a {type(value).__name__} has no form as text")


def _number(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        if not name.endswith("_at"):
            raise TypeError(f"{name}: only fields named …_at hold an instant, as microseconds")
        return micros(value)
    return value
