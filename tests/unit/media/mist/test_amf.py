"""AMF0 values: round trips, limits, and anything at all as input."""

import contextlib

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from frameworks.media.mist.protocols import amf

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
scalars = st.none() | st.booleans() | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts.filter(bool), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(values, max_size=4))
def test_what_is_encoded_decodes_to_the_same(sequence: list[amf.Value]) -> None:
    try:
        decoded = amf.decode(amf.encode(*sequence))
    except amf.BadAmf:
        reject()
    assert decoded == sequence


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(amf.BadAmf):
        amf.decode(data)


def test_a_long_text_round_trips() -> None:
    assert amf.decode(amf.encode("x" * 70_000)) == ["x" * 70_000]


def test_an_ecma_array_reads_as_its_properties() -> None:
    assert amf.decode(amf.encode_metadata({"width": 1280.0, "stereo": True})) == [
        {"width": 1280.0, "stereo": True}
    ]


def test_typed_objects_dates_and_undefined_are_read() -> None:
    data = bytes.fromhex("10000143 00016105 000009 0b40f86a0000000000 0000 06 0d".replace(" ", ""))
    assert amf.decode(data) == [{"a": None}, 100_000.0, None, None]


def test_nesting_beyond_the_limit_is_refused() -> None:
    deep: amf.Value = None
    for _ in range(amf.MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(amf.BadAmf):
        amf.decode(amf.encode(deep))


def test_an_array_that_claims_millions_of_values_is_refused_at_once() -> None:
    with pytest.raises(amf.BadAmf):
        amf.decode(b"\x0a\xff\xff\xff\xff" + b"\x05" * 100)


def test_references_and_amf3_are_refused() -> None:
    for data in (b"\x07\x00\x00", b"\x11\x01"):
        with pytest.raises(amf.BadAmf):
            amf.decode(data)


def test_text_that_is_not_utf8_is_read_as_latin_1() -> None:
    assert amf.decode(b"\x02\x00\x02a\xe9") == ["aé"]
