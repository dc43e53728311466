"""What a record may carry: the quick look and the rules agree."""

from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.eventlog import HEADER_NAME, HEADER_VALUE, BadRecord, Outgoing

near = st.one_of(
    st.text(st.sampled_from("aN-_ :\t\r\n\x7f\u00e9\u2003"), max_size=5),
    st.sampled_from(["nats-x", "x" * 101]),
)
values = st.one_of(near, st.integers(1022, 1026).map("v".__mul__))


@given(st.dictionaries(st.one_of(near, st.just("tenant_id")), values, max_size=3), values)
def test_a_record_is_refused_exactly_when_a_name_or_a_value_is_bad(
    headers: dict[str, str], dedupe_id: str
) -> None:
    good = all(map(HEADER_NAME.fullmatch, headers)) and all(
        map(HEADER_VALUE.fullmatch, [*headers.values(), dedupe_id])
    )
    try:
        Outgoing("topic", 0, b"", headers, dedupe_id).check()
    except BadRecord:
        assert not good
    else:
        assert good
