"""The standing connection to Foghorn: node state and viewers up, commands down."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from frameworks.contracts.pb import foghorn_v1_pb2 as pb
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, jitter
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.identity import NodeIdentity
from frameworks.kit.rpc import reading
from frameworks.media.helmsman.service.reporting import Seat

if TYPE_CHECKING:
    from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceAsyncStub

MAX_WAITING = 10_000
ASK_SECONDS = 1.0
"""A viewer waits meanwhile; without an answer the node judges alone."""
EVERY_SECONDS = 2.0


class FoghornLink:
    """A `Router`: keeps one stream open, sends the node's state on change and at least every 2 s."""

    def __init__(self, stub: "FoghornServiceAsyncStub", node: NodeIdentity, clock: Clock) -> None:
        self._stub = stub
        self._node = node
        self._clock = clock
        self._log = logs.get("helmsman")
        self._reports: asyncio.Queue[pb.NodeReport] = asyncio.Queue(MAX_WAITING)
        self._change = asyncio.Event()
        self.state: Callable[[], pb.NodeState | None] = lambda: None
        self.sessions: Callable[[], list[pb.ViewerOpened]] = list
        self.connected = False

    async def seat(self, stream: str, session: str, correlation: str) -> Seat:
        """Ask for a viewer's place within the tenant's plan. Raises Refusal, Unavailable."""
        asked = pb.AdmitViewerRequest(internal_name=stream, session_id=session, correlation_id=correlation)
        answer = await self._stub.AdmitViewer(asked, timeout=ASK_SECONDS, metadata=self._as_node())
        return Seat(answer.admitted, answer.reason, answer.watching)

    def _as_node(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._node.bearer('foghorn')}"),)

    def viewer_opened(self, stream: str, session: str, correlation: str, connector: str) -> None:
        """A session was opened on this node."""
        opened = pb.ViewerOpened(
            internal_name=stream, session_id=session, correlation_id=correlation, connector=connector
        )
        self._send(pb.NodeReport(viewer_opened=opened))

    def viewer_closed(self, session: str) -> None:
        """A session was closed on this node."""
        self._send(pb.NodeReport(viewer_closed=pb.ViewerClosed(session_id=session)))

    def changed(self) -> None:
        """Tell the node's state now, not at the next tick."""
        self._change.set()

    def _send(self, report: pb.NodeReport) -> None:
        """While away nothing is queued: every new connection starts with all open sessions."""
        if self.connected and not self._reports.full():
            self._reports.put_nowait(report)

    async def run(self, obey: Callable[[pb.NodeCommand], Awaitable[None]]) -> None:
        """Stay connected for ever."""
        wait = 0.5
        while True:
            try:
                with reading(self._stub.Connect(self._outgoing(), metadata=self._as_node())) as commands:
                    async for command in commands:
                        wait = 0.5
                        await self._do(command, obey)
            except (Unavailable, Refusal) as error:
                self._log.warning("foghorn.lost", reason=error.message)
            self.connected = False
            await self._clock.sleep(jitter(wait))
            wait = min(wait * 2, 10.0)

    async def _do(self, command: pb.NodeCommand, obey: Callable[[pb.NodeCommand], Awaitable[None]]) -> None:
        """Obey and say so; what could not be done is not said, and comes again."""
        try:
            await obey(command)
        except Unavailable as away:
            self._log.warning("command.delayed", command=command.WhichOneof("command"), reason=away.message)
            return
        self._send(pb.NodeReport(command_done=pb.CommandDone(command_id=command.command_id)))

    async def _outgoing(self) -> AsyncIterator[pb.NodeReport]:
        while not self._reports.empty():
            self._reports.get_nowait()
        self.connected = True
        if (state := self.state()) is not None:
            yield pb.NodeReport(state=state)
        for opened in self.sessions():
            yield pb.NodeReport(viewer_opened=opened)
        while True:
            report = await self._next()
            if report is not None:
                yield report
            elif (state := self.state()) is not None:
                yield pb.NodeReport(state=state)

    async def _next(self) -> pb.NodeReport | None:
        """The next viewer report, or None when it is time to tell the state."""
        waiting = asyncio.ensure_future(self._reports.get())
        change = asyncio.ensure_future(self._change.wait())
        tick = asyncio.ensure_future(self._clock.sleep(EVERY_SECONDS))
        try:
            await asyncio.wait({waiting, change, tick}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            self._change.clear()
            return None
        finally:
            for task in (waiting, change, tick):
                task.cancel()
