"""A domain value as its message: names are equal on both sides, so one mapper serves all of them."""

import dataclasses
from typing import Any, TypeVar

from google.protobuf.message import Message

from frameworks.kit.sql.rows import fill

M = TypeVar("M", bound=Message)


def to_message(kind: type[M], source: object, **over: Any) -> M:
    """A message with every field that the dataclass `source` has under the same name; `over` wins, None stays unset."""
    return fill(kind(), _fields(source) | over)


def _fields(source: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(source, field.name)) for field in dataclasses.fields(source)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _fields(value)
    return sorted(value) if isinstance(value, frozenset) else value
