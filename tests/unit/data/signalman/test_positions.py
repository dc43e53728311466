"""Positions: what is written is read, by the same tenant in the same epoch only, and nothing else is."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from frameworks.data.signalman.domain import positions

A, B = UUID(int=1), UUID(int=2)
PLACES = st.builds(positions.key, st.integers(0, 2**60), st.integers(0, 2**20 - 1))


@given(st.lists(PLACES, min_size=1, max_size=16))
def test_a_position_is_read_as_it_was_written(places: list[int]) -> None:
    sealed = positions.seal("epoch", len(places), A)
    assert positions.read(positions.write(sealed, places), sealed, len(places)) == tuple(places)


@given(st.text(max_size=80))
def test_other_text_is_no_position(text: str) -> None:
    assert positions.read(text, positions.seal("epoch", 2, A), 2) is None


def test_a_position_is_of_one_tenant_one_epoch_and_one_number_of_partitions() -> None:
    mine = positions.seal("epoch", 2, A)
    written = positions.write(mine, (positions.key(1), positions.key(2)))
    others = [positions.seal("epoch", 2, B), positions.seal("later", 2, A), positions.seal("epoch", 3, A)]
    assert len({mine, *others}) == 4
    assert all(positions.read(written, other, 2) is None for other in others)
    assert positions.read(written, mine, 3) is None


def test_a_position_fits_into_a_small_message() -> None:
    written = positions.write(positions.seal("e", 32, A), [positions.key(2**40, 2**19)] * 32)
    assert len(written) < positions.LONGEST
