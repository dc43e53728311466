"""Fan-out: whose news it is, how much waits, and what a newcomer is told first."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from frameworks.data.signalman.domain import BadWish, Change, TooManySubscriptions, Wish, wish
from frameworks.data.signalman.service import Hub, Pushed, Subscriber
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable

A, B = UUID(int=1), UUID(int=2)
STREAM, OTHER = UUID(int=11).bytes, UUID(int=12).bytes
ALL = wish((), "", (), hidden=frozenset())


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves when told."""
    return FakeClock()


@pytest.fixture
def hub(clock: FakeClock) -> Hub:
    """A hub with small limits."""
    return Hub(clock, buffer=4, per_tenant=2, remembered=3, linger=timedelta(minutes=1))


def change(number: int, kind: str = "stream-lifecycle", stream: bytes = STREAM) -> Change:
    """The `number`-th event."""
    channels = {"stream-lifecycle": "streams", "user-connection": "analytics", "node-lifecycle": "system"}
    return Change(b"%d" % number, b"%d" % number, kind, channels[kind], stream, stream or b"node", number)


async def nothing() -> list[Change]:
    """No history."""
    return []


def history(*changes: Change) -> Callable[[], Any]:
    """A history of these."""

    async def found() -> list[Change]:
        return list(changes)

    return found


async def heard(hub: Hub, subscriber: Subscriber) -> list[Pushed]:
    """Everything queued for a subscriber when the hub closes."""
    hub.close()
    return [pushed async for pushed in subscriber]


def numbers(pushed: list[Pushed]) -> list[int]:
    """Which events these are."""
    return [int(news.change.event) for news in pushed]


async def test_a_change_reaches_its_tenant_only(hub: Hub) -> None:
    mine, theirs = await hub.join(A, ALL, nothing), await hub.join(B, ALL, nothing)
    assert hub.push(A, [change(1)]) == 1
    assert hub.push(UUID(int=3), [change(2)]) == 0
    assert numbers(await heard(hub, mine)) == [1]
    assert numbers(await heard(hub, theirs)) == []


async def test_filters_leave_out_what_was_not_asked_for(hub: Hub) -> None:
    subscriber = await hub.join(A, Wish(frozenset({"streams"}), STREAM, frozenset()), nothing)
    hub.push(
        A,
        [change(1), change(2, stream=OTHER), change(3, "user-connection"), change(4, "node-lifecycle", b"")],
    )
    assert numbers(await heard(hub, subscriber)) == [1]


async def test_types_narrow_a_subscription(hub: Hub) -> None:
    wanted = wish(["analytics", "streams"], "", ["user-connection"], hidden=frozenset())
    subscriber = await hub.join(A, wanted, nothing)
    hub.push(A, [change(1), change(2, "user-connection")])
    assert numbers(await heard(hub, subscriber)) == [2]


async def test_a_slow_subscriber_loses_the_oldest_and_is_told(hub: Hub) -> None:
    slow = await hub.join(A, ALL, nothing)
    hub.push(A, [change(number) for number in range(7)])
    pushed = await heard(hub, slow)
    assert numbers(pushed) == [3, 4, 5, 6]
    assert {news.dropped for news in pushed} == {3}


async def test_a_newcomer_is_told_the_last_state_of_everything(hub: Hub) -> None:
    first = await hub.join(A, ALL, history(change(1), change(2, stream=OTHER)))
    hub.push(A, [change(5), change(6, "user-connection")])
    second = await hub.join(A, ALL, history(change(99)))
    told = await heard(hub, second)
    assert numbers(told) == [2, 5]
    assert all(news.snapshot for news in told)
    assert [(int(news.change.event), news.snapshot) for news in await heard(hub, first)] == [
        (1, True),
        (2, True),
        (5, False),
        (6, False),
    ]


async def test_an_old_change_does_not_replace_a_newer_state(hub: Hub) -> None:
    await hub.join(A, ALL, history(change(9)))
    hub.push(A, [change(3)])
    second = await hub.join(A, ALL, nothing)
    assert numbers(await heard(hub, second)) == [9]


async def test_the_same_event_twice_is_pushed_once(hub: Hub) -> None:
    subscriber = await hub.join(A, ALL, nothing)
    assert hub.push(A, [change(1), change(1)]) == 1
    assert hub.push(A, [change(1)]) == 0
    assert numbers(await heard(hub, subscriber)) == [1]


async def test_history_away_still_lets_changes_through(hub: Hub) -> None:
    async def away() -> list[Change]:
        raise Unavailable("Periscope is away.")

    subscriber = await hub.join(A, ALL, away)
    hub.push(A, [change(1)])
    assert numbers(await heard(hub, subscriber)) == [1]


async def test_a_tenant_has_a_limited_number_of_subscriptions(hub: Hub) -> None:
    first = await hub.join(A, ALL, nothing)
    await hub.join(A, ALL, nothing)
    with pytest.raises(TooManySubscriptions):
        await hub.join(A, ALL, nothing)
    hub.leave(A, first)
    await hub.join(A, ALL, nothing)
    assert hub.open == 2


async def test_a_tenant_nobody_watches_any_more_is_forgotten(hub: Hub, clock: FakeClock) -> None:
    subscriber = await hub.join(A, ALL, nothing)
    hub.leave(A, subscriber)
    await clock.advance(59)
    hub.push(B, [])
    await hub.join(B, ALL, nothing)
    assert hub.watches(A)
    await clock.advance(2)
    hub.push(B, [change(1)])
    assert not hub.watches(A)


@pytest.mark.parametrize(
    ("channels", "stream", "types"), [(["gossip"], "", []), ([], "x", []), ([], "", ["y"])]
)
def test_a_subscription_to_nonsense_is_refused(channels: list[str], stream: str, types: list[str]) -> None:
    with pytest.raises(BadWish):
        wish(channels, stream, types, hidden=frozenset())


def test_channels_a_caller_may_not_see_are_left_out_of_all() -> None:
    assert wish([], "", [], hidden=frozenset({"system"})).channels == {"streams", "analytics"}
    assert wish(["system"], "", [], hidden=frozenset({"system"})).channels == frozenset()


async def test_history_that_was_away_is_asked_again_by_the_next(hub: Hub) -> None:
    async def away() -> list[Change]:
        raise Unavailable("Periscope is away.")

    await hub.join(A, ALL, away)
    second = await hub.join(A, ALL, history(change(4)))
    assert numbers(await heard(hub, second)) == [4]


async def test_a_closed_hub_opens_no_more(hub: Hub) -> None:
    hub.close()
    with pytest.raises(Unavailable):
        await hub.join(A, ALL, nothing)
