"""Triggers: what their lines mean, what is refused, and what the node is told in both dialects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import BadTrigger

HEADERS = {
    "x-trigger-uuid": "u-1",
    "x-trigger-unixmillis": "1795425272490",
    "x-instance": "boot",
    "x-pid": "7",
}
HEALTH = {
    "video_H264_640x360_0fps_1": {
        "bframes": False,
        "buffer": 4200,
        "codec": "H264",
        "efpks": 25000,
        "fpks": 0,
        "height": 360,
        "width": 640,
        "jitter": 8,
        "kbits": 636,
        "keys": {"ms_max": 2000, "ms_min": 2000},
    },
    "audio_AAC_2ch_48000hz_2": {
        "buffer": 4202,
        "channels": 2,
        "codec": "AAC",
        "rate": 48000,
        "kbits": 93,
        "jitter": 8,
    },
    "meta_JSON__0": {"codec": "JSON", "type": "meta"},
    "buffer": 4202,
    "tracks": ["meta_JSON__0"],
}


def test_an_empty_last_line_is_a_line() -> None:
    trigger = domain.parse("USER_END", b"a\n\nc\n", HEADERS)
    assert trigger.lines == ("a", "", "c", "")
    assert trigger.field(3) == ""


def test_a_missing_line_is_refused_unless_it_is_optional() -> None:
    trigger = domain.parse("PUSH_REWRITE", b"url", HEADERS)
    with pytest.raises(BadTrigger, match="line 2 is missing"):
        trigger.field(1)
    assert trigger.field(6, "false") == "false"


def test_a_body_that_is_not_text_is_refused() -> None:
    with pytest.raises(BadTrigger):
        domain.parse("USER_NEW", b"\xff\xfe", HEADERS)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_body_parses_or_is_refused(body: bytes, millis: str) -> None:
    try:
        trigger = domain.parse("STREAM_BUFFER", body, {"x-trigger-unixmillis": millis})
    except BadTrigger:
        return
    assert "\n".join(trigger.lines).encode() == body
    assert trigger.unix_millis >= 0


def test_the_same_firing_has_the_same_event_id_and_another_has_another() -> None:
    assert domain.event_id("a", "b") == domain.event_id("a", "b")
    assert domain.event_id("a", "b") != domain.event_id("ab", "")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtmp://127.0.0.1:1935/live/sk_0123456789abcdef0123456789abcdef?x=1", "rtmp://127.0.0.1:1935/live"),
        ("http://user:pass@host:8080/webrtc/sk_0123456789abcdef0123456789abcdef", "http://host:8080/webrtc"),
        ("srt://127.0.0.1/?streamid=sk_0123456789abcdef0123456789abcdef", "srt://127.0.0.1"),
    ],
)
def test_a_push_url_is_kept_without_key_query_and_credentials(url: str, expected: str) -> None:
    assert domain.without_key(url) == expected


def test_a_viewer_is_counted_not_known() -> None:
    today = domain.viewer_hash(b"k", "198.51.100.7", "2026-11-23")
    assert today == domain.viewer_hash(b"k", "198.51.100.7", "2026-11-23")
    assert today != domain.viewer_hash(b"k", "198.51.100.7", "2026-11-24")
    assert today != domain.viewer_hash(b"other", "198.51.100.7", "2026-11-23")
    assert "198" not in today or "198.51" not in today


def test_a_flawless_stream_scores_a_hundred() -> None:
    found = domain.judge(HEALTH, "FULL")
    assert (found.score, found.issues) == (100, ())
    assert found.video is not None
    assert (found.video.fps_milli, found.video.kbits, found.video.keyframe_max_ms) == (25000, 636, 2000)
    assert found.audio is not None
    assert found.audio.channels == 2


def test_each_fault_is_named() -> None:
    video = HEALTH["video_H264_640x360_0fps_1"]
    assert isinstance(video, dict)
    bad = video | {"bframes": True, "kbits": 40, "jitter": 900, "keys": {"ms_max": 10_000, "ms_min": 400}}
    found = domain.judge({"video": bad | {"type": "video"}}, "DRY")
    assert set(found.issues) == {
        "keyframe_interval_long",
        "keyframe_interval_unstable",
        "b_frames",
        "bitrate_low",
        "no_audio",
        "jitter_high",
        "buffer_dry",
    }
    assert found.score == 0


def test_a_minimum_mist_has_not_seen_is_no_number() -> None:
    track = domain.track(
        "video_x", {"codec": "H264", "keys": {"ms_min": 4294967295, "ms_max": 0}, "bps": 125_000}
    )
    assert (track.keyframe_min_ms, track.kbits) == (0, 1000)


def test_a_publisher_is_denied_when_the_handler_is_dead() -> None:
    entry = domain.expected_triggers("http://127.0.0.1:1/x")["PUSH_REWRITE"][0]
    assert (entry["onfail"], entry["sync"], entry["default"]) == ("deny", True, "false")
    assert entry["handler"].endswith("/push_rewrite")
    assert len(entry["handler"]) <= 127


def test_triggers_are_for_every_stream_because_mistservers_read_prefixes_differently() -> None:
    configured = domain.expected_triggers("http://127.0.0.1:1/x")
    assert all(entry["streams"] == [] for entries in configured.values() for entry in entries)


def test_only_triggers_that_are_asked_have_a_refusal_for_a_dead_handler() -> None:
    configured = domain.expected_triggers("http://127.0.0.1:1/x")
    asked = {name for name, [entry] in configured.items() if "onfail" in entry}
    assert asked == {"PUSH_REWRITE", "PLAY_REWRITE", "USER_NEW", "PUSH_OUT_START"}
    assert {name for name, [entry] in configured.items() if entry.get("onfail") == "deny"} == {
        "PUSH_REWRITE",
        "PLAY_REWRITE",
        "USER_NEW",
    }
    assert configured["PUSH_OUT_START"][0]["onfail"] == "keep"
    assert {entry["default"] for name, [entry] in configured.items() if name not in asked} == {"true"}
