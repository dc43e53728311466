"""An encoder that comes back takes over at once when its older connection is dead, and never while media flows."""

import asyncio

import pytest
from helmsman_fakes import INTERNAL, KEY, RUNTIME, STREAM, Platform, push, trigger

from frameworks.kit.clock import FakeClock
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.domain import Trigger, Verdict
from frameworks.media.helmsman.service.measuring import Measuring
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.takeover import GAP_SECONDS, LONGEST_SECONDS


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def publishing(platform: Platform, clock: FakeClock) -> Publishing:
    """A node with one publisher on air."""
    made = Publishing(platform, platform, platform, platform, Geo(None), clock)
    await made.admit(push())
    platform.newest_ms = 4_000
    await clock.advance(10)
    await Measuring(platform, platform, made, platform, clock, "n1").look()
    return made


async def returns(publishing: Publishing, clock: FakeClock, again: Trigger) -> tuple[Verdict, float]:
    """The answer to a second connection, and the seconds it took."""
    began, asked = clock.monotonic(), asyncio.ensure_future(publishing.admit(again))
    await clock.advance(0)
    while not asked.done():
        await clock.advance(0.25)
    return await asked, clock.monotonic() - began


def other_address(uuid: str) -> Trigger:
    return trigger("PUSH_REWRITE", f"rtmp://h:1935/live/{KEY}", "203.0.113.9", KEY, uuid=uuid, pid="8")


async def test_an_encoder_back_after_a_drop_gives_its_older_claim_back_first(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    await clock.advance(2)
    _, took = await returns(publishing, clock, push("u-2", pid="8"))
    assert platform.released == [(STREAM, 1, "u-1")]
    assert took == 0
    assert publishing.publishers[INTERNAL].connection == "u-2"


async def test_a_connection_that_broke_just_now_is_given_up_when_media_stands_still(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    _, took = await returns(publishing, clock, push("u-2", pid="8"))
    assert platform.released == [(STREAM, 1, "u-1")]
    assert took <= GAP_SECONDS + 0.25


async def test_while_media_flows_the_older_connection_keeps_its_claim(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    platform.advances = True
    _, took = await returns(publishing, clock, push("u-2", pid="8"))
    assert platform.released == []
    assert took <= LONGEST_SECONDS


async def test_what_was_on_its_way_when_the_connection_broke_is_no_media(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    asked = asyncio.ensure_future(publishing.admit(push("u-2", pid="8")))
    await clock.advance(0.1)
    platform.newest_ms += 80
    await clock.advance(2.0)
    await asked
    assert platform.released == [(STREAM, 1, "u-1")]


async def test_another_encoder_with_the_same_key_is_commodores_to_judge(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    await clock.advance(4)
    _, took = await returns(publishing, clock, other_address("u-2"))
    assert (platform.released, took) == ([], 0)


async def test_commodore_is_told_whose_media_still_comes(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    await publishing.admit(other_address("u-2"))
    assert platform.live == [INTERNAL]


async def test_a_stream_whose_media_stood_still_for_seconds_is_not_told_as_live(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    await clock.advance(4)
    await publishing.admit(other_address("u-2"))
    assert platform.live == []


async def test_a_stream_the_node_has_no_more_is_free(
    platform: Platform, publishing: Publishing, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(name: str) -> int | None:
        assert name == RUNTIME
        return None

    monkeypatch.setattr(platform, "last_ms", gone)
    _, took = await returns(publishing, clock, push("u-2", pid="8"))
    assert (platform.released, took) == ([(STREAM, 1, "u-1")], 0)


async def test_the_same_question_again_releases_nothing(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    await clock.advance(10)
    await returns(publishing, clock, push())
    assert platform.released == []


async def test_a_node_that_does_not_answer_leaves_it_to_commodore(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    platform.away = True
    await returns(publishing, clock, push("u-2", pid="8"))
    assert platform.released == []
