"""Orders: told to whoever has the stream, again until it is done, and to a node that was away when it is back."""

import pytest
from foghorn_fakes import INTERNAL, Platform

STOP = [(INTERNAL, 3, "key-1")]


@pytest.fixture
def platform() -> Platform:
    made = Platform()
    made.report("n1")
    made.report("n2", None)
    return made


def told(platform: Platform) -> list[tuple[str, bool]]:
    """Node and whether it is to stop a publisher, since the last look."""
    found = [(node, each.stops) for node, each in platform.told]
    platform.told.clear()
    return found


async def test_the_node_that_has_the_stream_is_told_at_once_and_no_other(platform: Platform) -> None:
    platform.orders.place("o1", STOP, "KEY_INACTIVE")
    [(node, order)] = platform.told
    assert (node, order.stops) == ("n1", True)
    assert (order.order.epoch, order.order.key_id, order.order.reason) == (3, "key-1", "KEY_INACTIVE")


async def test_a_node_with_viewers_only_asks_about_them_again(platform: Platform) -> None:
    platform.viewers.opened("n2", "s1", INTERNAL, "")
    platform.orders.place("o1", STOP, "TENANT_SUSPENDED")
    assert sorted(told(platform)) == [("n1", True), ("n2", False)]


async def test_an_order_is_told_again_until_it_is_done(platform: Platform) -> None:
    platform.orders.place("o1", STOP, "TENANT_SUSPENDED")
    platform.orders.heard("n1")
    assert told(platform) == [("n1", True)]
    await platform.clock.advance(2)
    platform.orders.heard("n1")
    assert told(platform) == [("n1", True)]
    platform.orders.done("n1", f"o1/{INTERNAL}")
    await platform.clock.advance(2)
    platform.orders.heard("n1")
    assert told(platform) == []
    assert platform.orders.standing() == {"obeyed": 1, "untold": 0}


async def test_the_same_order_again_is_one_order(platform: Platform) -> None:
    platform.orders.place("o1", STOP, "TENANT_SUSPENDED")
    platform.orders.done("n1", f"o1/{INTERNAL}")
    await platform.clock.advance(5)
    platform.orders.place("o1", STOP, "TENANT_SUSPENDED")
    assert told(platform) == [("n1", True)]


async def test_a_node_that_was_away_is_told_when_it_is_back(platform: Platform) -> None:
    platform.connected = False
    platform.orders.place("o1", STOP, "TENANT_SUSPENDED")
    platform.connected = True
    platform.orders.heard("n2")
    assert told(platform) == []
    platform.orders.heard("n1")
    assert told(platform) == [("n1", True)]


async def test_orders_survive_a_restart(platform: Platform) -> None:
    platform.connected = False
    platform.orders.place("o1", STOP, "TENANT_SUSPENDED")
    again = Platform(clock=platform.clock, order_file=platform.order_file)
    again.report("n1")
    again.orders.heard("n1")
    assert told(again) == [("n1", True)]


async def test_an_order_is_forgotten_after_a_day(platform: Platform) -> None:
    platform.connected = False
    platform.orders.place("o1", STOP, "TENANT_SUSPENDED")
    await platform.clock.advance(24 * 3600 + 1)
    platform.orders.sweep()
    platform.connected = True
    platform.orders.heard("n1")
    assert (told(platform), platform.order_file.kept) == ([], [])
