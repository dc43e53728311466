"""Structured fields: what RFC 9651 says, and that no text does worse than be refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.structured_fields import BadField, Member, Token, dictionary


def test_items_keep_their_types() -> None:
    found = dictionary('a=1, b=-2.5, c="x\\"y\\\\", d=tok/en, e, f=?0')
    values = {key: member.value for key, member in found.items()}
    assert values == {"a": 1, "b": Decimal("-2.5"), "c": 'x"y\\', "d": "tok/en", "e": True, "f": False}
    assert isinstance(values["d"], Token)
    assert not isinstance(values["c"], Token)


def test_inner_lists_keep_their_parameters() -> None:
    found = dictionary("br=(2500;v 128;a=1);x,e=()")
    assert found["br"] == Member(((2500, {"v": True}), (128, {"a": 1})), is_list=True)
    assert found["e"].items == ()


def test_the_last_of_a_name_counts() -> None:
    assert dictionary("a=1,a=2")["a"].value == 2


@pytest.mark.parametrize(
    "text",
    [
        "a=",
        "a=1,",
        ",a",
        "A=1",
        'a="',
        'a="\\x"',
        "a=(1",
        "a=(1,2)",
        "a=1234567890123456",
        "a=1.2345",
        "a=?2",
        "a=1;",
        "a b",
        "ä=1",
        'a="ä"',
        "a=--1",
        "a=1.",
        "a=(1 2",
        "=1",
        "a=(1)2",
    ],
)
def test_what_is_no_dictionary_is_refused(text: str) -> None:
    with pytest.raises(BadField):
        dictionary(text)


def test_a_flood_is_refused() -> None:
    with pytest.raises(BadField):
        dictionary(",".join(f"a{n}=1" for n in range(1000)))
    with pytest.raises(BadField):
        dictionary(f"a=({' '.join('1' for _ in range(1000))})")
    with pytest.raises(BadField):
        dictionary("a=1" + "".join(f";p{n}" for n in range(1000)))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = dictionary(text)
    except BadField:
        return
    assert all(member.items or member.is_list for member in found.values())


@given(st.text(alphabet='abc=(),;" \\?.-019:*', max_size=80))
def test_text_that_looks_like_a_field_is_read_or_refused(text: str) -> None:
    try:
        dictionary(text)
    except BadField:
        return


KEYS = st.from_regex(r"[a-z*][a-z0-9_\-.*]{0,8}", fullmatch=True)
STRINGS = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
NUMBERS = st.integers(min_value=-(10**15) + 1, max_value=10**15 - 1)


@given(st.dictionaries(KEYS, st.one_of(STRINGS, NUMBERS, st.booleans()), max_size=8))
def test_what_is_written_is_read_again(values: dict[str, str | int | bool]) -> None:
    def written(value: str | int | bool) -> str:
        if isinstance(value, bool):
            return f"?{int(value)}"
        if isinstance(value, int):
            return str(value)
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    text = ", ".join(f"{key}={written(value)}" for key, value in values.items())
    assert {key: member.value for key, member in dictionary(text).items()} == values
