"""Publishers whose end, or whose new beginning, nobody tells: the node's own list does."""

from datetime import UTC, datetime

import pytest
from helmsman_fakes import INTERNAL, RUNTIME, STREAM, Platform, push, trigger

from frameworks.kit.clock import FakeClock
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.service.publishing import ABSENT_SECONDS, UNKNOWN_SECONDS, Publishing

HERE, NOWHERE = frozenset({INTERNAL}), frozenset[str]()


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 12, 1, tzinfo=UTC))


@pytest.fixture
def publishing(platform: Platform, clock: FakeClock) -> Publishing:
    return Publishing(platform, platform, platform, platform, Geo(None), clock)


def states(platform: Platform) -> list[tuple[str, str]]:
    """The lifecycle in the order of its own times."""
    facts = [fact for fact in platform.facts if fact.kind == "stream-lifecycle"]
    assert len({fact.event_id for fact in facts}) == len({fact.at for fact in facts}) == len(facts)
    ordered = sorted(facts, key=lambda fact: fact.at)
    return [(fact.body["state"], fact.body["reason"]) for fact in ordered]


async def test_a_publisher_that_returns_to_a_stream_still_on_the_node_is_live_at_once(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    await publishing.admit(push("u-1", pid="7"))
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "FULL", "{}"))
    platform.facts.clear()
    await clock.advance(2)
    await publishing.admit(push("u-2", pid="8"))
    assert states(platform) == [("started", "ADMITTED"), ("live", "RESUMED")]
    assert publishing.publishers[INTERNAL].state == "live"


async def test_empty_and_the_end_at_one_time_are_in_order(platform: Platform, publishing: Publishing) -> None:
    await publishing.admit(push())
    platform.facts.clear()
    await publishing.ended(trigger("STREAM_END", RUNTIME, "1", "2", "0"))
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "EMPTY"))
    assert states(platform) == [("offline", "EMPTY"), ("ended", "STREAM_END")]


async def test_a_new_boot_ends_what_was_published_before_it(
    platform: Platform, publishing: Publishing
) -> None:
    await publishing.admit(push())
    await publishing.compare(NOWHERE, "boot")
    assert INTERNAL in publishing.publishers
    await publishing.compare(NOWHERE, "boot-2")
    assert publishing.publishers == {}
    assert states(platform)[-1] == ("ended", "NODE_RESTARTED")
    assert platform.released == [(STREAM, 1, "u-1")]


async def test_who_was_admitted_by_the_new_boot_stays(platform: Platform, publishing: Publishing) -> None:
    await publishing.admit(push())
    assert await publishing.compare(HERE, "boot") == []
    assert INTERNAL in publishing.publishers


async def test_a_publisher_the_node_has_lost_is_gone_after_a_while(
    platform: Platform, publishing: Publishing, clock: FakeClock
) -> None:
    await publishing.admit(push())
    await publishing.compare(NOWHERE, "boot")
    await clock.advance(ABSENT_SECONDS - 1)
    await publishing.compare(NOWHERE, "boot")
    assert INTERNAL in publishing.publishers
    await clock.advance(1)
    await publishing.compare(NOWHERE, "boot")
    assert publishing.publishers == {}
    assert states(platform)[-1] == ("ended", "VANISHED")


async def test_a_stream_nobody_was_admitted_to_is_named(publishing: Publishing, clock: FakeClock) -> None:
    assert await publishing.compare(HERE, "boot") == []
    await clock.advance(UNKNOWN_SECONDS)
    assert await publishing.compare(HERE, "boot") == [INTERNAL]
