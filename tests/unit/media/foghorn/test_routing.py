"""Routing: who is sent where, what a viewer is told, and that each decision is recorded with its reasons."""

import msgspec
import pytest
from foghorn_fakes import INTERNAL, KEY, PLAYBACK, STARTING, STREAM, TOKYO, UTRECHT, Platform, suspended

from frameworks.kit.errors import NotFound, Unavailable
from frameworks.media.foghorn.domain import Reason, StreamPresence
from frameworks.media.foghorn.service.routing import Decision, NoIngestNode, NotServed

DUTCH, JAPANESE = "198.51.100.4", "203.0.113.9"


@pytest.fixture
def platform() -> Platform:
    return Platform()


def reasons(decision: Decision) -> dict[str, Reason]:
    """Node → why it was taken or passed over."""
    return {
        node: Reason(int(reason))
        for node, reason in zip(decision.nodes, decision.ranking.reasons, strict=True)
    }


async def test_a_viewer_is_sent_to_the_nearest_node_that_has_the_stream(platform: Platform) -> None:
    platform.report("utrecht", where=UTRECHT)
    platform.report("tokyo", where=TOKYO)
    platform.report("empty", None, where=TOKYO)
    watch = await platform.router.watch(PLAYBACK, address=JAPANESE, redirect=True)
    assert [endpoint.node for endpoint in watch.endpoints] == ["tokyo", "utrecht"]
    assert watch.endpoints[0].distance_km < 1
    watch = await platform.router.watch(PLAYBACK, address=DUTCH, redirect=True)
    assert watch.endpoints[0].node == "utrecht"


async def test_a_position_the_player_tells_beats_the_addresss(platform: Platform) -> None:
    platform.report("utrecht", where=UTRECHT)
    platform.report("tokyo", where=TOKYO)
    watch = await platform.router.watch(PLAYBACK, address=DUTCH, where=TOKYO, redirect=True)
    assert watch.endpoints[0].node == "tokyo"


async def test_only_the_first_endpoint_reserves_and_carries_a_correlation(platform: Platform) -> None:
    platform.report("n1")
    platform.report("n2")
    watch = await platform.router.watch(PLAYBACK, redirect=False)
    first, second = watch.endpoints
    assert first.url.startswith(f"http://n1:8080/cmaf/{PLAYBACK}/index.m3u8?fwcid=")
    assert second.url == f"http://n2:8080/cmaf/{PLAYBACK}/index.m3u8"
    assert platform.viewers.count("n1") == (0, 1)
    assert platform.viewers.count("n2") == (0, 0)


async def test_no_url_names_what_the_stream_is_called_inside(platform: Platform) -> None:
    platform.report("n1")
    watch = await platform.router.watch(PLAYBACK, redirect=False)
    assert INTERNAL not in repr(watch.endpoints)


async def test_a_burst_is_spread_over_equal_nodes(platform: Platform) -> None:
    for node in ("n1", "n2", "n3"):
        platform.report(node)
    for _ in range(90):
        await platform.router.watch(PLAYBACK, redirect=True)
    pending = [platform.viewers.count(node)[1] for node in ("n1", "n2", "n3")]
    assert max(pending) - min(pending) <= 2


@pytest.mark.parametrize(
    ("presence", "state"),
    [(None, "offline"), (STARTING, "starting"), (StreamPresence(3, 0, 0), "offline")],
)
async def test_a_stream_that_can_not_be_watched_says_why(
    platform: Platform, presence: StreamPresence | None, state: str
) -> None:
    platform.report("n1", presence)
    watch = await platform.router.watch(PLAYBACK, redirect=True)
    assert (watch.state, watch.endpoints) == (state, ())
    assert platform.decisions.taken == []


async def test_a_suspended_accounts_stream_is_offline(platform: Platform) -> None:
    platform.commodore.streams[PLAYBACK] = suspended()
    platform.report("n1")
    assert (await platform.router.watch(PLAYBACK, redirect=True)).state == "offline"


async def test_an_unknown_stream_is_not_found(platform: Platform) -> None:
    with pytest.raises(NotFound):
        await platform.router.watch("x" * 16, redirect=True)


async def test_a_known_stream_is_routed_while_commodore_is_away(platform: Platform) -> None:
    platform.report("n1")
    await platform.router.watch(PLAYBACK, redirect=True)
    platform.commodore.away = True
    await platform.clock.advance(3600)
    platform.report("n1")
    assert (await platform.router.watch(PLAYBACK, redirect=True)).state == "live"


async def test_viewers_are_those_that_arrived(platform: Platform) -> None:
    platform.report("n1")
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    assert (await platform.router.watch(PLAYBACK, redirect=True)).viewers == 1


async def test_a_node_that_does_not_speak_the_protocol_is_passed_over(platform: Platform) -> None:
    platform.report("n1", outputs=("HLS_CMAF",))
    platform.report("n2")
    watch = await platform.router.watch(PLAYBACK, protocol="HLS", redirect=True)
    assert [(e.node, e.protocol) for e in watch.endpoints] == [("n2", "hls")]
    assert platform.decisions.taken[-1].selected == "n2"
    assert platform.viewers.count("n2") == (0, 1)


async def test_a_protocol_nobody_speaks_is_refused_and_recorded(platform: Platform) -> None:
    platform.report("n1")
    with pytest.raises(NotServed):
        await platform.router.watch(PLAYBACK, protocol="WHEP", redirect=True)
    [decision] = platform.decisions.taken
    assert (decision.status, decision.selected, decision.protocol) == ("failed", "", "WHEP")
    assert platform.reserved("n1") == 0


@pytest.mark.parametrize(("redirect", "status"), [(True, "redirect"), (False, "success")])
async def test_a_decision_is_recorded_with_a_reason_for_every_node(
    platform: Platform, redirect: bool, status: str
) -> None:
    platform.report("n1", where=TOKYO)
    platform.report("n2", where=UTRECHT)
    platform.report("n3", None)
    platform.report("n4", cluster="c2")
    platform.report("n5", up=200_000_000)
    await platform.router.watch(PLAYBACK, address=JAPANESE, redirect=redirect)
    [decision] = platform.decisions.taken
    assert reasons(decision) == {
        "n1": Reason.CHOSEN,
        "n2": Reason.FALLBACK,
        "n3": Reason.NO_STREAM,
        "n4": Reason.NOT_ENTITLED,
        "n5": Reason.NO_BANDWIDTH,
    }
    assert (decision.purpose, decision.status, decision.selected) == ("viewer", status, "n1")
    assert (decision.owner, decision.tenant_id, decision.stream_id) == ("operator", "tenant-1", "stream-1")
    assert decision.place is not None
    assert JAPANESE not in repr(decision)


async def test_a_decision_that_found_nobody_is_recorded_with_the_reasons(platform: Platform) -> None:
    platform.report("n1", up=200_000_000)
    watch = await platform.router.watch(PLAYBACK, redirect=True)
    [decision] = platform.decisions.taken
    assert (watch.state, decision.status, decision.selected) == ("offline", "failed", "")
    assert reasons(decision) == {"n1": Reason.NO_BANDWIDTH}


async def test_a_stream_of_another_cluster_is_not_served_here(platform: Platform) -> None:
    platform.commodore.streams[PLAYBACK] = msgspec.structs.replace(STREAM, clusters=("c9",))
    platform.report("n1")
    assert (await platform.router.watch(PLAYBACK, redirect=True)).endpoints == ()
    assert platform.decisions.taken == []


async def test_a_publisher_is_sent_to_the_least_loaded_node(platform: Platform) -> None:
    platform.report("n1", None, up=100_000_000)
    platform.report("n2", None)
    found = await platform.router.publish(KEY, protocol="RTMP", address=DUTCH)
    assert [node for node, *_ in found.endpoints] == ["n2", "n1"]
    [decision] = platform.decisions.taken
    assert (decision.purpose, decision.status, decision.selected) == ("ingest", "success", "n2")
    assert KEY not in repr(decision)


async def test_without_a_node_with_room_nobody_may_publish(platform: Platform) -> None:
    platform.report("n1", None, up=200_000_000)
    with pytest.raises(NoIngestNode):
        await platform.router.publish(KEY)
    assert platform.decisions.taken[-1].status == "failed"


async def test_a_key_that_is_none_gets_no_address(platform: Platform) -> None:
    platform.report("n1", None)
    with pytest.raises(NotFound):
        await platform.router.publish("sk_" + "x" * 32)
    platform.commodore.away = True
    with pytest.raises(Unavailable):
        await platform.router.publish(KEY)
    assert platform.decisions.taken == []
