"""Answers of several stores: every figure and list is either merged by a rule or refused."""

from collections.abc import Mapping
from typing import Any

import pytest

from frameworks.data.periscope.service.by_store import FIGURES, LISTS, NotMerged, merged, sorted_page
from frameworks.data.periscope.service.history import Figure, Listed
from frameworks.data.periscope.store.history import _FIGURES
from frameworks.kit.paging import Paged, Window

Row = Mapping[str, Any]


def test_the_only_store_with_rows_speaks_for_itself() -> None:
    silent, told = [{"viewers": 0, "countries": {}}], [{"viewers": 3, "countries": {"BE": 3}}]
    assert merged(Figure.VIEWERS, [silent, told, []], of_stream=False) == told
    assert merged(Figure.VIEWERS, [silent, silent], of_stream=False) == silent


@pytest.mark.parametrize("figure", sorted(set(Figure) - FIGURES.keys(), key=str))
def test_a_figure_without_a_rule_is_refused_when_two_stores_have_it(figure: Figure) -> None:
    with pytest.raises(NotMerged):
        merged(figure, [[{"n": 1}], [{"n": 2}]], of_stream=True)


@pytest.mark.parametrize("figure", sorted(FIGURES, key=str))
def test_a_rule_names_only_columns_of_its_figure(figure: Figure) -> None:
    rule = FIGURES[figure]
    named = {*rule.key, *rule.sums, *rule.most, *rule.same, *rule.of_stream, *(n for n, _ in rule.order)}
    assert all(name in _FIGURES[figure] for name in named)


def test_rows_of_one_key_are_refused_where_no_rule_adds_them() -> None:
    one, other = {"stream_id": "a", "unique_viewers": 1}, {"stream_id": "a", "unique_viewers": 2}
    with pytest.raises(NotMerged, match="unique_viewers"):
        merged(Figure.SUMMARIES, [[one], [other]], of_stream=False)
    apart = merged(Figure.SUMMARIES, [[other], [{**one, "stream_id": "b"}]], of_stream=False)
    assert [row["stream_id"] for row in apart] == ["a", "b"]


def test_a_count_of_streams_is_merged_for_one_stream_only() -> None:
    row = dict.fromkeys(sorted(FIGURES[Figure.LIFECYCLE].sums), 2) | {"total_streams": 1}
    (both,) = merged(Figure.LIFECYCLE, [[row], [row]], of_stream=True)
    assert (both["total_views"], both["total_streams"]) == (4, 1)
    with pytest.raises(NotMerged, match="total_streams"):
        merged(Figure.LIFECYCLE, [[row], [row]], of_stream=False)


def test_hours_come_in_order_of_hour_then_cluster() -> None:
    rows = [{"hour_at": at, "cluster_id": name, "n": 1} for at in (2, 1) for name in ("b", "a")]
    found = merged(Figure.USAGE, [rows[:2], rows[2:]], of_stream=False)
    assert [(row["hour_at"], row["cluster_id"]) for row in found] == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]


def test_lists_whose_rows_may_be_in_two_stores_are_not_merged() -> None:
    shared = {Listed.STREAM_DAYS, Listed.TENANT_DAYS, Listed.VIEWER_HOURS, Listed.GEO_HOURS}
    assert not shared & LISTS


def page(places: list[int], *, more: bool = False, backward: bool = False) -> Paged[Row]:
    """A page of one store, newest first."""
    rows = [{"at": at, "id": str(at)} for at in sorted(places, reverse=True)]
    return Paged(rows, ["" for _ in rows], more and not backward, more and backward, len(rows) + 10 * more)


def test_a_page_says_that_there_is_more_when_any_store_has_more() -> None:
    part = Window("s", limit=3)
    found = sorted_page([page([9, 7, 5]), page([8])], part)
    assert [row["at"] for row in found.rows] == [9, 8, 7]
    assert (found.has_next, found.total) == (True, 4)
    assert sorted_page([page([9, 8, 7], more=True), page([1])], part).has_next
    assert not sorted_page([page([9, 8]), page([1])], part).has_next


def test_a_page_read_backward_takes_the_oldest_of_all_stores() -> None:
    part = Window("s", limit=2, backward=True)
    found = sorted_page([page([9, 7], backward=True), page([8, 1], backward=True, more=True)], part)
    assert [row["at"] for row in found.rows] == [7, 1]
    assert found.has_previous
