"""The link to Foghorn: an order is acknowledged when it is done, and only then; a place is asked for as the node."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from frameworks.contracts.pb import foghorn_v1_pb2 as pb
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.identity import NodeIdentity, new_key
from frameworks.media.helmsman.peers.foghorn import FoghornLink

STOP = pb.NodeCommand(command_id="o1", stop_stream=pb.StopStream(internal_name="a" * 32))


@dataclass
class Connection:
    """Commands down; reports up are read as they come."""

    requests: AsyncIterator[pb.NodeReport]
    commands: "asyncio.Queue[pb.NodeCommand]"
    heard: list[pb.NodeReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for report in self.requests:
            self.heard.append(report)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> pb.NodeCommand:
        return await self.commands.get()

    def cancel(self) -> bool:
        return self.reading.cancel()


@dataclass
class Foghorn:
    """The stub."""

    commands: "asyncio.Queue[pb.NodeCommand]" = field(default_factory=asyncio.Queue)
    connection: Connection | None = None
    asked: list[tuple[pb.AdmitViewerRequest, Any]] = field(default_factory=list)

    def Connect(self, requests: AsyncIterator[pb.NodeReport], metadata: Any) -> Connection:
        self.connection = Connection(requests, self.commands)
        return self.connection

    async def AdmitViewer(
        self, request: pb.AdmitViewerRequest, timeout: float, metadata: Any
    ) -> pb.ViewerAdmission:
        self.asked.append((request, metadata))
        return pb.ViewerAdmission(admitted=False, reason="VIEWER_LIMIT", watching=7, allowed=7)

    def done(self) -> list[str]:
        """The orders that were acknowledged."""
        assert self.connection is not None
        reports = self.connection.heard
        return [r.command_done.command_id for r in reports if r.WhichOneof("report") == "command_done"]


@pytest.fixture
def foghorn() -> Foghorn:
    return Foghorn()


@pytest.fixture
def link(foghorn: Foghorn) -> FoghornLink:
    clock = FakeClock()
    stub: Any = foghorn
    return FoghornLink(stub, NodeIdentity("n1", new_key(), "certificate", clock), clock)


async def turns() -> None:
    """Let every task have its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_order_is_acknowledged_when_it_is_done_and_not_when_it_could_not_be(
    foghorn: Foghorn, link: FoghornLink
) -> None:
    obeyed: list[str] = []
    faults = [Unavailable("The media node does not answer.")]

    async def obey(command: pb.NodeCommand) -> None:
        obeyed.append(command.command_id)
        if faults:
            raise faults.pop()

    running = asyncio.ensure_future(link.run(obey))
    foghorn.commands.put_nowait(STOP)
    await turns()
    assert (obeyed, foghorn.done()) == (["o1"], [])
    foghorn.commands.put_nowait(STOP)
    await turns()
    assert (obeyed, foghorn.done()) == (["o1", "o1"], ["o1"])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_place_is_asked_for_as_the_node(foghorn: Foghorn, link: FoghornLink) -> None:
    seat = await link.seat("a" * 32, "s1", "c1")
    assert (seat.admitted, seat.reason, seat.watching) == (False, "VIEWER_LIMIT", 7)
    [(request, metadata)] = foghorn.asked
    assert (request.session_id, request.correlation_id) == ("s1", "c1")
    assert metadata[0][1].startswith("Bearer ")
