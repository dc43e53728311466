"""Keyset pages: cursors that keep the full instant and belong to one list."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.paging import MAX_ROWS, BadPage, Position, Window, cursor, paged, text_id, window

NOW = datetime(2026, 1, 1, 12, 30, 15, 123_456, tzinfo=UTC)
ID = str(UUID(int=5))


@dataclass
class Asked:
    """A page request."""

    first: int = 0
    after: str = ""
    last: int = 0
    before: str = ""


def test_a_cursor_keeps_the_instant_to_the_microsecond() -> None:
    asked = window(Asked(first=1, after=cursor(Position(NOW, ID), "mine")), "mine")
    assert asked.after == Position(NOW, ID)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(BadPage):
        window(Asked(after=cursor(Position(NOW, ID), "mine")), "yours")


@given(st.text(max_size=500))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    if text:
        with pytest.raises(BadPage):
            window(Asked(after=text), "mine")


def test_an_id_of_another_form_is_refused() -> None:
    with pytest.raises(BadPage):
        window(Asked(after=cursor(Position(NOW, "x"), "mine")), "mine")
    with pytest.raises(BadPage):
        window(Asked(after=cursor(Position(NOW, "x\0"), "mine")), "mine", identity=text_id)
    assert window(Asked(after=cursor(Position(NOW, "x"), "mine")), "mine", identity=text_id).after


def test_a_page_has_a_size_and_a_direction() -> None:
    assert window(Asked(), "mine").limit == 50
    assert window(Asked(last=7), "mine").backward
    for asked in (Asked(first=1, last=1), Asked(first=MAX_ROWS + 1)):
        with pytest.raises(BadPage):
            window(asked, "mine")


def test_the_clause_numbers_its_parameters_after_those_of_the_query() -> None:
    asked = Window("mine", limit=2, after=Position(NOW, "b"), before=Position(NOW, "a"))
    text, values = asked.clause(3, at="t.at", id="t.id")
    assert text == (
        " AND (t.at, t.id) < ($3, $4) AND (t.at, t.id) > ($5, $6) ORDER BY t.at DESC, t.id DESC LIMIT $7"
    )
    assert values == [NOW, "b", NOW, "a", 3]


def test_one_row_more_than_asked_for_means_there_is_more() -> None:
    page = paged(["c", "b", "a"], Window("mine", limit=2), 3, lambda row: Position(NOW, row))
    assert (page.rows, page.has_next, page.has_previous) == (["c", "b"], True, False)
    back = paged(["a", "b", "c"], Window("mine", limit=2, backward=True), 3, lambda row: Position(NOW, row))
    assert (back.rows, back.has_next, back.has_previous) == (["b", "a"], False, True)
