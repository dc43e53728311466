"""The standing of each node: what it reports, when it goes silent, what it is told to do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from frameworks.kit import log as logs
from frameworks.kit.clock import Clock
from frameworks.media.foghorn.domain import Fleet, NodeFacts
from frameworks.media.foghorn.service.routing import NodeAddresses
from frameworks.media.foghorn.service.viewers import VirtualViewers

Command = TypeVar("Command")
MAX_COMMANDS = 256


@dataclass(slots=True)
class Link(Generic[Command]):
    """One node's standing connection; a newer one of the same node supersedes it."""

    node: str
    commands: "asyncio.Queue[Command]" = field(default_factory=lambda: asyncio.Queue(MAX_COMMANDS))
    superseded: asyncio.Event = field(default_factory=asyncio.Event)

    async def outgoing(self) -> AsyncIterator[Command]:
        """Commands as they come, until a newer connection takes over."""
        gone = asyncio.ensure_future(self.superseded.wait())
        try:
            while not self.superseded.is_set():
                command = asyncio.ensure_future(self.commands.get())
                await asyncio.wait({command, gone}, return_when=asyncio.FIRST_COMPLETED)
                if command.done():
                    yield command.result()
                else:
                    command.cancel()
        finally:
            gone.cancel()


class Nodes(Generic[Command]):
    """Applies reports to the fleet; one link per node."""

    def __init__(
        self,
        fleet: Fleet,
        viewers: VirtualViewers,
        clock: Clock,
        *,
        stale_after: timedelta,
        forget_after: timedelta,
    ) -> None:
        self.fleet = fleet
        self.addresses: dict[str, NodeAddresses] = {}
        self._viewers = viewers
        self._clock = clock
        self._stale_after = stale_after.total_seconds()
        self._forget_after = forget_after.total_seconds()
        self._seen: dict[str, float] = {}
        self._boots: dict[str, str] = {}
        self._links: dict[str, Link[Command]] = {}
        self._log = logs.get("foghorn")

    def connect(self, node: str) -> Link[Command]:
        """A node has connected and will tell all its sessions; an older connection, half open perhaps, is let go."""
        link: Link[Command] = Link(node)
        self._viewers.node_gone(node)
        if (older := self._links.get(node)) is not None:
            older.superseded.set()
        self._links[node] = link
        self._log.info("node.connected", node_id=node)
        return link

    def disconnected(self, link: Link[Command]) -> None:
        """A connection ended; the node stays in the picture until it is stale."""
        link.superseded.set()
        if self._links.get(link.node) is link:
            del self._links[link.node]
            self._log.info("node.disconnected", node_id=link.node)

    def report(self, facts: NodeFacts, addresses: NodeAddresses, boot: str, *, answers: bool = True) -> None:
        """Take a node's newest facts; a new boot ends the sessions of the old one.

        A node whose own process does not answer its agent is out at once, and back with the first report that says
        otherwise.
        """
        was_away = self.fleet.is_stale(facts.node)
        if self._boots.get(facts.node, boot) != boot:
            self._viewers.node_gone(facts.node)
        self._boots[facts.node] = boot
        self.addresses[facts.node] = addresses
        self._seen[facts.node] = self._clock.monotonic()
        self.fleet.update(facts)
        self._viewers.node_reported(facts.node)
        if not answers:
            self.fleet.mark_stale(facts.node)
        if answers == was_away:
            self._log.warning("node.recovered" if answers else "node.failed", node_id=facts.node)

    def command(self, node: str, command: Command) -> bool:
        """Tell a node something; False when it is not connected or does not keep up."""
        link = self._links.get(node)
        if link is None or link.commands.full():
            return False
        link.commands.put_nowait(command)
        return True

    def sweep(self) -> None:
        """Mark the silent ones stale, forget the long silent ones."""
        now = self._clock.monotonic()
        for node, seen in list(self._seen.items()):
            if now - seen > self._forget_after:
                self._forget(node)
            elif now - seen > self._stale_after and not self.fleet.is_stale(node):
                self.fleet.mark_stale(node)
                self._log.warning("node.silenced", node_id=node, silent_seconds=round(now - seen))

    def standing(self) -> dict[str, int]:
        """How many nodes are fresh and stale."""
        stale = sum(self.fleet.is_stale(node) for node in self.fleet.nodes)
        return {"fresh": len(self.fleet) - stale, "stale": stale}

    def _forget(self, node: str) -> None:
        del self._seen[node]
        self._boots.pop(node, None)
        self.addresses.pop(node, None)
        self.fleet.remove(node)
        self._viewers.node_gone(node)
        self._log.warning("node.forgotten", node_id=node)
