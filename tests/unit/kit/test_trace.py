"""Trace ids survive a round trip and can not be forged into something else."""

from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit import trace

GIVEN = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_valid_trace_is_taken_over() -> None:
    assert trace.accept(f"00-{GIVEN}-00f067aa0ba902b7-01") == GIVEN


@given(st.text())
def test_anything_else_starts_a_new_trace(sent: str) -> None:
    made = trace.accept(sent)
    assert len(made) == 32
    assert int(made, 16)


def test_an_all_zero_trace_is_not_valid() -> None:
    assert trace.accept(f"00-{'0' * 32}-00f067aa0ba902b7-01") != "0" * 32


def test_what_is_sent_is_accepted() -> None:
    assert trace.accept(trace.header(GIVEN)) == GIVEN


def test_a_trace_that_began_elsewhere_holds_for_a_while() -> None:
    with trace.within("a" * 32):
        with trace.within(""):
            assert trace.current.get() is None
        assert trace.here() == "a" * 32
    assert trace.current.get() is None
