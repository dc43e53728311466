"""Orders: what Commodore no longer allows, told to the nodes that have it until they have done it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import msgspec

from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, micros
from frameworks.media.foghorn.domain import Fleet
from frameworks.media.foghorn.service.viewers import VirtualViewers

KEPT = timedelta(hours=24)
"""A node that was away for longer has no valid attribution left for what it carries."""

MAX_ORDERS = 10_000
AGAIN_SECONDS = 2.0


class Order(msgspec.Struct):
    """Publishers of a stream admitted up to `epoch`, with `key_id` when it is named, may not go on."""

    id: str
    internal_name: str
    reason: str
    epoch: int
    key_id: str
    placed_at: int
    """Microseconds since the epoch."""
    done: list[str] = []
    """Nodes that have."""


@dataclass(frozen=True, slots=True)
class Told:
    """An order as a node hears it: stop the publisher, or (none there) ask about the viewers again."""

    order: Order
    stops: bool


class Memory(Protocol):
    """Where orders survive a restart."""

    def read(self) -> list[Order]:
        """All that were kept."""

    def write(self, found: list[Order]) -> None:
        """Keep these instead."""


class Orders:
    """Keeps orders for a day; one is harmless twice, because a newer publisher has a newer epoch."""

    def __init__(
        self,
        memory: Memory,
        fleet: Fleet,
        viewers: VirtualViewers,
        clock: Clock,
        tell: Callable[[str, Told], bool],
    ) -> None:
        self._memory = memory
        self._fleet = fleet
        self._viewers = viewers
        self._clock = clock
        self._tell = tell
        self._log = logs.get("foghorn")
        self._orders = {order.id: order for order in memory.read()}
        self._by_stream: dict[str, set[str]] = {}
        self._sent: dict[tuple[str, str], float] = {}
        self._changed = False
        for order in self._orders.values():
            self._by_stream.setdefault(order.internal_name, set()).add(order.id)

    def place(self, order_id: str, stops: Iterable[tuple[str, int, str]], reason: str) -> None:
        """Keep an order of (internal name, epoch, key id) and tell the nodes that have those streams now."""
        for internal, epoch, key_id in stops:
            identity = f"{order_id}/{internal}"
            if identity in self._orders:
                continue
            order = Order(identity, internal, reason, epoch, key_id, micros(self._clock.now()))
            self._keep(order)
            for node in {*self._fleet.presence(internal), *self._viewers.nodes_of(internal)}:
                self._say(node, order)
        self.save()

    def heard(self, node: str) -> None:
        """A node has told what it has: tell it what it has not done yet."""
        if not self._orders:
            return
        facts = self._fleet.facts(node)
        here = {*(facts.streams if facts else ()), *self._viewers.watched_on(node)}
        for name in here & self._by_stream.keys():
            for identity in self._by_stream[name]:
                self._say(node, self._orders[identity])

    def done(self, node: str, order_id: str) -> None:
        """A node has obeyed."""
        order = self._orders.get(order_id)
        self._sent.pop((node, order_id), None)
        if order is not None and node not in order.done:
            order.done.append(node)
            self._changed = True
            self._log.info("order.obeyed", node_id=node, reason=order.reason)

    def sweep(self) -> None:
        """Forget old orders, write what changed."""
        oldest = micros(self._clock.now()) - KEPT // timedelta(microseconds=1)
        for order in [order for order in self._orders.values() if order.placed_at < oldest]:
            self._forget(order)
        self.save()

    def standing(self) -> dict[str, int]:
        """How many orders were obeyed by some node, and how many by none yet."""
        obeyed = sum(1 for order in self._orders.values() if order.done)
        return {"obeyed": obeyed, "untold": len(self._orders) - obeyed}

    def save(self) -> None:
        """Write orders to disk, when they changed."""
        if self._changed:
            self._changed = False
            self._memory.write(list(self._orders.values()))

    def _say(self, node: str, order: Order) -> None:
        now, key = self._clock.monotonic(), (node, order.id)
        if node in order.done or now - self._sent.get(key, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        facts = self._fleet.facts(node)
        if self._tell(node, Told(order, bool(facts and order.internal_name in facts.streams))):
            self._sent[key] = now

    def _keep(self, order: Order) -> None:
        self._orders[order.id] = order
        self._by_stream.setdefault(order.internal_name, set()).add(order.id)
        self._changed = True
        while len(self._orders) > MAX_ORDERS:
            self._forget(next(iter(self._orders.values())))

    def _forget(self, order: Order) -> None:
        del self._orders[order.id]
        named = self._by_stream[order.internal_name]
        named.discard(order.id)
        if not named:
            del self._by_stream[order.internal_name]
        self._sent = {key: at for key, at in self._sent.items() if key[1] != order.id}
        self._changed = True
