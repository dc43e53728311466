"""The socket's state machine: what it says, when it closes, and that no message breaks it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.control.bridge.transport import socket as ws
from frameworks.control.bridge.transport.request import Request

INIT = json.dumps({"type": "connection_init", "payload": {"Authorization": "Bearer t"}})


def subscribe(id: str = "1", query: str = "subscription { x }") -> str:
    return json.dumps({"id": id, "type": "subscribe", "payload": {"query": query}})


def ready(limits: ws.Limits | None = None) -> ws.Socket:
    socket = ws.Socket(0.0, limits)
    socket.receive(INIT)
    socket.accepted()
    return socket


def code(actions: list[ws.Action]) -> int:
    assert isinstance(actions[-1], ws.Close)
    return actions[-1].code


def test_an_init_asks_for_authentication_and_is_acknowledged() -> None:
    socket = ws.Socket(0.0)
    assert socket.receive(INIT) == [ws.Authenticate({"Authorization": "Bearer t"})]
    assert socket.accepted() == [ws.Send({"type": "connection_ack"})]


def test_an_operation_runs_from_subscribe_to_complete() -> None:
    socket = ready()
    assert socket.receive(subscribe()) == [ws.Start("1", Request("subscription { x }"))]
    assert socket.next("1", {"data": 1}) == [ws.Send({"id": "1", "type": "next", "payload": {"data": 1}})]
    assert socket.complete("1") == [ws.Send({"id": "1", "type": "complete"})]
    assert socket.next("1", {"data": 2}) == []


def test_a_client_that_completes_hears_no_more() -> None:
    socket = ready()
    socket.receive(subscribe())
    assert socket.receive('{"id":"1","type":"complete"}') == [ws.Stop("1")]
    assert socket.next("1", {}) == []
    assert socket.complete("1") == []
    assert socket.error("1", []) == []


def test_a_reason_fits_a_close_frame() -> None:
    socket = ready()
    socket.receive(subscribe("€" * 64))
    (close,) = socket.receive(subscribe("€" * 64))
    assert isinstance(close, ws.Close)
    assert len(close.reason.encode()) <= 123


@pytest.mark.parametrize("id", ["\\ud800", "\\udfff\\ud800"])
def test_half_a_character_is_no_id(id: str) -> None:
    message = f'{{"id":"{id}","type":"subscribe","payload":{{"query":"x"}}}}'
    assert code(ready().receive(message)) == ws.BAD_MESSAGE


def test_a_finished_id_may_be_used_again() -> None:
    socket = ready()
    socket.receive(subscribe())
    socket.complete("1")
    assert socket.receive(subscribe()) == [ws.Start("1", Request("subscription { x }"))]


def test_a_bad_token_closes_as_forbidden() -> None:
    socket = ws.Socket(0.0)
    socket.receive(INIT)
    assert code(socket.rejected()) == ws.FORBIDDEN


def test_credentials_that_can_not_be_checked_close_as_busy() -> None:
    socket = ws.Socket(0.0)
    socket.receive(INIT)
    assert code(socket.rejected(busy=True)) == ws.BUSY


def test_a_second_init_is_too_many() -> None:
    assert code(ready().receive(INIT)) == ws.TOO_MANY


def test_subscribing_before_the_ack_is_unauthorized() -> None:
    assert code(ws.Socket(0.0).receive(subscribe())) == ws.UNAUTHORIZED


def test_an_id_in_use_is_refused() -> None:
    socket = ready()
    socket.receive(subscribe())
    assert code(socket.receive(subscribe())) == ws.DUPLICATE


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"type": "hello"}',
        '{"type": 1}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{x}"}}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "complete"}',
        '{"type": "ping", "payload": 1}',
        b"{}",
    ],
)
def test_what_is_no_message_closes_the_socket(message: str | bytes) -> None:
    assert code(ready().receive(message)) == ws.BAD_MESSAGE


def test_a_message_over_the_limit_closes_the_socket() -> None:
    socket = ready(ws.Limits(message_bytes=100))
    assert code(socket.receive(json.dumps({"type": "ping", "payload": {"x": "é" * 60}}))) == ws.TOO_BIG


def test_a_socket_that_says_nothing_is_closed() -> None:
    socket = ws.Socket(0.0)
    assert socket.tick(9.9) == []
    assert code(socket.tick(10.0)) == ws.SLOW


def test_an_idle_socket_is_pinged_every_ten_seconds() -> None:
    socket = ready()
    assert socket.tick(9.0) == []
    assert socket.tick(10.0) == [ws.Send({"type": "ping"})]
    assert socket.tick(15.0) == []
    assert socket.tick(20.0) == [ws.Send({"type": "ping"})]


def test_a_client_that_never_answers_is_gone() -> None:
    socket = ready()
    for now in (10.0, 20.0, 30.0):
        assert socket.tick(now) == [ws.Send({"type": "ping"})]
    assert code(socket.tick(40.0)) == ws.SLOW


def test_any_message_counts_as_a_sign_of_life() -> None:
    socket = ready()
    for now in range(10, 200, 10):
        assert socket.tick(float(now)) == [ws.Send({"type": "ping"})]
        assert socket.receive('{"type":"pong"}') == []


def test_pings_are_answered_with_their_payload() -> None:
    assert ready().receive('{"type":"ping","payload":{"a":1}}') == [
        ws.Send({"type": "pong", "payload": {"a": 1}})
    ]


def test_an_expired_credential_ends_the_socket() -> None:
    socket = ws.Socket(0.0)
    socket.receive(INIT)
    socket.accepted(expires=5.0)
    assert socket.tick(4.9) == []
    assert code(socket.tick(5.0)) == ws.UNAUTHORIZED


def test_a_socket_runs_a_bounded_number_of_operations() -> None:
    socket = ready(ws.Limits(operations=1))
    socket.receive(subscribe("1"))
    (refused,) = socket.receive(subscribe("2"))
    assert isinstance(refused, ws.Send)
    assert refused.message["type"] == "error"
    assert refused.message["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert socket.phase is ws.Phase.READY


_messages = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=20),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ).map(json.dumps),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["connection_init", "subscribe", "complete", "ping", "pong", "x"]),
        },
        optional={
            "id": st.sampled_from(["1", "2", "", 3]),
            "payload": st.sampled_from([None, {}, [], {"query": "{x}"}, {"query": 1}, "x"]),
        },
    ).map(json.dumps),
)
_steps = st.one_of(
    _messages.map(lambda message: ("receive", message)),
    st.just(("accepted", None)),
    st.just(("rejected", None)),
    st.sampled_from(["1", "2"]).map(lambda id: ("next", id)),
    st.sampled_from(["1", "2"]).map(lambda id: ("complete", id)),
    st.sampled_from(["1", "2"]).map(lambda id: ("error", id)),
    st.integers(0, 40).map(lambda seconds: ("tick", seconds)),
)


def step(socket: ws.Socket, name: str, argument: Any, now: float) -> list[ws.Action]:
    match name:
        case "receive":
            return socket.receive(argument)
        case "accepted":
            return socket.accepted()
        case "rejected":
            return socket.rejected()
        case "next":
            return socket.next(argument, {})
        case "complete":
            return socket.complete(argument)
        case "error":
            return socket.error(argument, [])
        case _:
            return socket.tick(now)


@given(st.lists(_steps, max_size=30))
def test_no_order_of_events_breaks_the_rules(steps: list[tuple[str, Any]]) -> None:
    socket = ws.Socket(0.0, ws.Limits(operations=1))
    running: set[str] = set()
    acknowledged = closed = False
    now = 0.0
    for name, argument in steps:
        now += argument if name == "tick" else 0
        for action in step(socket, name, argument, now):
            assert not closed, "something follows a close"
            closed = isinstance(action, ws.Close)
            if isinstance(action, ws.Start):
                assert acknowledged
                assert action.id not in running
                running.add(action.id)
            if isinstance(action, ws.Stop):
                running.remove(action.id)
            if isinstance(action, ws.Send):
                kind = action.message["type"]
                acknowledged |= kind == "connection_ack"
                assert kind != "next" or action.message["id"] in running
                if kind == "complete":
                    running.remove(action.message["id"])
                if kind == "error":
                    running.discard(action.message["id"])
        assert len(socket.operations) <= 1
