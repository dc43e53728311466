"""Seats: one tenant's streams and nodes share its plan's viewers, other tenants are not touched."""

import msgspec
import pytest
from foghorn_fakes import INTERNAL, PLAYBACK, STREAM, Platform, suspended

from frameworks.kit.errors import NotFound, Unavailable
from frameworks.media.foghorn.service.seats import StillCounting

SECOND, FOREIGN = "b" * 32, "c" * 32
CAPPED = msgspec.structs.replace(STREAM, max_viewers=2)
SAME_TENANT = msgspec.structs.replace(CAPPED, playback_id="second0123456789", internal_name=SECOND)
OTHER_TENANT = msgspec.structs.replace(
    CAPPED, playback_id="foreign012345678", internal_name=FOREIGN, tenant_id="tenant-2"
)


@pytest.fixture
async def platform() -> Platform:
    made = Platform()
    made.commodore.streams = {each.playback_id: each for each in (CAPPED, SAME_TENANT, OTHER_TENANT)}
    made.report("n1")
    made.report("n2", stream=SECOND)
    await made.settle()
    return made


async def seat(platform: Platform, node: str, session: str, internal: str = INTERNAL) -> str:
    """The reason of a refusal, or nothing."""
    return (await platform.seats.admit(node, "c1", session, internal, "")).reason


async def test_two_streams_on_two_nodes_share_their_tenants_places(platform: Platform) -> None:
    assert await seat(platform, "n1", "s1") == ""
    assert await seat(platform, "n2", "s2", SECOND) == ""
    assert await seat(platform, "n1", "s3") == "VIEWER_LIMIT"
    assert await seat(platform, "n2", "s4", SECOND) == "VIEWER_LIMIT"
    assert platform.viewers.of_stream(INTERNAL) == 1


async def test_another_tenant_is_not_touched(platform: Platform) -> None:
    for session in ("s1", "s2", "s3"):
        await seat(platform, "n1", session)
    assert await seat(platform, "n1", "s4", FOREIGN) == ""


async def test_a_viewer_that_leaves_makes_room(platform: Platform) -> None:
    await seat(platform, "n1", "s1")
    await seat(platform, "n2", "s2", SECOND)
    platform.viewers.closed("n2", "s2")
    assert await seat(platform, "n1", "s3") == ""


async def test_who_has_a_seat_keeps_it_and_counts_once(platform: Platform) -> None:
    await seat(platform, "n1", "s1")
    await seat(platform, "n1", "s2")
    again = await platform.seats.admit("n1", "c1", "s1", INTERNAL, "")
    assert (again.reason, again.watching, again.allowed) == ("", 2, 2)


async def test_a_seat_settles_the_reservation_that_sent_the_viewer(platform: Platform) -> None:
    correlation = platform.viewers.expect("n1", INTERNAL)
    await platform.seats.admit("n1", "c1", "s1", INTERNAL, correlation)
    assert platform.viewers.count("n1") == (1, 0)


async def test_a_cluster_that_may_not_serve_the_tenant_gets_no_seat(platform: Platform) -> None:
    refused = await platform.seats.admit("n9", "c9", "s1", INTERNAL, "")
    assert (refused.reason, platform.viewers.of_stream(INTERNAL)) == ("NOT_ENTITLED", 0)


async def test_a_suspended_tenants_viewers_get_no_seat(platform: Platform) -> None:
    platform.commodore.streams[PLAYBACK] = suspended(CAPPED)
    assert await seat(platform, "n1", "s1") == "SUSPENDED"


async def test_a_plan_without_a_number_has_no_limit(platform: Platform) -> None:
    platform.commodore.streams[PLAYBACK] = STREAM
    assert {await seat(platform, "n1", f"s{number}") for number in range(20)} == {""}


async def test_a_stream_nobody_has_gets_no_seat(platform: Platform) -> None:
    with pytest.raises(NotFound):
        await seat(platform, "n1", "s1", "d" * 32)


async def test_while_commodore_is_away_the_last_known_plan_holds(platform: Platform) -> None:
    await seat(platform, "n1", "s1")
    await seat(platform, "n1", "s2")
    platform.commodore.away = True
    await platform.clock.advance(3600)
    assert await seat(platform, "n1", "s3") == "VIEWER_LIMIT"
    with pytest.raises(Unavailable):
        await seat(platform, "n2", "s4", SECOND)


async def test_after_a_restart_nobody_is_counted_before_the_nodes_have_told(platform: Platform) -> None:
    restarted = Platform(clock=platform.clock, commodore=platform.commodore)
    with pytest.raises(StillCounting):
        await seat(restarted, "n1", "s3")
    restarted.nodes.connect("n1")
    restarted.viewers.opened("n1", "s1", INTERNAL, "")
    restarted.viewers.opened("n2", "s2", SECOND, "")
    await restarted.seats.learn()
    await restarted.settle()
    assert await seat(restarted, "n1", "s3") == "VIEWER_LIMIT"
    assert await seat(restarted, "n1", "s1") == ""


async def test_at_the_limit_play_sends_nobody_to_a_node(platform: Platform) -> None:
    await seat(platform, "n1", "s1")
    assert (await platform.router.watch(PLAYBACK, redirect=True)).state == "live"
    await seat(platform, "n2", "s2", SECOND)
    watch = await platform.router.watch(PLAYBACK, redirect=True)
    assert (watch.state, watch.endpoints, platform.viewers.count("n1")) == ("full", (), (1, 1))
    assert (await platform.router.watch(OTHER_TENANT.playback_id, redirect=True)).state == "offline"
