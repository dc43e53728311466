"""What Foghorn orders: only the publishers it means are stopped; acknowledged when done, and not before."""

import asyncio

import pytest
from helmsman_fakes import INTERNAL, RUNTIME, STREAM, VIEWABLE, Platform, push, trigger, user_new
from msgspec.structs import replace

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.domain import Action
from frameworks.media.helmsman.service.orders import Orders
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.viewing import Viewing


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def viewing(platform: Platform, clock: FakeClock) -> Viewing:
    return Viewing(platform, platform, platform, Geo(None), clock, node="n1", hash_key=b"k")


@pytest.fixture
async def publishing(platform: Platform, clock: FakeClock) -> Publishing:
    made = Publishing(platform, platform, platform, platform, Geo(None), clock)
    await made.admit(push())
    await made.buffer(trigger("STREAM_BUFFER", RUNTIME, "FULL", "{}"))
    return made


@pytest.fixture
def orders(platform: Platform, publishing: Publishing, viewing: Viewing) -> Orders:
    return Orders(platform, publishing, viewing)


async def stop(orders: Orders, *, epoch: int = 1, key_id: str = "", reason: str = "TENANT_SUSPENDED") -> None:
    await orders.stop(INTERNAL, epoch=epoch, key_id=key_id, reason=reason)


async def test_a_publisher_is_stopped_and_its_end_says_why(
    platform: Platform, publishing: Publishing, orders: Orders
) -> None:
    await stop(orders)
    assert platform.stopped == [RUNTIME]
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "EMPTY", uuid="b2"))
    body = platform.facts[-1].body
    assert (body["state"], body["reason"]) == ("offline", "TENANT_SUSPENDED")
    assert "Billing" in body["detail"]


async def test_a_publisher_that_came_after_the_order_stays(platform: Platform, orders: Orders) -> None:
    await stop(orders, epoch=0, key_id="another key")
    assert (platform.stopped, platform.invalidated) == ([], [RUNTIME])


async def test_a_newer_epoch_stays(platform: Platform, publishing: Publishing, orders: Orders) -> None:
    held = publishing.publishers[INTERNAL]
    held.admitted = replace(held.admitted, epoch=2)
    await stop(orders, epoch=1)
    assert platform.stopped == []


async def test_who_publishes_with_the_key_that_ended_is_stopped(platform: Platform, orders: Orders) -> None:
    await stop(orders, key_id=STREAM, reason="KEY_INACTIVE")
    assert platform.stopped == [RUNTIME]


async def test_an_order_a_node_can_not_obey_now_is_not_done(
    platform: Platform, publishing: Publishing, orders: Orders
) -> None:
    platform.away = True
    with pytest.raises(Unavailable):
        await stop(orders)
    assert publishing.publishers[INTERNAL].connected


async def test_viewers_are_judged_by_what_commodore_says_now(
    platform: Platform, viewing: Viewing, orders: Orders, clock: FakeClock
) -> None:
    assert (await viewing.opened(user_new("s1"))).action is Action.VALUE
    platform.viewable = replace(VIEWABLE, suspended=True)
    await orders.ask_again(INTERNAL)
    assert platform.invalidated == [RUNTIME]
    assert (await viewing.opened(user_new("s1"))).action is Action.DENY
    assert (await viewing.resolve(trigger("PLAY_REWRITE", "p" * 16, "h", "HLS", "u"))).action is Action.DENY


async def test_the_claim_is_given_back_when_the_input_has_closed(
    platform: Platform, publishing: Publishing, orders: Orders
) -> None:
    await stop(orders)
    await publishing.input_closed(trigger("PUSH_INPUT_CLOSE", RUNTIME, "h", "RTMP", "7", "CLEAN", "x", "[]"))
    await asyncio.sleep(0)
    assert platform.released == [(STREAM, 1, "u-1")]
