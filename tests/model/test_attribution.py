"""No edge writes another's history: whatever an event, its sender and Commodore's word disagree on, it is refused.

Real keys, real tokens, the real intake; one thing at a time is wrong. ADR 0003.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fixtures_decklog import NODE, OWNER, Kept, Yard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, PublishRequest
from frameworks.contracts.pb.events_v1_pb2 import (
    Event,
    LoadBalancing,
    NodeLifecycle,
    PlayerBoot,
    PlayerSession,
    UserConnection,
)
from frameworks.data.decklog.api import Api
from frameworks.data.decklog.peers import SignedAttributions
from frameworks.data.decklog.service import Intake
from frameworks.kit.clock import FakeClock, micros
from frameworks.kit.identity import Identity, Principal, PrincipalKind, Verifier, new_key

SECOND = 1_000_000


async def test_what_agrees_is_accepted(yard: Yard) -> None:
    assert await yard.verdict(yard.event(), yard.attribution()) == "accepted"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another tenant": ({"tenant": str(OWNER)}, "attribution.wrong_stream"),
    "another stream": ({"stream": str(OWNER)}, "attribution.wrong_stream"),
    "another node": ({"node": "node-2"}, "attribution.wrong_node"),
    "another cluster": ({"cluster": "elsewhere"}, "attribution.wrong_node"),
    "a viewer's role": ({"role": "view"}, "attribution.wrong_role"),
    "a role of its own": ({"role": "node"}, "attribution.invalid"),
    "another claim": ({"epoch": 3}, "attribution.wrong_epoch"),
    "no tenant": ({"tenant": ""}, "attribution.invalid"),
    "a stream that is a number": ({"stream": 5}, "attribution.invalid"),
}


@pytest.mark.parametrize(("over", "code"), WRONG.values(), ids=WRONG)
async def test_a_word_about_something_else_is_refused(yard: Yard, over: dict[str, Any], code: str) -> None:
    assert await yard.verdict(yard.event(), yard.attribution(**over)) == code


async def test_only_commodore_may_give_the_word(yard: Yard) -> None:
    assert await yard.verdict(yard.event(), yard.attribution(yard.foghorn)) == "attribution.invalid"
    stranger = Identity("commodore", new_key(), yard.clock)
    assert await yard.verdict(yard.event(), yard.attribution(stranger)) == "attribution.invalid"
    assert await yard.verdict(yard.event(), yard.attribution(typ="user")) == "attribution.invalid"
    assert await yard.verdict(yard.event()) == "attribution.missing"
    assert await yard.verdict(yard.event(), "no token") == "attribution.invalid"


async def test_one_changed_character_is_a_forgery(yard: Yard) -> None:
    head, body, signature = yard.attribution().split(".")
    for forged in (f"{head}.{body[:-2]}AA.{signature}", f"{head}.{body}.{signature[:-6]}AAAAAA"):
        assert await yard.verdict(yard.event(), forged) == "attribution.invalid"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(offset=st.integers(-8 * 86_400, 600), age=st.integers(0, 8 * 86_400))
async def test_the_events_time_decides_not_its_receipt(yard: Yard, offset: int, age: int) -> None:
    """The window is 24 h, ± 2 min; receipt is up to seven days later."""
    later = replace_clock(yard, age)
    token = yard.attribution()
    event = yard.event(occurred_at=micros(yard.clock.now()) + offset * SECOND)
    verdict = await later.verdict(event, token)
    inside = -120 <= offset <= 86_400 + 120
    fresh = age - 7 * 86_400 <= offset <= age + 120
    assert (verdict == "accepted") is (inside and fresh)


def replace_clock(yard: Yard, age: int) -> Yard:
    """The same platform `age` seconds later."""
    clock = FakeClock(yard.clock.now() + timedelta(seconds=age))
    kept = Kept()
    intake = Intake(SignedAttributions(Verifier(yard.trust, clock), capacity=100), kept, clock)
    return replace(yard, decklog=Api(intake), kept=kept)


Change = Callable[[Event], None]


def setting(name: str, value: Any) -> Change:
    """A change of one field."""
    return lambda event: setattr(event, name, value)


BROKEN: dict[str, tuple[Change, str]] = {
    "node": (setting("node_id", "node-2"), "sender.wrong_node"),
    "cluster": (setting("cluster_id", "elsewhere"), "sender.wrong_node"),
    "tenant": (setting("tenant_id", OWNER.bytes), "attribution.wrong_stream"),
    "no tenant": (setting("tenant_id", b""), "event.no_tenant"),
    "stream": (setting("stream_id", OWNER.bytes), "attribution.wrong_stream"),
    "short stream": (setting("stream_id", b"x"), "event.bad_stream"),
    "no id": (setting("event_id", b""), "event.bad_id"),
    "type": (setting("type", "stream-gossip"), "event.unknown_type"),
    "payload": (setting("type", "stream-lifecycle"), "event.wrong_payload"),
    "version": (setting("schema_version", 99), "event.unknown_version"),
    "claim": (setting("claim_epoch", 5), "attribution.wrong_epoch"),
    "future": (setting("occurred_at", 1 << 60), "event.in_the_future"),
    "past": (setting("occurred_at", 1), "event.too_old"),
}


@pytest.mark.parametrize(("change", "code"), BROKEN.values(), ids=BROKEN)
async def test_an_event_that_says_something_else_is_refused(yard: Yard, change: Change, code: str) -> None:
    event = yard.event()
    change(event)
    assert await yard.verdict(event, yard.attribution()) == code


async def test_a_field_said_twice_is_refused_because_readers_differ_on_it(yard: Yard) -> None:
    twice = Event(tenant_id=OWNER.bytes).SerializeToString() + yard.event().SerializeToString()
    assert await yard.verdict(twice, yard.attribution()) == "event.ambiguous"
    assert await yard.verdict(b"\xff\xff", yard.attribution()) == "event.unreadable"


async def test_a_viewer_edge_writes_viewers_and_nothing_else(yard: Yard) -> None:
    token = yard.attribution(role="view")
    joined = UserConnection(action="connect", session_id="s")
    viewer = yard.event(type="user-connection", user_connection=joined, claim_epoch=0)
    assert await yard.verdict(viewer, token) == "accepted"
    assert await yard.verdict(yard.event(), token) == "attribution.wrong_role"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("player-session", {"player_session": PlayerSession(session_id="s", played_ms=1)}),
        ("player-boot", {"player_boot": PlayerBoot(session_id="s", outcome="playing")}),
    ],
)
async def test_players_words_are_passed_on_by_who_serves_them(
    yard: Yard, kind: str, said: dict[str, Any]
) -> None:
    token = yard.attribution(role="view")
    told = yard.event(type=kind, claim_epoch=0, **said)
    assert await yard.verdict(told, token) == "accepted"
    assert await yard.verdict(told) == "attribution.missing"
    assert await yard.verdict(told, yard.attribution()) == "attribution.wrong_role"
    assert await yard.verdict(told, yard.attribution(role="view", node="node-2")) == "attribution.wrong_node"
    other = yard.event(type=kind, claim_epoch=0, tenant_id=OWNER.bytes, **said)
    assert await yard.verdict(other, token) == "attribution.wrong_stream"


async def test_a_node_speaks_for_its_owner_only(yard: Yard) -> None:
    said = {"type": "node-lifecycle", "node_lifecycle": NodeLifecycle(state="up"), "stream_id": b""}
    assert await yard.verdict(yard.event(tenant_id=OWNER.bytes, **said)) == "accepted"
    assert await yard.verdict(yard.event(**said)) == "sender.wrong_tenant"


async def test_only_foghorn_writes_routing(yard: Yard) -> None:
    routed = yard.event(type="load-balancing", load_balancing=LoadBalancing(status="success"))
    foghorn = Principal(PrincipalKind.SERVICE, "foghorn", cluster="default")
    assert await yard.verdict(routed, principal=foghorn) == "accepted"
    assert await yard.verdict(routed, principal=replace(foghorn, subject="purser")) == "sender.wrong_role"
    assert await yard.verdict(routed, yard.attribution()) == "attribution.wrong_role"
    assert await yard.verdict(yard.event(), yard.attribution(), principal=foghorn) == "sender.wrong_role"


async def test_a_refused_event_does_not_hold_up_the_rest(yard: Yard) -> None:
    events = [yard.event(), yard.event(tenant_id=OWNER.bytes), yard.event()]
    envelopes = [Envelope(event=e.SerializeToString(), attribution=1) for e in events]
    request = PublishRequest(sequence=5, attributions=[yard.attribution()], events=envelopes)
    ack = await yard.publish(request, NODE)
    assert (ack.sequence, ack.accepted) == (5, 2)
    assert [(refused.index, refused.code) for refused in ack.refused] == [(1, "attribution.wrong_stream")]
