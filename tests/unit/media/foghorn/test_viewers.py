"""Virtual viewers: reserved when sent, settled when they arrive, given back when they never do."""

import pytest
from foghorn_fakes import INTERNAL, Platform

from frameworks.media.foghorn.domain import DEFAULT_VIEWER_RATE
from frameworks.media.foghorn.service import viewers as module

RATE = 200_000


@pytest.fixture
def platform() -> Platform:
    made = Platform()
    made.report("n1")
    made.report("n2")
    return made


async def test_a_viewer_on_its_way_holds_bandwidth(platform: Platform) -> None:
    first, second = (platform.viewers.expect("n1", INTERNAL) for _ in range(2))
    assert first != second
    assert platform.reserved("n1") == 2 * RATE
    assert platform.viewers.count("n1") == (0, 2)
    assert platform.viewers.of_stream(INTERNAL) == 0


async def test_a_stream_not_measured_yet_reserves_the_usual_rate(platform: Platform) -> None:
    platform.viewers.expect("n1", "another")
    assert platform.reserved("n1") == DEFAULT_VIEWER_RATE


async def test_an_arrived_viewer_settles_with_its_nodes_reports(platform: Platform) -> None:
    correlation = platform.viewers.expect("n1", INTERNAL)
    platform.viewers.opened("n1", "s1", INTERNAL, correlation)
    assert platform.viewers.count("n1") == (1, 0)
    assert platform.reserved("n1") == RATE
    platform.report("n1")
    assert platform.reserved("n1") == RATE * module.DECAY
    for _ in range(30):
        platform.report("n1")
    assert platform.reserved("n1") == 0


async def test_a_viewer_that_never_came_is_given_up(platform: Platform) -> None:
    platform.viewers.expect("n1", INTERNAL)
    await platform.clock.advance(20)
    platform.viewers.expect("n1", INTERNAL)
    await platform.clock.advance(15)
    platform.viewers.sweep()
    assert platform.viewers.count("n1") == (0, 1)
    assert (platform.reserved("n1"), platform.viewers.abandoned) == (RATE, 1)


async def test_a_viewer_that_came_too_late_counts_without_a_reservation(platform: Platform) -> None:
    correlation = platform.viewers.expect("n1", INTERNAL)
    await platform.clock.advance(31)
    platform.viewers.sweep()
    platform.viewers.opened("n1", "s1", INTERNAL, correlation)
    assert platform.viewers.count("n1") == (1, 0)
    assert platform.reserved("n1") == 0


async def test_a_viewer_that_went_elsewhere_frees_the_node_it_was_sent_to(platform: Platform) -> None:
    correlation = platform.viewers.expect("n1", INTERNAL)
    platform.viewers.opened("n2", "s1", INTERNAL, correlation)
    assert (platform.reserved("n1"), platform.reserved("n2")) == (0, 0)
    assert platform.viewers.count("n2") == (1, 0)


async def test_a_viewer_nobody_sent_counts(platform: Platform) -> None:
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    assert platform.viewers.of_stream(INTERNAL) == 1


async def test_a_session_told_twice_counts_once_and_ends_once(platform: Platform) -> None:
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    assert platform.viewers.of_stream(INTERNAL) == 1
    platform.viewers.closed("n1", "s1")
    platform.viewers.closed("n1", "s1")
    assert platform.viewers.of_stream(INTERNAL) == 0
    assert platform.viewers.count("n1") == (0, 0)


async def test_a_viewer_that_moves_with_its_session_id_is_one_on_each_node(platform: Platform) -> None:
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    platform.viewers.opened("n2", "s1", INTERNAL, "")
    platform.viewers.closed("n1", "s1")
    assert platform.viewers.of_stream(INTERNAL) == 1
    assert (platform.viewers.count("n1"), platform.viewers.count("n2")) == ((0, 0), (1, 0))


async def test_a_node_that_leaves_takes_its_sessions_and_their_reservations_along(platform: Platform) -> None:
    arrived = platform.viewers.expect("n1", INTERNAL)
    platform.viewers.opened("n1", "s1", INTERNAL, arrived)
    platform.viewers.opened("n2", "s2", INTERNAL, "")
    platform.viewers.node_gone("n1")
    assert platform.viewers.of_stream(INTERNAL) == 1
    assert platform.reserved("n1") == 0


async def test_the_viewers_on_their_way_are_bounded(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    for _ in range(5):
        platform.viewers.expect("n1", INTERNAL)
    assert platform.viewers.count("n1") == (0, 3)
    assert (platform.reserved("n1"), platform.viewers.abandoned) == (3 * RATE, 2)
