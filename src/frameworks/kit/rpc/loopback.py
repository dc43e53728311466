"""A channel to servicers of the same process, with the semantics of `grpc.aio` and none of its sockets.

Each call is served by a task of its own in an empty context. Messages cross as bytes, so neither side can see
the other change one. Streams are iterated; the read/write API of `grpc.aio` is not offered.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator
from typing import Any, TypeVar

import grpc
import grpc.aio

from frameworks.kit.rpc.call import MAX_MESSAGE, Sent
from frameworks.kit.rpc.deadlines import Deadlines, Timed
from frameworks.kit.rpc.dispatch import Dispatcher, Endpoint, Inbound
from frameworks.kit.rpc.faults import Aborted, Status, fault_of
from frameworks.kit.rpc.pipe import Pipe

_OK = Status(grpc.StatusCode.OK)
_DEADLINE = Status(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
_CANCELLED = Status(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
_STOPPED = Status(grpc.StatusCode.UNAVAILABLE, "The servicer has stopped.")
_UNKNOWN = Status(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
_TOO_LARGE = Status(grpc.StatusCode.RESOURCE_EXHAUSTED, f"Sent message larger than max ({MAX_MESSAGE})")

Codec = Callable[[Any], Any]


class _Flow:
    """One call, known to both sides: the caller's reply and the servicer's task hold it."""

    __slots__ = (
        "_due",
        "_feeder",
        "_running",
        "_waiters",
        "deadline",
        "requests",
        "response",
        "responses",
        "source_error",
        "status",
        "task",
    )

    def __init__(self) -> None:
        self.status: Status | None = None
        self.response = b""
        self.requests: Pipe | None = None
        self.responses: Pipe | None = None
        self.source_error: Exception | None = None
        """What the caller's source of requests raised."""
        self.deadline: float | None = None
        """The loop's time by which the caller wants its answer."""
        self.task: asyncio.Task[None] | None = None
        self._running: set[_Flow]
        self._due: set[Timed] | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def serve(self, task: asyncio.Task[None], running: "set[_Flow]", due: set[Timed] | None) -> None:
        """Let `task` serve the call, which is in `running` until it ends; its deadline is kept in `due`."""
        self.task, self._running, self._due = task, running, due
        running.add(self)

    def feed(self, feeder: asyncio.Task[None]) -> None:
        """Let `feeder` bring the requests."""
        self._feeder = feeder
        feeder.add_done_callback(_retrieved)

    def expire(self) -> None:
        """The deadline has come."""
        self.give_up(_DEADLINE)

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
            self.finish(_STOPPED)

    def finish(self, status: Status, *, discard: bool = False) -> None:
        """End the call, once; whoever waits is woken."""
        if self.status is not None:
            return
        self.status = status
        if self._due is not None:
            self._due.discard(self)
        if self._feeder is not None:
            self._feeder.cancel()
        if self.requests is not None:
            self.requests.close(discard=True)
        if self.responses is not None:
            self.responses.close(discard=discard)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def waiter(self) -> asyncio.Future[None]:
        """Done when the call has ended."""
        assert self.task is not None
        future: asyncio.Future[None] = self.task.get_loop().create_future()
        self._waiters.append(future)
        return future


class _Calling:
    """The caller's side of a call; dropped before its end, it is cancelled, as in `grpc.aio`."""

    __slots__ = ("_decode", "_flow", "_path")

    def __init__(self, flow: _Flow, decode: Codec, path: str) -> None:
        self._flow = flow
        self._decode = decode
        self._path = path

    def __del__(self) -> None:
        if self._flow.status is None:
            self._flow.give_up(_CANCELLED)

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._flow.status is not None

    def cancelled(self) -> bool:
        """Whether the call was cancelled."""
        return self._flow.status is not None and self._flow.status.code is grpc.StatusCode.CANCELLED

    def cancel(self) -> bool:
        """Give up; False when the call has ended already."""
        running = self._flow.status is None
        self._flow.give_up(_CANCELLED)
        return running

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None without one."""
        deadline = self._flow.deadline
        return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())

    async def code(self) -> grpc.StatusCode:
        """How the call ended, once it has."""
        return (await self._ended()).code

    async def details(self) -> str:
        """The sentence it ended with."""
        return (await self._ended()).details

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """Always empty: servicers send none."""
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """What the servicer sent after its answer."""
        return grpc.aio.Metadata(*(await self._ended()).trailing)

    async def _ended(self) -> Status:
        if self._flow.status is None:
            await self._flow.waiter()
        assert self._flow.status is not None
        return self._flow.status

    def _check(self) -> None:
        """Raise what a call that did not end well stands for."""
        status = self._flow.status
        assert status is not None
        if self._flow.source_error is not None:
            raise self._flow.source_error
        if status is _CANCELLED:
            raise asyncio.CancelledError
        if status.code is not grpc.StatusCode.OK:
            raise fault_of(status, self._path)


class LoopbackReply(_Calling):
    """A call with one response; awaiting it raises a Refusal or Unavailable."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Any]:
        flow = self._flow
        if flow.status is None:
            try:
                yield from flow.waiter()
            except asyncio.CancelledError:
                self.cancel()
                raise
        if flow.status is not _OK:
            self._check()
        return self._decode(flow.response)


class LoopbackReplies(_Calling):
    """A call with a stream of responses; iterating raises a Refusal or Unavailable."""

    __slots__ = ()

    def __aiter__(self) -> "LoopbackReplies":
        return self

    async def __anext__(self) -> Any:
        assert self._flow.responses is not None
        try:
            data = await self._flow.responses.get()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if data is not None:
            return self._decode(data)
        self._check()
        raise StopAsyncIteration


C = TypeVar("C", bound=_Calling)


class Loopback:
    """Calls to a dispatcher of this process: what a `Channel` of this process calls through."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._running: set[_Flow] = set()
        self._deadlines = Deadlines()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a servicer is still at work."""
        return bool(self._running)

    def unary_unary(
        self, path: str, request_serializer: Codec, response_deserializer: Codec, **_: Any
    ) -> Callable[..., LoopbackReply]:
        """A method with one request and one response."""
        return self._method(
            path, request_serializer, response_deserializer, LoopbackReply, streaming=(False, False)
        )

    def stream_unary(
        self, path: str, request_serializer: Codec, response_deserializer: Codec, **_: Any
    ) -> Callable[..., LoopbackReply]:
        """A method with a stream of requests and one response."""
        return self._method(
            path, request_serializer, response_deserializer, LoopbackReply, streaming=(True, False)
        )

    def unary_stream(
        self, path: str, request_serializer: Codec, response_deserializer: Codec, **_: Any
    ) -> Callable[..., LoopbackReplies]:
        """A method with one request and a stream of responses."""
        return self._method(
            path, request_serializer, response_deserializer, LoopbackReplies, streaming=(False, True)
        )

    def stream_stream(
        self, path: str, request_serializer: Codec, response_deserializer: Codec, **_: Any
    ) -> Callable[..., LoopbackReplies]:
        """A method with a stream in each direction."""
        return self._method(
            path, request_serializer, response_deserializer, LoopbackReplies, streaming=(True, True)
        )

    async def close(self, grace: float | None = None) -> None:
        """Take no more calls, let those under way end within `grace` seconds, then cancel them."""
        self._closed = True
        tasks = {flow.task: flow for flow in self._running if flow.task is not None}
        if tasks and grace:
            await asyncio.wait(tasks, timeout=grace)
        for task, flow in tasks.items():
            if flow.status is None:
                flow.give_up(_STOPPED)
            else:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _method(
        self, path: str, encode: Codec, decode: Codec, kind: type[C], *, streaming: tuple[bool, bool]
    ) -> Callable[..., C]:
        def call(request: Any, timeout: float | None, sent: Sent) -> C:
            flow = _Flow()
            if streaming[1]:
                flow.responses = Pipe()
            endpoint = self._dispatcher.endpoint(path)
            if self._closed:
                flow.finish(_STOPPED)
            elif endpoint is None or (endpoint.requests, endpoint.responses) != streaming:
                flow.finish(_UNKNOWN)
            elif endpoint.requests:
                flow.requests = Pipe()
                self._start(flow, endpoint, _drained(flow.requests), timeout, sent)
                flow.feed(asyncio.create_task(_feed(flow, flow.requests, request, encode)))
            elif len(data := encode(request)) > MAX_MESSAGE:
                flow.finish(_TOO_LARGE)
            else:
                self._start(flow, endpoint, data, timeout, sent)
            return kind(flow, decode, path)

        return call

    def _start(
        self,
        flow: _Flow,
        endpoint: Endpoint,
        request: bytes | AsyncIterator[bytes],
        timeout: float | None,
        sent: Sent,
    ) -> None:
        loop = asyncio.get_running_loop()
        due = None
        if timeout is not None:
            flow.deadline = loop.time() + timeout
            due = self._deadlines.add(flow, flow.deadline)
        inbound = Inbound(*sent, timeout)
        serve = self._answers if endpoint.responses else self._answer
        task = loop.create_task(serve(flow, endpoint, inbound, request), context=contextvars.Context())
        flow.serve(task, self._running, due)

    async def _answer(
        self, flow: _Flow, endpoint: Endpoint, inbound: Inbound, request: bytes | AsyncIterator[bytes]
    ) -> None:
        try:
            flow.response = await self._dispatcher.answer(endpoint, inbound, request)
            flow.finish(_ok(inbound))
        except Aborted as aborted:
            flow.finish(aborted.status)
        finally:
            flow.left()

    async def _answers(
        self, flow: _Flow, endpoint: Endpoint, inbound: Inbound, request: bytes | AsyncIterator[bytes]
    ) -> None:
        assert flow.responses is not None
        try:
            async for response in self._dispatcher.answers(endpoint, inbound, request):
                await flow.responses.put(response)
            flow.finish(_ok(inbound))
        except Aborted as aborted:
            flow.finish(aborted.status)
        finally:
            flow.left()


def _ok(inbound: Inbound) -> Status:
    return Status(grpc.StatusCode.OK, "", tuple(inbound.trailing)) if inbound.trailing else _OK


async def _drained(pipe: Pipe) -> AsyncIterator[bytes]:
    while (data := await pipe.get()) is not None:
        yield data


async def _feed(flow: _Flow, pipe: Pipe, source: Any, encode: Codec) -> None:
    """Bring the caller's requests, in the caller's context; a source that fails cancels the call."""
    complete = False
    try:
        async for request in source if isinstance(source, AsyncIterable) else _each(source):
            data = encode(request)
            if len(data) > MAX_MESSAGE:
                flow.give_up(_TOO_LARGE)
                return
            await pipe.put(data)
        complete = True
    except Exception as error:
        flow.source_error = error
        raise
    finally:
        pipe.close()
        if not complete:
            flow.give_up(_CANCELLED)


async def _each(source: Any) -> AsyncIterator[Any]:
    for item in source:
        yield item


def _retrieved(feeder: asyncio.Task[None]) -> None:
    """The source's error is the caller's, who has it from the source: asyncio need not log it again."""
    if not feeder.cancelled():
        feeder.exception()
