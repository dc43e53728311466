"""Values as ClickHouse's RowBinary has them: what a store that writes many rows joins by itself."""

from uuid import UUID

SECOND = 1_000_000
LATEST = (1 << 32) - 1


def varint(number: int) -> bytes:
    """A length."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def string(text: str) -> bytes:
    """A String, LowCardinality or not."""
    encoded = text.encode()
    return varint(len(encoded)) + encoded


def uuid(value: UUID) -> bytes:
    """A UUID: two numbers, the upper half first."""
    encoded = value.bytes
    return encoded[7::-1] + encoded[:7:-1]


def date_time(at: int) -> bytes:
    """The DateTime of an instant in microseconds; what it can not hold is its first or its last."""
    return min(max(at // SECOND, 0), LATEST).to_bytes(4, "little")
