"""Timestamps: wraps, jumps, drifts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from frameworks.media.mist.protocols.timing import STEP_MS, AudioClock, Timeline, VideoClock

VIDEO, AUDIO = 1, 2


def test_timestamps_go_on_past_32_bits() -> None:
    timeline = Timeline()
    moments = [
        timeline.at(VIDEO, stamp & 0xFFFFFFFF) for stamp in range(0xFFFFFFFF - 100, 0xFFFFFFFF + 101, 40)
    ]
    assert [b - a for a, b in pairwise(moments)] == [40] * 5
    assert timeline.jumps == 0


def test_a_jump_back_moves_both_tracks_by_the_same_amount() -> None:
    timeline = Timeline()
    timeline.at(AUDIO, 59_980)
    timeline.at(VIDEO, 60_000)
    assert timeline.at(VIDEO, 0) == 60_000 + STEP_MS
    assert timeline.at(AUDIO, 10) == 60_030
    assert timeline.at(VIDEO, 40) == 60_060
    assert timeline.jumps == 1


def test_frames_of_the_old_clock_interleaved_after_a_jump_keep_their_times() -> None:
    timeline = Timeline()
    timeline.at(VIDEO, 60_000)
    timeline.at(AUDIO, 60_000)
    timeline.at(VIDEO, 0)
    assert timeline.at(AUDIO, 60_021) == 60_021
    assert timeline.at(VIDEO, 40) == 60_060
    assert timeline.at(AUDIO, 22) == 60_042
    assert timeline.jumps == 1


def test_a_gap_of_some_seconds_is_kept() -> None:
    timeline = Timeline()
    timeline.at(VIDEO, 1_000)
    assert timeline.at(VIDEO, 16_000) == 16_000


def test_a_jump_of_hours_is_closed() -> None:
    timeline = Timeline()
    timeline.at(VIDEO, 1_000)
    assert timeline.at(VIDEO, 7_200_000) == 1_000 + STEP_MS


@given(st.lists(st.tuples(st.sampled_from([VIDEO, AUDIO]), st.integers(0, 0xFFFFFFFF)), max_size=60))
def test_times_stay_near_each_other_whatever_is_stamped(stamps: list[tuple[int, int]]) -> None:
    timeline, video = Timeline(), VideoClock()
    last = -1
    for track, stamp in stamps:
        moment = timeline.at(track, stamp)
        assert moment >= 0
        if track == VIDEO:
            dts = video.dts(moment)
            assert dts > last
            last = dts


def test_equal_video_stamps_still_rise() -> None:
    clock = VideoClock()
    assert [clock.dts(moment) for moment in (10, 10, 11)] == [900, 901, 990]


def test_audio_counts_samples_and_ignores_rounding() -> None:
    clock = AudioClock(44_100)
    moments = [clock.dts(index * 1024 * 1000 // 44_100, 1024) for index in range(500)]
    assert [b - a for a, b in pairwise(moments)] == [1024] * 499
    assert clock.resyncs == 0


def test_audio_that_lost_frames_is_set_to_its_stamp() -> None:
    clock = AudioClock(48_000)
    clock.dts(0, 1024)
    assert clock.dts(500, 1024) == 24_000
    assert clock.dts(521, 1024) == 25_024
    assert clock.resyncs == 1


def test_audio_ahead_of_its_stamps_never_runs_back() -> None:
    clock = AudioClock(48_000)
    first = clock.dts(1_000, 1024)
    assert clock.dts(0, 1024) == first + 1
