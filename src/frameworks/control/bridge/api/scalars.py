"""Our scalars, and the small conversions from protobuf values to GraphQL ones."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ariadne import ScalarType
from graphql import GraphQLError

from frameworks.kit.clock import from_micros

INT_MAX = 2**31 - 1

_time = ScalarType("Time")
_json = ScalarType("JSON")
_currency = ScalarType("Currency")
_money = ScalarType("Money")

SCALARS = [_time, _json, _currency, _money]


@_time.serializer
def write_time(value: Any) -> str:
    """An instant as RFC 3339 in UTC, to the microsecond."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise GraphQLError("Time cannot represent this value.")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


@_time.value_parser
def read_time(value: Any) -> datetime:
    """An instant from RFC 3339 text that names its offset."""
    if isinstance(value, str) and len(value) <= 40:
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            instant = None
        if instant is not None and instant.tzinfo is not None:
            return instant.astimezone(UTC)
    raise GraphQLError("Time must be RFC 3339 with an offset, such as 2026-01-31T12:00:00Z.")


@_json.serializer
@_json.value_parser
def as_is(value: Any) -> Any:
    """JSON values pass unchanged."""
    return value


@_currency.serializer
@_currency.value_parser
def currency(value: Any) -> str:
    """A currency code: three capital letters."""
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isupper():
        return value
    raise GraphQLError("Currency must be an ISO 4217 code, such as EUR.")


@_money.serializer
def write_money(value: Any) -> float:
    """An amount as a JSON number."""
    return float(value)


@_money.value_parser
def read_money(value: Any) -> Decimal:
    """An amount from a JSON number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    raise GraphQLError("Money must be a number.")


def instant(micros: int) -> datetime | None:
    """The instant, or None for the 0 that stands for "never"."""
    return from_micros(micros) if micros else None


def at(micros: int) -> datetime:
    """The instant."""
    return from_micros(micros)


def int32(value: float) -> int:
    """A count that fits GraphQL's Int: larger ones stay at its maximum."""
    return max(-INT_MAX, min(INT_MAX, round(value)))


def text(value: str) -> str | None:
    """The text, or None when empty."""
    return value or None
