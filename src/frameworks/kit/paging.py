"""Keyset pages: rows newest first by (instant, id); cursors hold the full instant and belong to one list."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from frameworks.kit.clock import from_micros, micros
from frameworks.kit.errors import Refusal

T = TypeVar("T")

DEFAULT_ROWS = 50
MAX_ROWS = 500
_LONGEST_CURSOR = 400


class BadPage(Refusal):
    """A cursor of another list or tenant, or a size out of range."""

    code = "page.invalid"


class PageRequest(Protocol):
    """What a `Page` message of any service carries."""

    first: int
    after: str
    last: int
    before: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a row stands in its list."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a list that was asked for; `scope` names the list and its tenant."""

    scope: str
    limit: int = DEFAULT_ROWS
    backward: bool = False
    after: Position | None = None
    before: Position | None = None

    def clause(self, start: int, *, at: str = "created_at", id: str = "id") -> tuple[str, list[object]]:
        """The conditions, order and limit to append to a query whose last parameter is `$start-1`, and their values."""
        values: list[object] = []
        text = ""
        for position, sign in ((self.after, "<"), (self.before, ">")):
            if position is not None:
                place = start + len(values)
                text += f" AND ({at}, {id}) {sign} (${place}, ${place + 1})"
                values += [position.at, position.id]
        order = "ASC" if self.backward else "DESC"
        values.append(self.limit + 1)
        return f"{text} ORDER BY {at} {order}, {id} {order} LIMIT ${start + len(values) - 1}", values


@dataclass(frozen=True, slots=True)
class Paged(Generic[T]):
    """One page: its rows newest first, the cursor of each, and whether there is more on either side."""

    rows: Sequence[T]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool
    total: int


def window(request: PageRequest, scope: str, *, identity: Callable[[str], object] = UUID) -> Window:
    """Read a page request for the list `scope`, whose ids `identity` accepts; raises BadPage."""
    if request.first and request.last:
        raise BadPage("Ask for the first rows or the last ones, not both.")
    limit = request.first or request.last or DEFAULT_ROWS
    if limit > MAX_ROWS:
        raise BadPage(f"A page has at most {MAX_ROWS} rows.")
    return Window(
        scope=scope,
        limit=limit,
        backward=bool(request.last),
        after=_position(request.after, scope, identity) if request.after else None,
        before=_position(request.before, scope, identity) if request.before else None,
    )


def paged(found: Sequence[T], asked: Window, total: int, place: Callable[[T], Position]) -> Paged[T]:
    """The page made of what `Window.clause` fetched: one row more than the limit means there is more."""
    rows = list(found[: asked.limit])
    more = len(found) > asked.limit
    if asked.backward:
        rows.reverse()
    return Paged(
        rows=rows,
        cursors=[cursor(place(row), asked.scope) for row in rows],
        has_next=asked.before is not None if asked.backward else more,
        has_previous=more if asked.backward else asked.after is not None,
        total=total,
    )


def text_id(value: str) -> str:
    """Accept an id that is plain text; raises ValueError for what no database can hold."""
    if "\0" in value:
        raise ValueError("an id has no NUL")
    return value


def cursor(position: Position, scope: str) -> str:
    """An opaque cursor that only the list `scope` accepts."""
    text = f"{micros(position.at)}.{_mark(scope)}.{position.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(text: str, scope: str, identity: Callable[[str], object]) -> Position:
    if len(text) > _LONGEST_CURSOR:
        raise BadPage("This cursor is not one of ours.")
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        at, mark, row = plain.split(".", 2)
        identity(row)
        position = Position(from_micros(int(at)), row)
    except (ValueError, binascii.Error, OverflowError) as error:
        raise BadPage("This cursor is not one of ours.") from error
    if mark != _mark(scope):
        raise BadPage("This cursor belongs to another list.")
    return position


def _mark(scope: str) -> str:
    return hashlib.sha256(scope.encode()).hexdigest()[:8]
