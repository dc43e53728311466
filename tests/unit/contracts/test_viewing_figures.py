"""What viewing comes to: ratios of sums, and nothing guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.contracts.viewing import WATCHED_BUCKET, Viewing, first_frame_ms, left_before_start, watched


def test_ratios_are_sums_over_sums() -> None:
    viewing = Viewing(
        sessions=4,
        played_ms=3_600_000,
        stalled_ms=400_000,
        stalls=8,
        frames_decoded=990,
        frames_dropped=10,
        bitrate_ms=3_600_000 * 2500,
        switches=6,
        latency_ms_sum=9000,
        latency_samples=3,
        failed=1,
        left_before_start=2,
    )
    assert viewing.rebuffer_ratio == pytest.approx(0.1)
    assert (viewing.played_hours, viewing.stalls_per_hour, viewing.stall_ms) == (1.0, 8.0, 50_000)
    assert (viewing.drop_ratio, viewing.failure_rate, viewing.exits_before_start) == (0.01, 0.25, 0.5)
    assert (viewing.bitrate_bps, viewing.switches_per_hour, viewing.latency_ms) == (2_500_000, 6.0, 3000.0)


def test_of_nothing_every_ratio_is_nought() -> None:
    viewing = Viewing()
    assert viewing.rebuffer_ratio == viewing.drop_ratio == viewing.exits_before_start == 0.0
    assert viewing.bitrate_bps == viewing.stalls_per_hour == viewing.latency_ms == 0.0


def test_the_first_frame_is_counted_from_the_wish() -> None:
    assert first_frame_ms(1000.0, 1850.4) == 850
    assert first_frame_ms(1000.0, 1000.2) == 1
    assert first_frame_ms(0, 1850) == 0
    assert first_frame_ms(2000, 1000) == 0


def test_only_who_wished_and_saw_nothing_and_met_no_error_left_before_the_start() -> None:
    assert left_before_start(final=True, wished=True, shown=False, failed=False)
    assert not left_before_start(final=False, wished=True, shown=False, failed=False)
    assert not left_before_start(final=True, wished=False, shown=False, failed=False)
    assert not left_before_start(final=True, wished=True, shown=True, failed=False)
    assert not left_before_start(final=True, wished=True, shown=False, failed=True)


def test_seconds_of_other_widths_land_in_tens() -> None:
    assert watched(5, {0: 5, 1: 3, 3: 2}) == [8, 2]
    assert watched(30, {0: 30}) == [10, 10, 10]
    assert watched(10, {}) == []


@given(
    st.integers(min_value=1, max_value=120),
    st.dictionaries(st.integers(0, 50), st.floats(0, 600), max_size=10),
)
def test_spreading_keeps_the_sum_to_a_second(width: int, parts: dict[int, float]) -> None:
    found = watched(width, parts)
    assert abs(sum(found) - sum(parts.values())) <= 1
    assert len(found) <= 51 * width // WATCHED_BUCKET + 1
    assert all(seconds >= 0 for seconds in found)
