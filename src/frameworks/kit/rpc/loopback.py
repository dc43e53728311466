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

from frameworks.kit.rpc.call import MAX_MESSAGE
from frameworks.kit.rpc.dispatch import Dispatcher, Endpoint, Inbound
from frameworks.kit.rpc.faults import Aborted, Status
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

    __slots__ = ("_feeder", "_task", "_timer", "_waiters", "requests", "response", "responses", "status")

    def __init__(self) -> None:
        self.status: Status | None = None
        self.response = b""
        self.requests: Pipe | None = None
        self.responses: Pipe | None = None
        self._task: asyncio.Task[None] | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def serve(self, task: asyncio.Task[None], timeout: float | None) -> None:
        """Let `task` serve the call, for at most `timeout` seconds."""
        self._task = task
        if timeout is not None:
            self._timer = task.get_loop().call_later(timeout, self.give_up, _DEADLINE)

    def feed(self, feeder: asyncio.Task[None]) -> None:
        """Let `feeder` bring the requests."""
        self._feeder = feeder

    def give_up(self, status: Status) -> None:
        """End the call from the caller's side; the servicer's task is cancelled."""
        if self.status is None:
            self.finish(status, discard=True)
            if self._task is not None:
                self._task.cancel()

    def finish(self, status: Status, *, discard: bool = False) -> None:
        """End the call, once; whoever waits is woken."""
        if self.status is not None:
            return
        self.status = status
        if self._timer is not None:
            self._timer.cancel()
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
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        return future

    def time_left(self) -> float | None:
        """Seconds to the deadline."""
        return (
            None if self._timer is None else max(0.0, self._timer.when() - asyncio.get_running_loop().time())
        )


class _Calling:
    """The caller's side of a call; dropped before its end, it is cancelled, as in `grpc.aio`."""

    def __init__(self, flow: _Flow, decode: Codec) -> None:
        self._flow = flow
        self._decode = decode

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
        return self._flow.time_left()

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
        status = self._flow.status
        assert status is not None
        if status is _CANCELLED:
            raise asyncio.CancelledError
        if status.code is not grpc.StatusCode.OK:
            trailing = grpc.aio.Metadata(*status.trailing)
            raise grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)


class LoopbackReply(_Calling):
    """A call with one response."""

    def __await__(self) -> Generator[Any, None, Any]:
        if self._flow.status is None:
            try:
                yield from self._flow.waiter()
            except asyncio.CancelledError:
                self.cancel()
                raise
        self._check()
        return self._decode(self._flow.response)


class LoopbackReplies(_Calling):
    """A call with a stream of responses."""

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
    """Calls to a dispatcher of this process; generated stubs take it for a channel."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

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
        if self._tasks and grace:
            await asyncio.wait(set(self._tasks), timeout=grace)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _method(
        self, path: str, encode: Codec, decode: Codec, kind: type[C], *, streaming: tuple[bool, bool]
    ) -> Callable[..., C]:
        def call(request: Any, timeout: float | None = None, metadata: Any = None, **_: Any) -> C:
            flow = _Flow()
            if streaming[1]:
                flow.responses = Pipe()
            endpoint = self._dispatcher.endpoint(path)
            if self._closed:
                flow.finish(_STOPPED)
            elif endpoint is None or (endpoint.requests, endpoint.responses) != streaming:
                flow.finish(_UNKNOWN)
            else:
                inbound = Inbound(tuple(metadata or ()), timeout)
                self._start(endpoint, inbound, flow, request, encode)
            return kind(flow, decode)

        return call

    def _start(self, endpoint: Endpoint, inbound: Inbound, flow: _Flow, request: Any, encode: Codec) -> None:
        received: bytes | AsyncIterator[bytes]
        if endpoint.requests:
            flow.requests = Pipe()
            received = _drained(flow.requests)
        else:
            received = bytes(encode(request))
            if len(received) > MAX_MESSAGE:
                flow.finish(_TOO_LARGE)
                return
        serve = self._answers if endpoint.responses else self._answer
        loop = asyncio.get_running_loop()
        task = loop.create_task(serve(endpoint, inbound, received, flow), context=contextvars.Context())
        self._keep(task, flow)
        flow.serve(task, inbound.time_left)
        if flow.requests is not None:
            feeder = loop.create_task(_feed(flow, flow.requests, request, encode))
            feeder.add_done_callback(_retrieved)
            flow.feed(feeder)

    def _keep(self, task: asyncio.Task[None], flow: _Flow) -> None:
        def ended(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            flow.finish(_STOPPED)

        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _answer(
        self, endpoint: Endpoint, inbound: Inbound, request: bytes | AsyncIterator[bytes], flow: _Flow
    ) -> None:
        try:
            flow.response = await self._dispatcher.answer(endpoint, inbound, request)
        except Aborted as aborted:
            flow.finish(aborted.status)
        else:
            flow.finish(Status(grpc.StatusCode.OK, "", tuple(inbound.trailing)) if inbound.trailing else _OK)

    async def _answers(
        self, endpoint: Endpoint, inbound: Inbound, request: bytes | AsyncIterator[bytes], flow: _Flow
    ) -> None:
        assert flow.responses is not None
        try:
            async for response in self._dispatcher.answers(endpoint, inbound, request):
                await flow.responses.put(response)
        except Aborted as aborted:
            flow.finish(aborted.status)
        else:
            flow.finish(Status(grpc.StatusCode.OK, "", tuple(inbound.trailing)) if inbound.trailing else _OK)


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
