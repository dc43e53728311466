"""Pushes and recordings: told once, with their ends, after their stream, and without anybody's credentials."""

import json

import pytest
from helmsman_fakes import INTERNAL, RUNTIME, Platform, push, trigger
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.clock import FakeClock
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.domain import Action, BadTrigger
from frameworks.media.helmsman.service import targets
from frameworks.media.helmsman.service.outputs import Outputs
from frameworks.media.helmsman.service.publishing import Publishing

TARGET = "rtmps://joe:hunter22@host.example:443/live2/abcd-efgh?token=t0psecret"
SHOWN = "rtmps://host.example:443/live2/…"
LIST = "/rec/segments/$minute_$segmentCounter.ts#m3u8=../show.m3u8&split=4&append=1"


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def outputs(platform: Platform) -> Outputs:
    clock = FakeClock()
    publishing = Publishing(platform, platform, platform, platform, Geo(None), clock)
    await publishing.admit(push())
    platform.facts.clear()
    return Outputs(publishing, platform, clock)


def test_a_push_to_anywhere_tells_where_but_not_as_whom() -> None:
    shown = {
        TARGET: SHOWN,
        "rtmp://live.example/app/KEY/more": "rtmp://live.example/app/…",
        "rtmp://live.example/KEY1234": "rtmp://live.example",
        "srt://h:9000?streamid=secret&passphrase=p": "srt://h:9000",
        "https://whip.example/w/TOKEN": "https://whip.example/w/…",
        "s3://id:secret@s3.example/bucket/file.mkv": "s3://s3.example/bucket/…",
        "rtmp://[::1": "",
        "rtmp://h:99999/x/y": "",
    }
    assert {target: targets.without_credentials(target) for target in shown} == shown


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_target_and_no_sentence_breaks_the_redaction(target: str, text: str) -> None:
    assert len(targets.without_credentials(target)) <= targets.MAX_TARGET
    targets.scrubbed(text, target)
    targets.recording_path(target)


def test_what_the_node_says_of_a_push_is_told_without_its_secrets() -> None:
    said = f"Push to {TARGET} ended: abcd-efgh of joe:hunter22 was refused (t0psecret)"
    told = targets.scrubbed(said, TARGET)
    for secret in ("abcd-efgh", "hunter22", "t0psecret"):
        assert secret not in told
    assert told.startswith(f"Push to {SHOWN}")


async def test_a_push_goes_where_it_was_meant_to(platform: Platform, outputs: Outputs) -> None:
    verdict = await outputs.starting(trigger("PUSH_OUT_START", RUNTIME, TARGET))
    assert (verdict.action, verdict.body) == (Action.KEEP, TARGET)
    (fact,) = platform.facts
    assert (fact.kind, fact.body) == (
        "push-lifecycle",
        {"state": "starting", "target": SHOWN, "protocol": "RTMP"},
    )
    assert fact.subject.attribution == "attr-ingest"


def push_end(bytes_sent: int, *lines: tuple[str, str], target: str = TARGET, uuid: str = "e-1") -> list[str]:
    """The lines of a PUSH_END."""
    said = [[1, kind, text, RUNTIME, "7", "MistOutRTMP", ""] for kind, text in lines]
    status = {"active_ms": 2500, "bytes": bytes_sent}
    return ["77", RUNTIME, target, target, json.dumps(said), json.dumps(status)]


async def test_a_push_ends_well_or_fails(platform: Platform, outputs: Outputs) -> None:
    await outputs.push_ended(trigger("PUSH_END", *push_end(900, ("INFO", "bye"))))
    await outputs.push_ended(trigger("PUSH_END", *push_end(900, ("FAIL", "no abcd-efgh")), uuid="u-2"))
    await outputs.push_ended(trigger("PUSH_END", *push_end(0), uuid="u-3"))
    told = [(fact.body["state"], fact.body["reason"], fact.body["detail"]) for fact in platform.facts]
    assert told == [("ended", "", ""), ("failed", "FAIL", "no …"), ("failed", "NOTHING_SENT", "")]
    assert platform.facts[0].body["duration_ms"] == 2500
    assert platform.facts[0].body["push_id"] == "77"
    assert len({fact.event_id for fact in platform.facts}) == 3


async def test_a_recording_in_segments_is_one_recording(platform: Platform, outputs: Outputs) -> None:
    await outputs.starting(trigger("PUSH_OUT_START", RUNTIME, LIST))
    for number in range(3):
        segment = f"/rec/segments/18_{number}.ts"
        await outputs.segment(
            trigger("RECORDING_SEGMENT", RUNTIME, segment, "4000", "0", "4000", uuid=f"s{number}")
        )
    end = ["EBML", "70", "4", "1795425490", "1795425502", "12000", "0", "12000", "CLEAN_SIGNAL", "stopped"]
    await outputs.recorded(trigger("RECORDING_END", RUNTIME, "/rec/show.m3u8", *end, uuid="end"))
    assert [fact.body["state"] for fact in platform.facts] == ["started", *["progress"] * 3, "ready"]
    assert len({fact.body["artifact"] for fact in platform.facts}) == 1
    last = platform.facts[-1].body
    assert (last["segments"], last["media_ms"], last["bytes"]) == (3, 12000, 0)
    assert (last["file"], last["format"]) == ("show.m3u8", "m3u8")
    assert last["started_at"] == 1795425490 * 1_000_000


async def test_a_segment_told_twice_counts_once(platform: Platform, outputs: Outputs) -> None:
    said = trigger("RECORDING_SEGMENT", RUNTIME, "/rec/a.ts", "4000", "0", "4000")
    await outputs.segment(said)
    await outputs.segment(said)
    first, second = platform.facts
    assert (first.event_id, first.body) == (second.event_id, second.body)


async def test_a_recording_that_broke_off_has_failed(platform: Platform, outputs: Outputs) -> None:
    end = ["EBML", "70", "4", "0", "0", "0", "0", "0", "WRITE_FAILURE", "disk full at /rec/a.mkv"]
    await outputs.recorded(trigger("RECORDING_END", RUNTIME, "/rec/a.mkv", *end))
    (fact,) = platform.facts
    assert (fact.body["state"], fact.body["reason"], fact.body["bytes"]) == ("failed", "WRITE_FAILURE", 70)


async def test_what_ends_after_its_stream_still_has_an_owner(platform: Platform) -> None:
    publishing = Publishing(platform, platform, platform, platform, Geo(None), FakeClock())
    outputs = Outputs(publishing, platform, FakeClock())
    await publishing.admit(push())
    publishing.publishers[INTERNAL].connected = False
    await publishing.ended(trigger("STREAM_END", RUNTIME, "1", "1", "1"))
    assert INTERNAL not in publishing.publishers
    platform.facts.clear()
    await outputs.push_ended(trigger("PUSH_END", *push_end(5)))
    assert [fact.subject.attribution for fact in platform.facts] == ["attr-ingest"]


async def test_streams_of_nobody_leave_no_trace(platform: Platform, outputs: Outputs) -> None:
    for stream in ("live+" + "b" * 32, "vod+x", ""):
        verdict = await outputs.starting(trigger("PUSH_OUT_START", stream, TARGET))
        assert verdict.action is Action.KEEP
    assert platform.facts == []


async def test_a_status_that_is_no_json_is_a_bad_trigger(outputs: Outputs) -> None:
    with pytest.raises(BadTrigger):
        await outputs.push_ended(trigger("PUSH_END", "77", RUNTIME, TARGET, TARGET, "[", "{}"))
