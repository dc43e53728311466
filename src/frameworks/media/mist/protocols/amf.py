"""AMF0: the values inside RTMP commands and FLV script data, with bounded depth and count."""

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import ClassVar, TypeAlias

from frameworks.kit.errors import Refusal

Value: TypeAlias = bool | float | str | list["Value"] | dict[str, "Value"] | None

MAX_DEPTH = 8
MAX_VALUES = 2048
"""Values in one message, counting every element of every array and object."""


class Marker(IntEnum):
    """The type byte before each value."""

    NUMBER = 0x00
    BOOLEAN = 0x01
    STRING = 0x02
    OBJECT = 0x03
    NULL = 0x05
    UNDEFINED = 0x06
    ECMA_ARRAY = 0x08
    OBJECT_END = 0x09
    STRICT_ARRAY = 0x0A
    DATE = 0x0B
    LONG_STRING = 0x0C
    UNSUPPORTED = 0x0D
    XML = 0x0F
    TYPED_OBJECT = 0x10


_END = bytes([Marker.OBJECT_END])
_DOUBLE = struct.Struct(">d")
_SHORT = struct.Struct(">H")
_LONG = struct.Struct(">I")


class BadAmf(Refusal):
    """Bytes that are not AMF0, or nest or count beyond the limits."""

    code: ClassVar = "mist.amf.invalid"


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.budget = MAX_VALUES

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise BadAmf("An AMF value is cut short.")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def short_text(self) -> str:
        return _text(self.take(_SHORT.unpack(self.take(2))[0]))

    def value(self, depth: int = 0) -> Value:
        self.budget -= 1
        if self.budget < 0 or depth > MAX_DEPTH:
            raise BadAmf("An AMF message nests too deep or holds too many values.")
        marker = self.take(1)[0]
        match marker:
            case Marker.NUMBER:
                return float(_DOUBLE.unpack(self.take(8))[0])
            case Marker.BOOLEAN:
                return self.take(1) != b"\0"
            case Marker.STRING:
                return self.short_text()
            case Marker.NULL | Marker.UNDEFINED | Marker.UNSUPPORTED:
                return None
            case Marker.LONG_STRING | Marker.XML:
                return _text(self.take(_LONG.unpack(self.take(4))[0]))
            case Marker.DATE:
                return float(_DOUBLE.unpack(self.take(10)[:8])[0])
        return self.compound(marker, depth)

    def compound(self, marker: int, depth: int) -> Value:
        match marker:
            case Marker.OBJECT:
                return self.properties(depth)
            case Marker.ECMA_ARRAY:
                self.take(4)
                return self.properties(depth)
            case Marker.STRICT_ARRAY:
                return self.strict_array(depth)
            case Marker.TYPED_OBJECT:
                self.short_text()
                return self.properties(depth)
        raise BadAmf(f"AMF marker {marker:#04x} is not supported.")

    def properties(self, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while True:
            name = self.short_text()
            if not name and self.data[self.at : self.at + 1] == _END:
                self.at += 1
                return found
            found[name] = self.value(depth + 1)

    def strict_array(self, depth: int) -> list[Value]:
        count = _LONG.unpack(self.take(4))[0]
        if count > self.budget:
            raise BadAmf("An AMF array holds too many values.")
        return [self.value(depth + 1) for _ in range(count)]


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def decode(data: bytes) -> list[Value]:
    """Every value in `data`, in order; dates are milliseconds; raises BadAmf."""
    reader = _Reader(data)
    values = []
    while reader.at < len(data):
        values.append(reader.value())
    return values


def encode(*values: Value) -> bytes:
    """The AMF0 bytes of `values`; mappings become anonymous objects."""
    return b"".join(_encoded(value) for value in values)


def encode_metadata(values: Mapping[str, Value]) -> bytes:
    """The AMF0 bytes of `values` as an ECMA array, the form `onMetaData` takes."""
    return bytes([Marker.ECMA_ARRAY]) + _LONG.pack(len(values)) + _properties(values)


def _properties(values: Mapping[str, Value]) -> bytes:
    parts = [_short(name) + _encoded(value) for name, value in values.items()]
    return b"".join(parts) + b"\0\0" + bytes([Marker.OBJECT_END])


def _short(text: str) -> bytes:
    raw = text.encode()
    return _SHORT.pack(len(raw)) + raw


def _encoded(value: Value) -> bytes:
    if value is None:
        return bytes([Marker.NULL])
    if isinstance(value, bool):
        return bytes([Marker.BOOLEAN, value])
    if isinstance(value, int | float):
        return bytes([Marker.NUMBER]) + _DOUBLE.pack(value)
    if isinstance(value, str):
        raw = value.encode()
        if len(raw) > 0xFFFF:
            return bytes([Marker.LONG_STRING]) + _LONG.pack(len(raw)) + raw
        return bytes([Marker.STRING]) + _SHORT.pack(len(raw)) + raw
    if isinstance(value, Mapping):
        return bytes([Marker.OBJECT]) + _properties(value)
    return _array(value)


def _array(values: Sequence[Value]) -> bytes:
    return bytes([Marker.STRICT_ARRAY]) + _LONG.pack(len(values)) + encode(*values)
