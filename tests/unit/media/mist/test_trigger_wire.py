"""MistServer's trigger protocol: what is configured, sent, and made of an answer."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.media.mist.protocols.trigger import (
    Action,
    Answer,
    BadTriggers,
    Firing,
    Handler,
    Verdict,
    WrongAnswer,
    after_failure,
    handlers_of,
    read_answer,
)

NOW = datetime(2026, 11, 23, 9, 14, 32, 490_000, tzinfo=UTC)


def entry(**changes: Any) -> dict[str, Any]:
    """A handler as the API takes it."""
    return {"handler": "http://127.0.0.1:18007/webhooks/mist/x", "sync": True, "streams": []} | changes


def test_a_request_is_what_mistserver_sends() -> None:
    firing = Firing(
        "PUSH_REWRITE",
        ["rtmp://h/live/key", "127.0.0.1", "key"],
        *("5e688da3-304a-499d-800f-d6f00fa7d6f0", NOW, 3844, "pWUihmCLVw`z{Yab", "node-1", "1.0"),
    )
    assert firing.request("http://127.0.0.1:18007/webhooks/mist/push_rewrite", 2, NOW).decode() == (
        "POST /webhooks/mist/push_rewrite HTTP/1.1\r\n"
        "Accept: */*\r\n"
        "Content-Length: 31\r\n"
        "Content-Type: text/plain\r\n"
        "Date: Mon, 23 Nov 2026 09:14:32 +0000\r\n"
        "Host: 127.0.0.1:18007\r\n"
        "User-Agent: MistServer/1.0\r\n"
        "X-Attempt: 2\r\n"
        "X-Instance: pWUihmCLVw`z{Yab\r\n"
        "X-Name: node-1\r\n"
        "X-PID: 3844\r\n"
        "X-Trigger: PUSH_REWRITE\r\n"
        "X-Trigger-UUID: 5e688da3-304a-499d-800f-d6f00fa7d6f0\r\n"
        "X-Trigger-UnixMillis: 1795425272490\r\n"
        "X-Version: 1.0\r\n\r\n"
        "rtmp://h/live/key\n127.0.0.1\nkey"
    )


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_a_field_can_not_become_two_lines(lines: list[str]) -> None:
    firing = Firing(
        "USER_END", [line.encode(errors="ignore").decode() for line in lines], "u", NOW, 1, "i", "", "v"
    )
    body = firing.request("http://h/", 1, NOW).partition(b"\r\n\r\n")[2]
    assert body.count(b"\n") == len(lines) - 1
    assert b"X-Name" not in firing.request("http://h/", 1, NOW)


@pytest.mark.parametrize(
    ("trigger", "typed", "body", "action", "value"),
    [
        ("PUSH_REWRITE", None, "live+a", Action.VALUE, "live+a"),
        ("PUSH_REWRITE", None, "", Action.DENY, ""),
        ("PUSH_REWRITE", None, "false", Action.VALUE, "false"),
        ("PUSH_REWRITE", "value", "live+a", Action.VALUE, "live+a"),
        ("PUSH_REWRITE", "deny", "live+a", Action.DENY, "live+a"),
        ("PLAY_REWRITE", "keep", "", Action.KEEP, ""),
        ("STREAM_SOURCE", None, "", Action.USE_CONFIGURED, ""),
        ("STREAM_SOURCE", None, "push://", Action.VALUE, "push://"),
        ("STREAM_SOURCE", None, "offline:drained", Action.OFFLINE, ""),
        ("STREAM_SOURCE", "offline", "x", Action.OFFLINE, "x"),
        ("STREAM_SOURCE", "use-configured", "", Action.USE_CONFIGURED, ""),
        ("USER_NEW", None, "true", Action.VALUE, "true"),
        ("USER_NEW", None, "1", Action.VALUE, "1"),
        ("USER_NEW", None, "false", Action.DENY, "false"),
        ("USER_NEW", None, "", Action.DENY, ""),
        ("USER_NEW", "value", "true", Action.VALUE, "true"),
        ("USER_NEW", "value", "false", Action.DENY, "false"),
        ("USER_NEW", "deny", "true", Action.DENY, "true"),
    ],
)
def test_both_dialects_are_understood(
    trigger: str, typed: str | None, body: str, action: Action, value: str
) -> None:
    verdict = read_answer(trigger, typed, "", body)
    assert (verdict.action, verdict.value) == (action, value)


@pytest.mark.parametrize(
    ("trigger", "typed"),
    [("USER_NEW", "keep"), ("PUSH_REWRITE", "offline"), ("STREAM_SOURCE", "deny"), ("PLAY_REWRITE", "allow")],
)
def test_a_wrong_action_is_a_failure(trigger: str, typed: str) -> None:
    with pytest.raises(WrongAnswer):
        read_answer(trigger, typed, "", "x")


def test_without_onfail_and_default_a_failure_means_true() -> None:
    assert after_failure("PUSH_REWRITE", Handler("http://h/")) == Verdict(Action.VALUE, "true", failed=True)
    assert after_failure("USER_NEW", Handler("http://h/")).action is Action.VALUE


def test_onfail_wins_over_default() -> None:
    handler = Handler("http://h/", default="live+a", onfail=Action.DENY)
    assert after_failure("PUSH_REWRITE", handler).action is Action.DENY
    assert after_failure("PUSH_REWRITE", Handler("http://h/", default="live+a")).value == "live+a"


def test_handlers_are_read_and_given_back() -> None:
    configured = {"PUSH_REWRITE": [entry(streams=["live+"], onfail="deny", params="", default="false")]}
    found = handlers_of(configured)
    assert [handler.as_json() for handler in found["PUSH_REWRITE"]] == configured["PUSH_REWRITE"]


@pytest.mark.parametrize(
    "configured",
    [
        [],
        {"NOT_A_TRIGGER": []},
        {"USER_NEW": {}},
        {"USER_NEW": ["x"]},
        {"USER_NEW": [entry(handler="/bin/sh")]},
        {"USER_NEW": [entry(handler="file:///etc/passwd")]},
        {"USER_NEW": [entry(handler="http://h/" + "a" * 127)]},
        {"USER_NEW": [entry(streams=["a" * 300])]},
        {"USER_NEW": [entry(onfail="keep")]},
        {"USER_NEW": [entry()] * 20},
    ],
)
def test_a_wrong_configuration_is_refused(configured: object) -> None:
    with pytest.raises(BadTriggers):
        handlers_of(configured)


def test_an_onfail_of_an_asynchronous_trigger_is_refused_in_mistservers_words() -> None:
    with pytest.raises(BadTriggers, match="Invalid onfail action 'deny' for USER_END trigger"):
        handlers_of({"USER_END": [entry(onfail="deny")]})


@pytest.mark.parametrize(
    ("streams", "name", "covered"),
    [
        ((), "anything", True),
        (("live+",), "live+abc", True),
        (("live+",), "vod+abc", False),
        (("live",), "live+abc", False),
        (("live+*b",), "live+ab", True),
        (("!live+x",), "live+x", False),
        (("!live+x",), "live+y", True),
        (("live+", "!live+x"), "live+x", False),
    ],
)
def test_handlers_choose_their_streams(streams: tuple[str, ...], name: str, covered: bool) -> None:
    assert Handler("http://h/", streams=streams).covers(name) is covered


@given(st.binary(max_size=500))
def test_a_garbled_answer_is_a_wrong_answer(data: bytes) -> None:
    answer = Answer()
    try:
        answer.feed(data)
        answer.feed(b"")
    except WrongAnswer:
        return
    assert answer.done


def test_an_endless_answer_is_cut_off() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises(WrongAnswer):
        answer.feed(b"x" * 100_000)
