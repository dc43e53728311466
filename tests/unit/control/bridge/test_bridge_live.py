"""Live changes over a real hub: a subscriber of Bridge sees no gap when Signalman restarts."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from fixtures_bridge import ALL_SCOPES, TENANT, BridgeFactory
from fixtures_signalman import MemoryLog, Replica, event

from frameworks.contracts.pb import signalman_v1_pb2 as pb
from frameworks.control.bridge.api.context import Context
from frameworks.control.bridge.api.live import frames
from frameworks.control.bridge.config import Settings
from frameworks.control.bridge.domain import Caller
from frameworks.data.signalman.api.calls import Api
from frameworks.data.signalman.domain.changes import Change
from frameworks.data.signalman.service.watched import Bounds
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.identity import Principal, PrincipalKind

MINE = UUID(TENANT)
CALLER = Principal(PrincipalKind.USER, "user", MINE, frozenset(ALL_SCOPES))
REQUEST = pb.SubscribeRequest(channels=["streams"])


class Nothing:
    """No history."""

    async def changes(self, tenant: UUID, metadata: Any) -> list[Change]:
        """None."""
        return []


@dataclass
class Stream:
    """A streaming call in process."""

    answers: AsyncIterator[pb.Frame]

    def __aiter__(self) -> AsyncIterator[pb.Frame]:
        return self.answers

    def cancel(self) -> bool:
        """The caller leaves."""
        return True


@dataclass
class Signalman:
    """The replica of the moment behind a stub."""

    log: MemoryLog
    clock: FakeClock
    changes: int = 100
    replica: Replica = field(init=False)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new process."""
        self.replica = Replica(self.log, self.clock, Bounds(changes=self.changes))

    def Subscribe(self, request: pb.SubscribeRequest, metadata: Any = None) -> Stream:
        """The real servicer's answer."""
        self.asked.append(request.position)
        call = SimpleNamespace(tenant=MINE, principal=CALLER, forward=lambda: metadata)
        return Stream(Api(self.replica.hub, Nothing()).Subscribe(request, cast("Any", call)))


@dataclass
class Follower:
    """A GraphQL subscription's source."""

    signalman: Signalman
    source: Any
    got: list[int] = field(default_factory=list)

    async def publish(self, *numbers: int) -> None:
        """Records of the tenant, read by the replica if it runs."""
        for number in numbers:
            self.signalman.log.append(0, MINE, [event(number, MINE)])

    async def hears(self, count: int) -> list[int]:
        """The next events."""
        await self.signalman.replica.catch_up()
        for _ in range(count):
            found = await anext(self.source)
            self.got.append(UUID(bytes=found.event_id).int)
        return self.got


@pytest.fixture
async def follower(make_bridge: BridgeFactory) -> AsyncIterator[Follower]:
    """Somebody who follows the tenant through Bridge."""
    clock = FakeClock()
    signalman = Signalman(MemoryLog(), clock)
    peers = make_bridge().peers
    object.__setattr__(peers, "signalman", signalman)
    context = Context(Caller(CALLER, "token"), peers, Settings(), Impatient(clock))
    info = cast("Any", SimpleNamespace(context=context))
    await signalman.replica.look()
    async with aclosing(frames(info, REQUEST)) as source:
        yield Follower(signalman, source)


@dataclass
class Impatient:
    """A clock on which waiting takes no time."""

    clock: FakeClock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clock, name)

    async def sleep(self, _: float) -> None:
        """Go on at once."""


async def test_a_restart_of_signalman_leaves_no_gap(follower: Follower) -> None:
    await follower.publish(1, 2)
    assert await follower.hears(1) == [2]
    await follower.publish(3)
    assert await follower.hears(1) == [2, 3]
    follower.signalman.replica.hub.close()
    await follower.publish(4, 5)
    follower.signalman.start()
    assert await follower.hears(2) == [2, 3, 4, 5]
    await follower.publish(6)
    assert await follower.hears(1) == [2, 3, 4, 5, 6]
    assert follower.signalman.asked[0] == ""
    assert len(follower.signalman.asked) == 2
    assert follower.signalman.asked[1]


async def test_where_a_position_can_not_be_resumed_the_snapshot_follows(follower: Follower) -> None:
    await follower.publish(1)
    assert await follower.hears(1) == [1]
    follower.signalman.replica.hub.close()
    follower.signalman.log.make_anew()
    await follower.publish(2, 3)
    follower.signalman.start()
    assert await follower.hears(1) == [1, 3]
    await follower.publish(4)
    assert await follower.hears(1) == [1, 3, 4]


async def test_a_signalman_that_stays_away_ends_the_subscription(follower: Follower) -> None:
    follower.signalman.replica.hub.close()
    with pytest.raises(Unavailable):
        await anext(follower.source)
    assert len(follower.signalman.asked) == 6
