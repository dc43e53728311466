"""Fan-out: whose news it is, how much is kept, and what a newcomer is told first."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fixtures_signalman import OTHER, STREAM, MemoryLog, Replica, event, number_of

from frameworks.data.signalman.domain import positions
from frameworks.data.signalman.domain.changes import BadWish, Change, TooManySubscriptions, Wish, wish
from frameworks.data.signalman.service.hub import Hub
from frameworks.data.signalman.service.reader import Mark, Pushed, Reader
from frameworks.data.signalman.service.tail import Raw, Tail
from frameworks.data.signalman.service.watched import Bounds
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unauthenticated, Unavailable

A, B = UUID(int=1), UUID(int=2)
ALL = wish((), "", (), hidden=frozenset())
BOUNDS = Bounds(changes=4, octets=1 << 20, remembered=3, per_tenant=2, linger=timedelta(minutes=1))


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves when told."""
    return FakeClock()


@pytest.fixture
def log() -> MemoryLog:
    """An empty log."""
    return MemoryLog()


@pytest.fixture
async def replica(log: MemoryLog, clock: FakeClock) -> Replica:
    """A replica with small limits that follows the log."""
    made = Replica(log, clock, BOUNDS)
    await made.look()
    return made


@pytest.fixture
def hub(replica: Replica) -> Hub:
    """Its hub."""
    return replica.hub


async def nothing() -> list[Change]:
    """No history."""
    return []


async def away() -> list[Change]:
    """History does not answer."""
    raise Unavailable("Periscope is away.")


def history(*numbers: int, stream: UUID = STREAM) -> Callable[[], Any]:
    """A history of these events of tenant A."""

    async def found() -> list[Change]:
        return [change(number, stream=stream) for number in numbers]

    return found


def change(number: int, kind: str = "stream-lifecycle", stream: UUID = STREAM) -> Change:
    """The `number`-th event."""
    of = {"stream-lifecycle": "streams", "user-connection": "analytics", "node-lifecycle": "system"}[kind]
    told = event(number, A, stream, kind)
    subject = told.stream_id or b"node-1"
    return Change(
        told.SerializeToString(), told.event_id, kind, of, told.stream_id, subject, told.occurred_at
    )


async def publish(replica: Replica, log: MemoryLog, tenant: UUID, *numbers: int, **more: Any) -> None:
    """One record, read."""
    log.append(0, tenant, [event(number, tenant, **more) for number in numbers])
    await replica.read()


async def heard(hub: Hub, reader: Reader) -> list[Pushed]:
    """Everything for a subscriber until the hub closes."""
    hub.close()
    return [pushed async for pushed in reader]


def numbers(pushed: list[Pushed], *, snapshot: bool = False) -> list[int]:
    """Which events these are."""
    return [number_of(p.change) for p in pushed if p.change is not None and p.snapshot is snapshot]


async def test_a_change_reaches_its_tenant_only(replica: Replica, log: MemoryLog, hub: Hub) -> None:
    mine, theirs = await hub.join(A, ALL, nothing), await hub.join(B, ALL, nothing)
    await publish(replica, log, A, 1)
    await publish(replica, log, UUID(int=3), 2)
    assert numbers(await heard(hub, mine)) == [1]
    assert numbers(await heard(hub, theirs)) == []


async def test_filters_leave_out_what_was_not_asked_for(replica: Replica, log: MemoryLog, hub: Hub) -> None:
    reader = await hub.join(A, Wish(frozenset({"streams"}), STREAM.bytes), nothing)
    await publish(replica, log, A, 1)
    await publish(replica, log, A, 2, stream=OTHER)
    await publish(replica, log, A, 3, kind="user-connection")
    await publish(replica, log, A, 4, kind="node-lifecycle")
    assert numbers(await heard(hub, reader)) == [1]


async def test_what_was_not_asked_for_never_makes_a_subscriber_slow(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    wanted = wish(["analytics", "streams"], "", ["user-connection"], hidden=frozenset())
    reader = await hub.join(A, wanted, nothing)
    frames = aiter(reader)
    assert [(await anext(frames)).mark for _ in range(2)] == [Mark.SNAPSHOT_STARTED, Mark.SNAPSHOT_FINISHED]
    for number in range(1, 20):
        await publish(replica, log, A, number)
    await publish(replica, log, A, 20, kind="user-connection")
    told = await anext(frames)
    assert (told.mark, told.change is not None and number_of(told.change)) == (Mark.CHANGE, 20)


async def test_a_slow_subscriber_is_told_of_the_gap_and_how_things_are(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    slow = await hub.join(A, ALL, nothing)
    for number in range(1, 8):
        await publish(replica, log, A, number)
    pushed = await heard(hub, slow)
    starts = [p.reason for p in pushed if p.mark is Mark.SNAPSHOT_STARTED]
    assert starts == ["subscribed", "gap"]
    assert numbers(pushed, snapshot=True) == [7]
    assert numbers(pushed) == []


async def test_a_newcomer_is_told_the_last_state_of_everything(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    async def both() -> list[Change]:
        return [change(1), change(2, stream=OTHER)]

    first = await hub.join(A, ALL, both)
    await publish(replica, log, A, 5)
    await publish(replica, log, A, 6, kind="user-connection")
    second = await hub.join(A, ALL, history(99))
    told = await heard(hub, second)
    assert numbers(told, snapshot=True) == [2, 5]
    assert [p.mark for p in told] == [
        *(Mark.SNAPSHOT_STARTED, Mark.CHANGE, Mark.CHANGE, Mark.SNAPSHOT_FINISHED),
    ]
    firsts = await heard(hub, first)
    assert (numbers(firsts, snapshot=True), numbers(firsts)) == ([1, 2], [5, 6])


async def test_what_was_observed_here_is_newer_than_what_history_says(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    await publish(replica, log, A, 3)
    reader = await hub.join(A, ALL, history(9))
    assert numbers(await heard(hub, reader), snapshot=True) == [3]


async def test_an_old_change_does_not_replace_a_newer_state(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    await hub.join(A, ALL, nothing)
    await publish(replica, log, A, 9)
    await publish(replica, log, A, 3)
    second = await hub.join(A, ALL, nothing)
    assert numbers(await heard(hub, second), snapshot=True) == [9]


async def test_the_same_event_twice_is_pushed_once(replica: Replica, log: MemoryLog, hub: Hub) -> None:
    reader = await hub.join(A, ALL, nothing)
    await publish(replica, log, A, 1, 1)
    await publish(replica, log, A, 1)
    assert numbers(await heard(hub, reader)) == [1]


async def test_a_snapshot_without_history_says_that_it_is_not_complete(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    reader = await hub.join(A, ALL, away)
    await publish(replica, log, A, 1)
    told = await heard(hub, reader)
    assert not told[0].complete
    assert numbers(told) == [1]


async def test_a_snapshot_of_more_than_is_kept_says_that_it_is_not_complete(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    await hub.join(A, ALL, nothing)
    for number in range(1, 6):
        await publish(replica, log, A, number, stream=UUID(int=number))
    told = await heard(hub, await hub.join(A, ALL, nothing))
    assert not told[0].complete
    assert numbers(told, snapshot=True) == [3, 4, 5]


async def test_history_that_was_away_is_asked_again_by_the_next(hub: Hub) -> None:
    await hub.join(A, ALL, away)
    second = await hub.join(A, ALL, history(4))
    told = await heard(hub, second)
    assert told[0].complete
    assert numbers(told, snapshot=True) == [4]


async def test_a_position_goes_on_where_it_was_left(replica: Replica, log: MemoryLog, hub: Hub) -> None:
    first = aiter(await hub.join(A, ALL, nothing))
    await publish(replica, log, A, 1, 2)
    told = [await anext(first) for _ in range(3)]
    again = await hub.join(A, ALL, nothing, told[-1].position)
    pushed = await heard(hub, again)
    assert pushed[0].mark is Mark.RESUMED
    assert numbers(pushed) == [2]


async def test_a_position_of_another_tenant_or_epoch_is_none(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    *_, finished = await heard_so_far(await hub.join(A, ALL, nothing))
    theirs = await heard_so_far(await hub.join(B, ALL, nothing, finished.position))
    assert theirs[0].reason == "unknown_position"
    log.make_anew()
    await replica.look()
    later = await heard_so_far(await hub.join(A, ALL, nothing, finished.position))
    assert later[0].reason == "unknown_position"


async def heard_so_far(reader: Reader) -> list[Pushed]:
    """The snapshot a subscription begins with."""
    found: list[Pushed] = []
    async for pushed in reader:
        found.append(pushed)
        if pushed.mark is Mark.SNAPSHOT_FINISHED:
            break
    return found


async def test_a_restarted_replica_goes_on_where_the_one_before_was(
    replica: Replica, log: MemoryLog, hub: Hub, clock: FakeClock
) -> None:
    *_, finished = await heard_so_far(await hub.join(A, ALL, nothing))
    await publish(replica, log, A, 1, 2)
    log.append(1, B, [event(3, B)])
    other = Replica(log, clock, BOUNDS)
    await other.catch_up()
    pushed = await heard(other.hub, await other.hub.join(A, ALL, nothing, finished.position))
    assert pushed[0].mark is Mark.RESUMED
    assert numbers(pushed) == [1, 2]


async def test_an_idle_subscriber_learns_how_far_the_log_was_read(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    reader = await hub.join(A, ALL, nothing)
    frames = aiter(reader)
    for _ in range(2):
        last = await anext(frames)
    await publish(replica, log, B, 1)
    await replica.look()
    told = await anext(frames)
    assert told.mark is Mark.POSITION
    assert told.position != last.position


async def test_a_subscription_ends_with_its_credential(
    replica: Replica, log: MemoryLog, hub: Hub, clock: FakeClock
) -> None:
    reader = await hub.join(A, ALL, nothing, "", clock.now() + timedelta(minutes=1))
    await clock.advance(61)
    await replica.look()
    with pytest.raises(Unauthenticated):
        [pushed async for pushed in reader]


async def test_a_tenant_has_a_limited_number_of_subscriptions(hub: Hub) -> None:
    first = await hub.join(A, ALL, nothing)
    await hub.join(A, ALL, nothing)
    with pytest.raises(TooManySubscriptions):
        await hub.join(A, ALL, nothing)
    hub.leave(first)
    await hub.join(A, ALL, nothing)
    assert hub.open == 2


async def test_a_tenant_nobody_watches_any_more_is_forgotten(
    hub: Hub, replica: Replica, clock: FakeClock
) -> None:
    reader = await hub.join(A, ALL, nothing)
    hub.leave(reader)
    await clock.advance(59)
    await hub.join(B, ALL, nothing)
    assert hub.watches(A)
    await clock.advance(2)
    await replica.look()
    assert not hub.watches(A)
    assert hub.watches(B)


async def test_a_replica_that_has_not_reached_the_log_opens_nothing(
    log: MemoryLog, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frameworks.data.signalman.service.hub.REACH_WITHIN", 0)
    with pytest.raises(Unavailable):
        await Replica(log, clock, BOUNDS).hub.join(A, ALL, nothing)


async def test_a_closed_hub_opens_no_more(hub: Hub) -> None:
    hub.close()
    with pytest.raises(Unavailable):
        await hub.join(A, ALL, nothing)


async def test_records_of_nobody_and_of_nonsense_are_passed_over(
    replica: Replica, log: MemoryLog, hub: Hub
) -> None:
    reader = await hub.join(A, ALL, nothing)
    good = log.append(0, A, [event(1, A), event(2, B)])
    mine = {"tenant_id": str(A)}
    bad: list[tuple[bytes, dict[str, str]]] = [(b"nonsense", mine), (b"\x0a\x01\xff", mine), (good.value, {})]
    for value, headers in bad:
        log.records.append(type(good)(good.topic, 0, log.end, value, headers, 0))
        log.end += 1
    await publish(replica, log, A, 3)
    assert numbers(await heard(hub, reader)) == [1, 3]
    assert hub.wanted[0] == log.end


def test_the_tail_gives_way_at_its_limit_and_says_since_when_it_is_whole() -> None:
    tail = Tail(1000)
    tail.begin([positions.key(1), positions.key(1)])
    for offset in range(1, 6):
        tail.add(Raw(A if offset % 2 else B, 0, offset, bytes(100)))
    floor, records = tail.of(A, 10)
    assert [raw.offset for raw in records] == [5]
    assert floor == [positions.key(4), positions.key(1)]
    floor, records = tail.of(B, 0)
    assert (floor[0], records) == (positions.key(5), [])


@pytest.mark.parametrize(
    ("channels", "stream", "types"), [(["gossip"], "", []), ([], "x", []), ([], "", ["y"])]
)
def test_a_subscription_to_nonsense_is_refused(channels: list[str], stream: str, types: list[str]) -> None:
    with pytest.raises(BadWish):
        wish(channels, stream, types, hidden=frozenset())


def test_channels_a_caller_may_not_see_are_left_out_of_all() -> None:
    assert wish([], "", [], hidden=frozenset({"system"})).channels == {"streams", "analytics"}
    assert wish(["system"], "", [], hidden=frozenset({"system"})).channels == frozenset()
