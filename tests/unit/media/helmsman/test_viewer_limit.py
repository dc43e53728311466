"""The plan's viewers at a node: Foghorn decides; while it is away, what it last told and what is known here."""

import pytest
from helmsman_fakes import INTERNAL, VIEWABLE, Platform, user_end, user_new
from msgspec.structs import replace

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import NotFound
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.domain import Action
from frameworks.media.helmsman.service.reporting import Seat
from frameworks.media.helmsman.service.viewing import TURNED_AWAY_SECONDS, Viewing


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def viewing(platform: Platform, clock: FakeClock) -> Viewing:
    return Viewing(platform, platform, platform, Geo(None), clock, node="n1", hash_key=b"k")


async def test_foghorn_refuses_and_the_viewer_reads_why(platform: Platform, viewing: Viewing) -> None:
    platform.refuses = "VIEWER_LIMIT"
    verdict = await viewing.opened(user_new("s1"))
    assert (verdict.action, verdict.body) == (Action.DENY, "false")
    assert "plan" in verdict.reason
    assert (platform.facts, viewing.sessions) == ([], {})


async def test_more_than_the_plan_here_are_let_in_when_foghorn_says_so(
    platform: Platform, viewing: Viewing
) -> None:
    for number in range(3):
        assert (await viewing.opened(user_new(f"s{number}"))).action is Action.VALUE


async def test_without_foghorn_the_plan_holds_for_those_here(platform: Platform, viewing: Viewing) -> None:
    platform.foghorn_away = True
    actions = [(await viewing.opened(user_new(f"s{number}"))).action for number in range(3)]
    assert actions == [Action.VALUE, Action.VALUE, Action.DENY]
    await viewing.closed(user_end("s1"))
    assert (await viewing.opened(user_new("s4"))).action is Action.VALUE


async def test_without_foghorn_those_it_told_of_elsewhere_still_count(
    platform: Platform, viewing: Viewing
) -> None:
    platform.watching = 1
    assert (await viewing.opened(user_new("s1"))).action is Action.VALUE
    platform.foghorn_away = True
    assert (await viewing.opened(user_new("s2"))).action is Action.DENY
    await viewing.closed(user_end("s1"))
    assert (await viewing.opened(user_new("s3"))).action is Action.VALUE


async def test_an_open_session_asked_about_again_needs_no_new_place(
    platform: Platform, viewing: Viewing
) -> None:
    await viewing.opened(user_new("s1"))
    platform.refuses = "VIEWER_LIMIT"
    assert (await viewing.opened(user_new("s1"))).action is Action.VALUE


async def test_the_owner_is_told_for_a_minute_that_viewers_were_turned_away(
    platform: Platform, viewing: Viewing, clock: FakeClock
) -> None:
    assert not viewing.turns_away(INTERNAL)
    platform.refuses = "VIEWER_LIMIT"
    await viewing.opened(user_new("s1"))
    assert viewing.turns_away(INTERNAL)
    await clock.advance(TURNED_AWAY_SECONDS)
    assert not viewing.turns_away(INTERNAL)


async def test_a_stream_foghorn_does_not_know_is_not_watched(clock: FakeClock) -> None:
    class Strict(Platform):
        async def seat(self, stream: str, session: str, correlation: str) -> Seat:
            raise NotFound("There is no such stream.")

    platform = Strict()
    viewing = Viewing(platform, platform, platform, Geo(None), clock, node="n1", hash_key=b"k")
    assert (await viewing.opened(user_new("s1"))).action is Action.DENY


async def test_a_lifted_suspension_is_noticed_within_seconds(
    platform: Platform, viewing: Viewing, clock: FakeClock
) -> None:
    platform.viewable = replace(VIEWABLE, suspended=True)
    assert (await viewing.opened(user_new("s1"))).action is Action.DENY
    platform.viewable = VIEWABLE
    await clock.advance(3)
    assert (await viewing.opened(user_new("s1"))).action is Action.VALUE
