"""Relay connections over keyset pages: cursors are the peers' own, opaque here and to clients."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from frameworks.control.bridge.api.scalars import int32
from frameworks.control.bridge.domain import BadPage

MAX_ROWS = 500
DEFAULT_ROWS = 50


class PageMessage(Protocol):
    """A service's `Page` message."""

    first: int
    after: str
    last: int
    before: str


class Ends(Protocol):
    """What a service says about both ends of a page."""

    @property
    def has_next(self) -> bool:
        """Whether rows follow."""

    @property
    def has_previous(self) -> bool:
        """Whether rows precede."""

    @property
    def total(self) -> int:
        """Rows that match, whatever the page."""


P = TypeVar("P", bound=PageMessage)
Row = dict[str, Any]


def page(message: P, given: dict[str, Any] | None) -> P:
    """`message` filled from a ConnectionInput; raises BadPage. `last` wins over the default of `first`."""
    given = given or {}
    last = given.get("last")
    rows = last if last is not None else given.get("first")
    rows = DEFAULT_ROWS if rows is None else rows
    if not 1 <= rows <= MAX_ROWS:
        raise BadPage(f"A page has 1 to {MAX_ROWS} rows.")
    if last is not None:
        message.last = rows
    else:
        message.first = rows
    message.after = given.get("after") or ""
    message.before = given.get("before") or ""
    return message


def connection(rows: Sequence[Row], cursors: Sequence[str], ends: Ends) -> Row:
    """A connection of `rows`, each with its cursor."""
    return {
        "nodes": rows,
        "edges": [{"cursor": c, "node": row} for c, row in zip(cursors, rows, strict=True)],
        "pageInfo": {
            "startCursor": cursors[0] if cursors else None,
            "endCursor": cursors[-1] if cursors else None,
            "hasNextPage": ends.has_next,
            "hasPreviousPage": ends.has_previous,
        },
        "totalCount": int32(ends.total),
    }
