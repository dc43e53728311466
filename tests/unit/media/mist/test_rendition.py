"""Parts, segments and playlists of one track, whatever the encoder's frame rate, keyframes and clock are like."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fixtures_mist import AUDIO, VIDEO, boxes, picture, sound
from hypothesis import given, settings
from hypothesis import strategies as st

from frameworks.media.mist.domain import Track
from frameworks.media.mist.hub.rendition import Rendition, Shape
from frameworks.media.mist.protocols.cmaf import Sample

START = datetime(2026, 1, 1, tzinfo=UTC)


def rendition(track: Track = VIDEO, shape: Shape | None = None) -> Rendition:
    """An empty rendition whose stream time is seconds after the new year."""
    return Rendition(
        track, shape or Shape(), leads=True, wall=lambda seconds: START + timedelta(seconds=seconds)
    )


def feed(target: Rendition, seconds: float, *, fps: int = 25, gop: int = 50, start: float = 0.0) -> None:
    """Push a steady encoder's pictures."""
    for index in range(round(start * fps), round((start + seconds) * fps)):
        frame = picture(index, fps=fps, gop=gop)
        target.push(Sample(frame.dts, frame.cts, frame.keyframe, frame.data, 0))


def attributes(playlist: str, tag: str) -> list[str]:
    """The values of every occurrence of a tag."""
    return re.findall(rf"^#{tag}:?(.*)$", playlist, re.MULTILINE)


def number(playlist: str, tag: str, name: str) -> float:
    """A numeric attribute of a tag."""
    found = re.search(rf"^#{tag}:.*?\b{name}=([0-9.]+)", playlist, re.MULTILINE)
    assert found is not None
    return float(found[1])


def check(target: Rendition, playlist: str) -> None:
    """Everything the standard demands that does not depend on the encoder."""
    part_target = number(playlist, "EXT-X-PART-INF", "PART-TARGET")
    assert number(playlist, "EXT-X-SERVER-CONTROL", "PART-HOLD-BACK") >= 3 * part_target - 0.001
    longest = int(attributes(playlist, "EXT-X-TARGETDURATION")[0])
    durations = [float(value.rstrip(",")) for value in attributes(playlist, "EXTINF")]
    assert all(round(duration) <= longest for duration in durations)
    assert number(playlist, "EXT-X-SERVER-CONTROL", "CAN-SKIP-UNTIL") >= 6 * longest
    listed = re.findall(r'#EXT-X-PART:DURATION=([0-9.]+),URI="(\d+)\.(\d+)\.m4s"', playlist)
    for duration, msn, index in listed:
        segment = target.segment(int(msn))
        assert segment is not None
        assert float(duration) <= part_target + 0.00001
        is_last = int(index) == len(segment.parts) - 1 and segment.duration is not None
        assert is_last or float(duration) >= 0.85 * part_target
    hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="(\d+)\.(\d+)\.m4s"', playlist)
    assert hint is not None
    assert (int(hint[1]), int(hint[2])) == target.position


@given(
    fps=st.sampled_from([5, 10, 12, 15, 24, 25, 30, 48, 50, 60, 120]),
    gop_seconds=st.sampled_from([0.5, 1, 2, 3, 5]),
    stamps_in_ms=st.booleans(),
    seconds=st.floats(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_a_steady_encoder_gives_a_valid_playlist(
    fps: int, gop_seconds: float, stamps_in_ms: bool, seconds: float
) -> None:
    target = rendition()
    gop = max(1, round(fps * gop_seconds))
    for index in range(round(seconds * fps)):
        dts = index * 1000 // fps * 90 if stamps_in_ms else index * 90_000 // fps
        target.push(Sample(dts, 0, index % gop == 0, b"x" * 10, 0))
        if target.is_playable:
            check(target, target.playlist().decode())


@given(
    steps=st.lists(st.integers(1, 200_000), min_size=1, max_size=200),
    keyframes=st.sets(st.integers(0, 200), max_size=20),
)
@settings(deadline=None)
def test_an_unsteady_encoder_loses_no_frame(steps: list[int], keyframes: set[int]) -> None:
    target = rendition(shape=Shape(window=10_000))
    dts = 0
    for index, step in enumerate(steps):
        target.push(Sample(dts, 0, index == 0 or index in keyframes, index.to_bytes(2, "big"), 0))
        dts += step
    target.end()
    media, first = b"", target.position[0] - len(_segments(target))
    for msn in range(first, target.position[0]):
        segment = target.segment(msn)
        assert segment is not None
        media += b"".join(dict(boxes(part.data))["/mdat"] for part in segment.parts)
    assert media == b"".join(index.to_bytes(2, "big") for index in range(len(steps)))
    assert target.playlist().endswith(b"#EXT-X-ENDLIST\n")


def _segments(target: Rendition) -> list[int]:
    return [msn for msn in range(target.position[0]) if target.segment(msn) is not None]


def test_segments_start_at_keyframes_after_the_target() -> None:
    target = rendition()
    feed(target, 7.5, gop=25)
    assert [target.segment(msn).duration for msn in range(3)] == [2.0, 2.0, 2.0]  # type: ignore[union-attr]
    segment = target.segment(1)
    assert segment is not None
    assert segment.parts[0].independent
    assert not segment.parts[1].independent


def test_a_whole_part_does_not_wait_for_the_frame_after_it() -> None:
    target = rendition()
    feed(target, 1.0)
    before = target.position[1]
    feed(target, 0.2, start=1.0)
    assert target.position[1] == before + 1
    assert target.position[1] * 6 == 30


def test_a_segment_without_keyframes_is_cut_all_the_same() -> None:
    target = rendition(shape=Shape(longest_segment=4.0))
    feed(target, 9.0, gop=100_000)
    playlist = target.playlist().decode()
    assert "#EXTINF:4.00000," in playlist
    assert "#EXT-X-INDEPENDENT-SEGMENTS" not in playlist


def test_old_segments_leave_the_playlist_first_and_memory_later() -> None:
    target = rendition(shape=Shape(window=6.0, kept=4.0))
    feed(target, 31.0)
    listed = re.findall(r"^(\d+)\.m4s$", target.playlist().decode(), re.MULTILINE)
    assert listed == ["12", "13", "14"]
    assert target.segment(10) is not None
    assert target.segment(9) is None


def test_memory_is_bounded_by_bytes_too() -> None:
    target = rendition(shape=Shape(largest=150_000))
    feed(target, 20.0)
    assert sum(s.size() for msn in range(20) if (s := target.segment(msn))) <= 250_000


def test_a_playlist_is_rendered_once_per_version() -> None:
    target = rendition()
    feed(target, 3.0)
    assert target.playlist() is target.playlist()
    feed(target, 0.5, start=3.0)
    assert target.playlist().count(b"#EXT-X-PART:") > 12


def test_a_delta_update_leaves_out_what_is_old() -> None:
    target = rendition()
    feed(target, 25.0)
    whole, delta = target.playlist().decode(), target.playlist(delta=True).decode()
    skipped = int(number(delta, "EXT-X-SKIP", "SKIPPED-SEGMENTS"))
    assert skipped > 0
    assert len(attributes(whole, "EXTINF")) == len(attributes(delta, "EXTINF")) + skipped
    assert attributes(whole, "EXT-X-MEDIA-SEQUENCE") == attributes(delta, "EXT-X-MEDIA-SEQUENCE")
    assert whole.endswith(delta[delta.rindex("#EXT-X-PRELOAD-HINT") :])


def test_a_waiter_is_woken_by_its_part_and_by_no_earlier_one() -> None:
    target = rendition()
    feed(target, 2.5)
    msn, parts = target.position
    woken: list[int] = []
    target.wait(msn, parts + 1, lambda: woken.append(target.position[1]))
    feed(target, 0.24, start=2.5)
    assert woken == []
    feed(target, 0.5, start=2.74)
    assert woken == [parts + 2]
    assert target.waiting == 0


def test_a_waiter_that_left_is_not_woken() -> None:
    target = rendition()
    feed(target, 2.5)
    woken: list[int] = []
    target.leave(target.wait(target.position[0], target.position[1], lambda: woken.append(1)))
    feed(target, 1.0, start=2.5)
    assert woken == []


def test_a_part_past_the_last_of_a_segment_is_the_first_of_the_next() -> None:
    target = rendition()
    feed(target, 2.04)
    segment = target.segment(0)
    assert segment is not None
    assert target.position == (1, 0)
    assert target.reached(0, len(segment.parts) + 5)
    assert not target.lists(0, len(segment.parts))
    feed(target, 0.5, start=2.04)
    assert target.lists(0, len(segment.parts))


def test_the_end_wakes_everyone() -> None:
    target = rendition()
    feed(target, 2.5)
    woken: list[int] = []
    target.wait(50, 0, lambda: woken.append(1))
    target.end()
    assert woken == [1]


def test_an_interruption_is_a_discontinuity_with_its_own_init() -> None:
    target = rendition()
    feed(target, 4.5)
    target.interrupt(Track(1, VIDEO.codec, VIDEO.init + b"x", 90_000, 1280, 720))
    feed(target, 3.0, start=6.0)
    playlist = target.playlist().decode()
    assert playlist.count("#EXT-X-DISCONTINUITY\n") == 1
    assert attributes(playlist, "EXT-X-MAP") == ['URI="init-0.mp4"', 'URI="init-3.mp4"']
    assert target.init(0) != target.init(3)


def test_a_gone_discontinuity_is_still_counted() -> None:
    target = rendition(shape=Shape(window=6.0, kept=2.0))
    feed(target, 4.5)
    target.interrupt()
    feed(target, 30.0, start=6.0)
    assert attributes(target.playlist().decode(), "EXT-X-DISCONTINUITY-SEQUENCE") == ["1"]


def test_audio_is_cut_where_video_was() -> None:
    target = Rendition(AUDIO, Shape(), leads=False, wall=lambda seconds: START + timedelta(seconds=seconds))
    for index in range(200):
        frame = sound(index)
        if index == 90:
            target.cut_at(2.0)
        target.push(Sample(frame.dts, 0, True, frame.data, 0))
    first = target.segment(0)
    assert first is not None
    assert first.duration == pytest.approx(94 * 1024 / 48_000)


@given(st.integers(1, 5))
def test_the_wall_time_of_a_segment_is_that_of_its_first_frame(count: int) -> None:
    target = rendition()
    feed(target, 2.0 * count + 0.5)
    stamps = attributes(target.playlist().decode(), "EXT-X-PROGRAM-DATE-TIME")
    assert stamps[0] == "2026-01-01T00:00:00.000Z"
    assert stamps[-1] == f"2026-01-01T00:00:{2 * count:02d}.000Z"
