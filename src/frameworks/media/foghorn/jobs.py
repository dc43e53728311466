"""Foghorn's clock: stale nodes, viewers that never came, old orders, what it knows to disk."""

from collections.abc import Awaitable, Callable
from typing import Any

from frameworks.contracts.metrics import foghorn as metrics
from frameworks.kit.clock import Clock
from frameworks.media.foghorn.service.known import KnownStreams
from frameworks.media.foghorn.service.nodes import Nodes
from frameworks.media.foghorn.service.orders import Orders
from frameworks.media.foghorn.service.seats import Seats
from frameworks.media.foghorn.service.viewers import VirtualViewers

EVERY_SECONDS = 2.0


def sweeper(
    nodes: "Nodes[Any]",
    viewers: VirtualViewers,
    known: KnownStreams,
    seats: Seats,
    orders: Orders,
    clock: Clock,
) -> Callable[[], Awaitable[None]]:
    """The loop that keeps Foghorn's picture honest."""

    async def loop() -> None:
        while True:
            await clock.sleep(EVERY_SECONDS)
            nodes.sweep()
            before = viewers.abandoned
            viewers.sweep()
            metrics.ABANDONED.inc(viewers.abandoned - before)
            for standing, count in nodes.standing().items():
                metrics.NODES.labels(standing).set(count)
            await seats.learn()
            orders.sweep()
            for standing, count in orders.standing().items():
                metrics.ORDERS.labels(standing).set(count)
            known.save()

    return loop
