"""Bridge's own events: kept on disk in order, all of them at the end, and refused when too many wait."""

from typing import Any, cast

from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.control.bridge import peers
from frameworks.control.bridge.peers import Outlet
from frameworks.kit.errors import Unavailable


class Delivery:
    """A log on disk, which may be full."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.full = False

    async def record(self, event: events.Event) -> None:
        """Keep it."""
        if self.full:
            raise Unavailable("The disk is full.")
        self.kept.append(event.type)


async def test_what_waits_at_the_end_is_kept_in_order() -> None:
    delivery = Delivery()
    outlet = Outlet(cast("Any", delivery))
    assert all(outlet.offer(events.Event(type=name)) for name in "abc")
    await outlet.flush()
    await outlet.flush()
    assert delivery.kept == ["a", "b", "c"]


async def test_too_many_are_refused_and_a_full_disk_loses_only_what_it_is_offered() -> None:
    delivery = Delivery()
    outlet = Outlet(cast("Any", delivery))
    taken = [outlet.offer(events.Event(type="x")) for _ in range(peers.MAX_WAITING + 1)]
    assert taken.count(False) == 1
    delivery.full = True
    await outlet.flush()
    delivery.full = False
    assert outlet.offer(events.Event(type="y"))
    await outlet.flush()
    assert delivery.kept == ["y"]
