"""A channel to servicers of the same process, with the semantics of `grpc.aio` and none of its sockets.

Each call is served by a task of its own in an empty context. Messages cross as bytes, so neither side can see
the other change one. Streams are iterated; the read/write API of `grpc.aio` is not offered.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator
from typing import Any, TypeVar

import grpc
import grpc.aio

from frameworks.kit.rpc.call import MAX_MESSAGE, Sent
from frameworks.kit.rpc.deadlines import Deadlines
from frameworks.kit.rpc.dispatch import Dispatcher, Endpoint
from frameworks.kit.rpc.faults import Aborted, Status, fault_of
from frameworks.kit.rpc.flow import STOPPED, Flow, Streams
from frameworks.kit.rpc.pipe import Pipe

_OK = Status(grpc.StatusCode.OK)
_CANCELLED = Status(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
_UNKNOWN = Status(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
_TOO_LARGE = Status(grpc.StatusCode.RESOURCE_EXHAUSTED, f"Sent message larger than max ({MAX_MESSAGE})")

Codec = Callable[[Any], Any]


class _Calling:
    """The caller's side of a call; dropped before its end, it is cancelled, as in `grpc.aio`."""

    __slots__ = ("_decode", "_flow", "_path")

    def __init__(self, flow: Flow, decode: Codec, path: str) -> None:
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
        streams = self._flow.streams
        if streams is not None and streams.source_error is not None:
            raise streams.source_error
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
        assert self._flow.streams is not None
        try:
            data = await self._flow.streams.responses.get()
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
        self._running: set[Flow] = set()
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
                flow.give_up(STOPPED)
            else:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _method(
        self, path: str, encode: Codec, decode: Codec, kind: type[C], *, streaming: tuple[bool, bool]
    ) -> Callable[..., C]:
        many_requests, many_responses = streaming
        serve = self._answers if many_responses else self._answer
        endpoint: Endpoint | None = None

        def call(request: Any, sent: Sent) -> C:
            nonlocal endpoint
            endpoint = endpoint or self._offered(path, streaming)
            flow = Flow(self._running)
            if many_requests or many_responses:
                flow.streams = Streams()
            if self._closed:
                flow.finish(STOPPED)
            elif endpoint is None:
                flow.finish(_UNKNOWN)
            elif flow.streams is not None and many_requests:
                requests = flow.streams.requests
                self._start(path, flow, sent, serve(flow, endpoint, sent, _drained(requests)))
                flow.streams.feed(asyncio.create_task(_feed(flow, flow.streams, request, encode)))
            elif len(data := encode(request)) > MAX_MESSAGE:
                flow.finish(_TOO_LARGE)
            else:
                self._start(path, flow, sent, serve(flow, endpoint, sent, data))
            return kind(flow, decode, path)

        return call

    def _offered(self, path: str, streaming: tuple[bool, bool]) -> Endpoint | None:
        endpoint = self._dispatcher.endpoint(path)
        if endpoint is None or (endpoint.requests, endpoint.responses) != streaming:
            return None
        return endpoint

    def _start(self, path: str, flow: Flow, sent: Sent, serving: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        if sent.time_left is not None:
            flow.deadline = loop.time() + sent.time_left
            flow.due = self._deadlines.add(flow, flow.deadline)
        # Made by hand: uvloop's create_task has asyncio make up a name before it sets ours.
        flow.serve(asyncio.Task(serving, loop=loop, name=path, context=contextvars.Context()))

    async def _answer(
        self, flow: Flow, endpoint: Endpoint, sent: Sent, request: bytes | AsyncIterator[bytes]
    ) -> None:
        try:
            flow.response = await self._dispatcher.answer(endpoint, sent, request)
            flow.finish(_ok(sent) if sent.trailing else _OK)
        except Aborted as aborted:
            flow.finish(aborted.status)
        finally:
            flow.left()

    async def _answers(
        self, flow: Flow, endpoint: Endpoint, sent: Sent, request: bytes | AsyncIterator[bytes]
    ) -> None:
        assert flow.streams is not None
        try:
            async for response in self._dispatcher.answers(endpoint, sent, request):
                await flow.streams.responses.put(response)
            flow.finish(_ok(sent) if sent.trailing else _OK)
        except Aborted as aborted:
            flow.finish(aborted.status)
        finally:
            flow.left()


def _ok(sent: Sent) -> Status:
    return Status(grpc.StatusCode.OK, "", tuple(sent.trailing))


async def _drained(pipe: Pipe) -> AsyncIterator[bytes]:
    while (data := await pipe.get()) is not None:
        yield data


async def _feed(flow: Flow, streams: Streams, source: Any, encode: Codec) -> None:
    """Bring the caller's requests, in the caller's context; a source that fails cancels the call."""
    complete = False
    try:
        async for request in source if isinstance(source, AsyncIterable) else _each(source):
            data = encode(request)
            if len(data) > MAX_MESSAGE:
                flow.give_up(_TOO_LARGE)
                return
            await streams.requests.put(data)
        complete = True
    except Exception as error:
        streams.source_error = error
        raise
    finally:
        streams.requests.close()
        if not complete:
            flow.give_up(_CANCELLED)


async def _each(source: Any) -> AsyncIterator[Any]:
    for item in source:
        yield item
