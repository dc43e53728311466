"""One call within the process, known to both sides: the caller's reply and the servicer's task hold it."""

import asyncio

import grpc

from frameworks.kit.rpc.deadlines import Timed
from frameworks.kit.rpc.faults import Status
from frameworks.kit.rpc.pipe import Pipe

DEADLINE = Status(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
STOPPED = Status(grpc.StatusCode.UNAVAILABLE, "The servicer has stopped.")


class Streams:
    """What is under way of a call's streams; a direction with one message leaves its pipe unused."""

    __slots__ = ("_feeder", "requests", "responses", "source_error")

    def __init__(self) -> None:
        self.requests = Pipe()
        self.responses = Pipe()
        self.source_error: Exception | None = None
        """What the caller's source of requests raised."""
        self._feeder: asyncio.Task[None] | None = None

    def feed(self, feeder: asyncio.Task[None]) -> None:
        """Let `feeder` bring the requests."""
        self._feeder = feeder
        feeder.add_done_callback(_retrieved)

    def close(self, *, discard: bool) -> None:
        """Take no more; responses that came are still read, unless they are to be discarded."""
        if self._feeder is not None:
            self._feeder.cancel()
        self.requests.close(discard=True)
        self.responses.close(discard=discard)


def _retrieved(feeder: asyncio.Task[None]) -> None:
    """The source's error is the caller's, who has it from the source: asyncio need not log it again."""
    if not feeder.cancelled():
        feeder.exception()


class Flow:
    """A call from its start to its end."""

    __slots__ = ("_running", "_waiters", "deadline", "due", "response", "status", "streams", "task")

    def __init__(self, running: "set[Flow]") -> None:
        self._running = running
        self._waiters: list[asyncio.Future[None]] = []
        self.streams: Streams | None = None
        self.status: Status | None = None
        self.response = b""
        self.deadline: float | None = None
        """The loop's time by which the caller wants its answer."""
        self.due: set[Timed] | None = None
        """Where the deadline is kept."""
        self.task: asyncio.Task[None] | None = None

    def serve(self, task: asyncio.Task[None]) -> None:
        """Let `task` serve the call, which is among those running until it ends."""
        self.task = task
        self._running.add(self)

    def expire(self) -> None:
        """The deadline has come."""
        self.give_up(DEADLINE)

    def give_up(self, status: Status) -> None:
        """End the call before its servicer does, whose task is cancelled."""
        if self.status is not None:
            return
        self.finish(status, discard=True)
        if self.task is not None:
            # A task that is cancelled before its first step runs nothing, not even its `finally`.
            self.task.add_done_callback(self.left)
            self.task.cancel()

    def left(self, _: object = None) -> None:
        """The servicer's task has ended."""
        self._running.discard(self)
        if self.status is None:
            self.finish(STOPPED)

    def finish(self, status: Status, *, discard: bool = False) -> None:
        """End the call, once; whoever waits is woken."""
        if self.status is not None:
            return
        self.status = status
        if self.due is not None:
            self.due.discard(self)
        if self.streams is not None:
            self.streams.close(discard=discard)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def waiter(self) -> asyncio.Future[None]:
        """Done when the call has ended."""
        assert self.task is not None
        future: asyncio.Future[None] = self.task.get_loop().create_future()
        self._waiters.append(future)
        return future
