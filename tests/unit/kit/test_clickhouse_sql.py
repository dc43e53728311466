"""Tokens of ClickHouse SQL, and where the rows of an INSERT begin."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.clickhouse_sql import InsertHead, Sort, Unreadable, insert_from, insert_head, tokens


def words(sql: str) -> list[str]:
    """The texts of the tokens."""
    return [token.text for token in tokens(sql)]


def test_names_lose_their_quotes_and_comments_vanish() -> None:
    assert words('SELECT `a b`, "c""d" -- e\nFROM f/* g */.h # i') == [
        "SELECT",
        "a b",
        ",",
        'c"d',
        "FROM",
        "f",
        ".",
        "h",
    ]


def test_a_quoted_word_is_no_keyword() -> None:
    assert [token.keyword for token in tokens("format \"format\" 'format'")] == ["FORMAT", "", ""]


def test_text_keeps_semicolons_and_escapes_to_itself() -> None:
    assert [t.sort for t in tokens(r"'a;\'b''c' $x$ '; $x$ ;")] == [Sort.TEXT, Sort.TEXT, Sort.SIGN]


@pytest.mark.parametrize("sql", ["'open", '"open', "`open", "/* open", "a \\ b", "$x$ open"])
def test_what_is_never_closed_can_not_be_read(sql: str) -> None:
    with pytest.raises(Unreadable):
        words(sql)


@pytest.mark.parametrize(
    ("sql", "head"),
    [
        ("INSERT INTO t FORMAT Native\n\n ", InsertHead("INSERT INTO t ", "Native", 28)),
        (
            "insert into t (`a FORMAT b`, format) format CSV  1",
            InsertHead("insert into t (`a FORMAT b`, format) ", "CSV", 49),
        ),
        ("INSERT INTO t SETTINGS a = 1 FORMAT X\r\n1", InsertHead("INSERT INTO t SETTINGS a = 1 ", "X", 39)),
        ("/* c */ INSERT INTO t FORMAT X'", InsertHead("/* c */ INSERT INTO t ", "X", 30)),
        ("INSERT INTO t SELECT 1 FORMAT X", None),
        ("INSERT INTO t WITH 1 AS x SELECT x", None),
        ("INSERT INTO t VALUES ('FORMAT X')", None),
        ("SELECT 1 FORMAT Native", None),
        ("", None),
    ],
)
def test_rows_begin_after_the_format_and_one_line_end(sql: str, head: InsertHead | None) -> None:
    assert insert_head(sql) == head


@given(st.text(max_size=200))
def test_any_text_is_either_read_in_order_or_refused(sql: str) -> None:
    try:
        found = list(tokens(sql))
    except Unreadable:
        return
    assert all(one.end <= two.start for one, two in pairwise(found))


@given(st.text(), st.binary(max_size=50))
def test_a_text_literal_is_one_token_whatever_it_holds(text: str, rows: bytes) -> None:
    literal = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    assert [token.sort for token in tokens(literal)] == [Sort.TEXT]
    head = f"INSERT INTO t SELECT {literal} FORMAT X\n"
    assert insert_head(head + rows.decode("latin-1")) is None


@pytest.mark.parametrize(
    ("statement", "whole"),
    [
        ("INSERT INTO t", "INSERT INTO t FROM INFILE '/f'"),
        ("INSERT INTO t (a) SETTINGS x = 1 ", "INSERT INTO t (a)  FROM INFILE '/f' SETTINGS x = 1 "),
        ("INSERT INTO settings (a)", "INSERT INTO settings (a) FROM INFILE '/f'"),
        ("INSERT INTO t (`settings`) ", "INSERT INTO t (`settings`)  FROM INFILE '/f'"),
    ],
)
def test_rows_in_a_file_are_named_before_the_settings(statement: str, whole: str) -> None:
    assert insert_from(statement, "/f") == whole
