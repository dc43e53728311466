"""Helmsman's use cases with everyone else played by fakes: what is answered, recorded, told to Foghorn."""

import pytest
from helmsman_fakes import (
    INTERNAL,
    KEY,
    RUNTIME,
    STREAM,
    TENANT,
    VIEWABLE,
    Platform,
    push,
    trigger,
    user_end,
    user_new,
)
from msgspec.structs import replace

from frameworks.kit.clock import FakeClock, micros
from frameworks.kit.errors import Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.domain import Action
from frameworks.media.helmsman.service.measuring import Measuring
from frameworks.media.helmsman.service.publishers import Refused
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.viewing import Viewing


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def publishing(platform: Platform, clock: FakeClock) -> Publishing:
    return Publishing(platform, platform, platform, platform, Geo(None), clock)


@pytest.fixture
def viewing(platform: Platform, clock: FakeClock) -> Viewing:
    return Viewing(platform, platform, platform, Geo(None), clock, node="n1", hash_key=b"k")


async def test_an_admitted_publisher_gets_the_internal_name(
    platform: Platform, publishing: Publishing
) -> None:
    verdict = await publishing.admit(push())
    assert (verdict.action, verdict.body) == (Action.VALUE, RUNTIME)
    assert platform.kinds() == ["stream-ingest", "stream-lifecycle"]
    assert all(fact.subject.attribution == "attr-ingest" for fact in platform.facts)


async def test_no_key_and_no_address_reaches_the_record(platform: Platform, publishing: Publishing) -> None:
    await publishing.admit(push())
    text = repr(platform.facts)
    assert KEY not in text
    assert "198.51.100.7" not in text


async def test_a_malformed_key_is_refused_without_asking(platform: Platform, publishing: Publishing) -> None:
    platform.away = True
    verdict = await publishing.admit(push(key="live"))
    assert verdict.action is Action.DENY
    assert "not a stream key" in verdict.reason


async def test_a_refusal_carries_commodores_sentence(platform: Platform, publishing: Publishing) -> None:
    platform.answer = Refused("DUPLICATE_INGEST", "Somebody publishes already.")
    verdict = await publishing.admit(push())
    assert (verdict.action, verdict.body, verdict.reason) == (Action.DENY, "", "Somebody publishes already.")
    assert platform.facts == []


async def test_without_the_control_plane_nobody_new_is_admitted(
    platform: Platform, publishing: Publishing
) -> None:
    platform.away = True
    assert (await publishing.admit(push())).action is Action.DENY


async def test_the_same_firing_again_changes_nothing(platform: Platform, publishing: Publishing) -> None:
    await publishing.admit(push())
    await publishing.admit(push())
    assert len(platform.facts) == 2


async def test_a_closed_connection_gives_its_claim_back(platform: Platform, publishing: Publishing) -> None:
    await publishing.admit(push())
    await publishing.input_closed(trigger("PUSH_INPUT_CLOSE", RUNTIME, "h", "RTMP", "7", "CLEAN", "x", "[]"))
    assert platform.released == [(STREAM, 1, "u-1")]


async def test_the_end_of_a_superseded_connection_does_not_touch_its_successor(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    await publishing.admit(push())
    await clock.advance(2)
    await publishing.admit(push(uuid="u-2", pid="8"))
    platform.released.clear()
    await publishing.input_closed(trigger("PUSH_INPUT_CLOSE", RUNTIME, "h", "RTMP", "7", "CLEAN", "x", "[]"))
    assert platform.released == []
    assert publishing.publishers[INTERNAL].connected


async def test_full_is_live_and_empty_is_offline(platform: Platform, publishing: Publishing) -> None:
    await publishing.admit(push())
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "FULL", "{}", uuid="b1"))
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "EMPTY", uuid="b2"))
    await publishing.ended(trigger("STREAM_END", RUNTIME, "10", "20", "1", "1", "0", "5", uuid="e1"))
    states = [fact.body["state"] for fact in platform.facts if fact.kind == "stream-lifecycle"]
    assert states == ["started", "live", "offline", "ended"]
    assert publishing.publishers == {}


async def test_a_node_that_never_tells_of_closed_inputs_gives_the_claim_back_at_the_end(
    platform: Platform, publishing: Publishing
) -> None:
    await publishing.admit(push())
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "EMPTY", uuid="b2"))
    assert platform.released == []
    await publishing.ended(trigger("STREAM_END", RUNTIME, "10", "20", "1", "1", "0", "5", uuid="e1"))
    assert platform.released == [(STREAM, 1, "u-1")]


async def test_a_publisher_that_could_not_be_dropped_is_dropped_later(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    measuring = Measuring(platform, platform, publishing, platform, clock, "n1")
    await publishing.admit(push())
    await measuring.look()
    platform.held = False
    platform.away = True
    with pytest.raises(Unavailable):
        await measuring.renew_claims()
    platform.away = False
    await measuring.renew_claims()
    assert platform.stopped == [RUNTIME]


async def test_a_suspended_streams_viewers_are_refused_when_they_are_asked_about_again(
    platform: Platform, viewing: Viewing, clock: FakeClock
) -> None:
    await viewing.opened(user_new("s1"))
    platform.viewable = replace(VIEWABLE, suspended=True)
    await clock.advance(5)
    assert (await viewing.opened(user_new("s1"))).body == "false"
    await viewing.closed(user_end("s1"))
    assert platform.facts[-1].body["up_bytes"] == 6528


async def test_a_viewer_stays_while_nobody_can_be_asked_about_it(
    platform: Platform, viewing: Viewing, clock: FakeClock
) -> None:
    await viewing.opened(user_new("s1"))
    platform.away = True
    await clock.advance(5)
    assert (await viewing.opened(user_new("s1"))).body == "true"


async def test_a_playback_id_becomes_the_runtime_name_and_that_stays(viewing: Viewing) -> None:
    verdict = await viewing.resolve(trigger("PLAY_REWRITE", "p" * 16, "h", "HLS", "http://n/x"))
    assert (verdict.action, verdict.body) == (Action.VALUE, RUNTIME)
    again = await viewing.resolve(trigger("PLAY_REWRITE", RUNTIME, "h", "HTTP", "http://n/x"))
    assert (again.action, again.body) == (Action.KEEP, RUNTIME)


async def test_an_unknown_playback_id_is_denied(platform: Platform, viewing: Viewing) -> None:
    platform.viewable = None
    assert (await viewing.resolve(trigger("PLAY_REWRITE", "q" * 16, "h", "HLS", "u"))).action is Action.DENY


async def test_a_known_stream_resolves_while_the_control_plane_is_away(
    platform: Platform, viewing: Viewing, clock: FakeClock
) -> None:
    await viewing.resolve(trigger("PLAY_REWRITE", "p" * 16, "h", "HLS", "u"))
    platform.away = True
    await clock.advance(3600)
    assert (await viewing.resolve(trigger("PLAY_REWRITE", "p" * 16, "h", "HLS", "u"))).body == RUNTIME


async def test_a_view_is_recorded_once_a_minute_a_viewer(
    platform: Platform, viewing: Viewing, clock: FakeClock
) -> None:
    for _ in range(5):
        await viewing.resolve(trigger("PLAY_REWRITE", "p" * 16, "h", "HLS", "u"))
    assert platform.kinds() == ["stream-view"]
    await clock.advance(61)
    await viewing.resolve(trigger("PLAY_REWRITE", "p" * 16, "h", "HLS", "u", uuid="u-9"))
    assert platform.kinds() == ["stream-view", "stream-view"]


async def test_a_session_is_a_connection_and_its_end_says_how_long(
    platform: Platform, viewing: Viewing
) -> None:
    assert (await viewing.opened(user_new("s1"))).body == "true"
    assert (await viewing.opened(user_new("s1"))).body == "true"
    await viewing.closed(user_end("s1"))
    await viewing.closed(user_end("s1"))
    assert [fact.body["action"] for fact in platform.facts] == ["connect", "disconnect"]
    connect, disconnect = (fact.body for fact in platform.facts)
    assert connect["session_id"] == disconnect["session_id"]
    assert (disconnect["seconds"], disconnect["up_bytes"], disconnect["user_agent"]) == (62, 6528, "Test/1")
    assert (platform.opened, platform.closed) == (["c1"], ["s1"])


async def test_metadata_polls_are_no_viewers(platform: Platform, viewing: Viewing) -> None:
    assert (await viewing.opened(user_new("s1", connector="HTTP"))).body == "true"
    assert platform.facts == []
    assert viewing.sessions == {}


async def test_a_session_that_vanished_is_ended(
    platform: Platform, viewing: Viewing, clock: FakeClock
) -> None:
    await viewing.opened(user_new("s1"))
    await clock.advance(30)
    await viewing.vanished("s1")
    assert platform.facts[-1].body["action"] == "disconnect"
    assert viewing.sessions == {}


async def test_media_that_advances_keeps_the_claim(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    measuring = Measuring(platform, platform, publishing, platform, clock, "n1")
    await publishing.admit(push())
    platform.newest_ms = 40
    await measuring.look()
    await measuring.renew_claims()
    await clock.advance(2)
    await measuring.look()
    await measuring.renew_claims()
    assert platform.renewed == [(STREAM, True), (STREAM, False)]


async def test_a_claim_that_is_lost_drops_the_publisher(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    measuring = Measuring(platform, platform, publishing, platform, clock, "n1")
    await publishing.admit(push())
    platform.held = False
    await measuring.look()
    await measuring.renew_claims()
    assert platform.stopped == [RUNTIME]
    assert not publishing.publishers[INTERNAL].connected


async def test_the_nodes_state_is_an_event_of_its_owner(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    measuring = Measuring(platform, platform, publishing, platform, clock, "n1")
    await measuring.look()
    await measuring.record_node(TENANT, {})
    fact = platform.facts[-1]
    assert (fact.kind, fact.subject.tenant_id, fact.subject.stream_id) == ("node-lifecycle", TENANT, "")
    assert (fact.body["state"], fact.body["active_viewers"], fact.at) == ("up", 1, micros(clock.now()))
