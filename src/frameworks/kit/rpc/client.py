"""The calling side, alike over both transports: deadlines, credentials, traces go out, faults come back."""

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager
from typing import Any, Protocol, Self, TypeVar, cast

import grpc.aio

from frameworks.kit import trace
from frameworks.kit.clock import Clock, SystemClock
from frameworks.kit.rpc.call import MAX_MESSAGE, Forwarded, Sent, metadata_of, service_of, told
from frameworks.kit.rpc.faults import Status, ended, fault_of
from frameworks.kit.rpc.loopback import Loopback

UNARY_DEADLINE = 5.0
"""Seconds a call with one request and one response may take when its caller sets no `timeout`."""

_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Transport(Protocol):
    """What carries calls: `Loopback` or a `grpc.aio` channel."""

    @property
    def unary_unary(self) -> Callable[..., Any]:
        """Makes callables for methods with one request and one response."""

    @property
    def unary_stream(self) -> Callable[..., Any]:
        """For one request and a stream of responses."""

    @property
    def stream_unary(self) -> Callable[..., Any]:
        """For a stream of requests and one response."""

    @property
    def stream_stream(self) -> Callable[..., Any]:
        """For a stream in each direction."""


class Bearer(Protocol):
    """What a channel signs its calls with: a service's or a node's identity."""

    def bearer(self, audience: str) -> str:
        """A token for the service `audience`."""


def connect(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel to `host:port` or `unix:path`; it connects on the first call and again after each loss."""
    if credentials is not None and not address.startswith("unix:"):
        return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


class Stream(AsyncIterable[R_co], Protocol[R_co]):
    """A streaming call."""

    def cancel(self) -> bool:
        """Give up."""


@contextmanager
def reading(call: Stream[R]) -> Iterator[AsyncIterator[R]]:
    """The responses of a streaming call, which is cancelled at the end of the block."""
    try:
        yield aiter(call)
    finally:
        call.cancel()


class Channel:
    """What generated stubs call through: `resolve` gives the transport for a method, afresh for each call."""

    def __init__(
        self,
        resolve: Callable[[str], Transport],
        identity: Bearer | None,
        *,
        clock: Clock | None = None,
        deadline: float = UNARY_DEADLINE,
    ) -> None:
        self._resolve = resolve
        self._identity = identity
        self._clock = clock or SystemClock()
        self._deadline = deadline
        self._credentials: dict[str, tuple[str, str]] = {}

    def unary_unary(self, path: str, *codec: Any, **registered: Any) -> "Callable[..., Reply]":
        """A method with one request and one response."""
        return self._method("unary_unary", path, codec, registered, Reply, self._deadline)

    def stream_unary(self, path: str, *codec: Any, **registered: Any) -> "Callable[..., Reply]":
        """A method with a stream of requests and one response."""
        return self._method("stream_unary", path, codec, registered, Reply, None)

    def unary_stream(self, path: str, *codec: Any, **registered: Any) -> "Callable[..., Replies]":
        """A method with one request and a stream of responses."""
        return self._method("unary_stream", path, codec, registered, Replies, None)

    def stream_stream(self, path: str, *codec: Any, **registered: Any) -> "Callable[..., Replies]":
        """A method with a stream in each direction."""
        return self._method("stream_stream", path, codec, registered, Replies, None)

    def _method(
        self,
        shape: str,
        path: str,
        codec: tuple[Any, ...],
        keywords: dict[str, Any],
        kind: "Callable[[Any, str, Requests | None], R]",
        deadline: float | None,
    ) -> Callable[..., R]:
        service = service_of(path)
        streaming = shape.startswith("stream")
        ready: tuple[Transport | None, Any, bool] = None, None, False

        def call(request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
            nonlocal ready
            transport = self._resolve(path)
            if transport is not ready[0]:
                make = getattr(transport, shape)(path, *codec, **keywords)
                ready = transport, make, isinstance(transport, Loopback)
            _, make, in_process = ready
            sent = self._sent(service, deadline if timeout is None else timeout, metadata)
            if in_process:
                return make(request, sent)
            outgoing = Requests(request) if streaming else None
            given = request if outgoing is None else outgoing
            made = make(given, timeout=sent.time_left, metadata=metadata_of(sent), **options)
            return kind(made, path, outgoing)

        return call

    def _sent(
        self, service: str, timeout: float | None, metadata: Sequence[tuple[str, str | bytes]] | None
    ) -> Sent:
        identity = self._identity
        if metadata is None:
            own = None if identity is None else self._credential(identity, service)
            return Sent(own, trace.here(), timeout)
        authorization, traceparent = told(tuple(metadata))
        if isinstance(metadata, Forwarded):
            timeout = self._timeout(timeout, metadata)
        elif authorization is None and identity is not None:
            authorization = self._credential(identity, service)
        here = trace.here() if traceparent is None else trace.accept(traceparent)
        return Sent(authorization, here, timeout)

    def _timeout(self, timeout: float | None, forwarded: Forwarded) -> float | None:
        if forwarded.deadline is None:
            return timeout
        left = max(0.0, forwarded.deadline - self._clock.monotonic())
        return left if timeout is None else min(timeout, left)

    def _credential(self, identity: Bearer, service: str) -> str:
        """Our own token; the same object until it is signed anew, which makes it quick to look up."""
        token = identity.bearer(service)
        kept = self._credentials.get(service)
        if kept is None or kept[0] is not token:
            kept = self._credentials[service] = token, f"Bearer {token}"
        return kept[1]


class Requests:
    """The requests of a streaming call; remembers what grpc.aio does not tell: what their source raised, and
    how the call ended when a write fails because it has ended (grpc/grpc#36066: INTERNAL takes the status's place).
    """

    def __init__(self, source: AsyncIterable[Any] | Iterable[Any]) -> None:
        self._source = source
        self.error: Exception | None = None
        self.status: Status | None = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            if isinstance(self._source, AsyncIterable):
                async for request in self._source:
                    yield request
            else:
                for request in self._source:
                    yield request
        except Exception as error:
            self.error = error
            raise

    def answered(self, call: Any) -> None:
        """The call has ended; only the first word on how is the peer's."""
        if self.status is None:
            code, details = _known(call.code()), _known(call.details())
            self.status = Status(code, details or "", tuple(_known(call.trailing_metadata()) or ()))


def _known(word: Coroutine[Any, Any, R]) -> R:
    """What a coroutine gives that has nothing left to wait for."""
    try:
        word.send(None)
    except StopIteration as end:
        return cast("R", end.value)
    word.close()
    raise AssertionError("a call that has ended says how")


class _Made:
    """A call over the network; dropped before its end, it is cancelled."""

    def __init__(self, call: Any, path: str, requests: Requests | None) -> None:
        self._call = call
        self._path = path
        self._requests = requests
        self._iterator: AsyncIterator[Any] | None = None
        if requests is not None:
            call.add_done_callback(requests.answered)

    def __del__(self) -> None:
        self._call.cancel()

    def __getattr__(self, name: str) -> Any:
        """Everything else a `grpc.aio` call has: code, details, trailing_metadata, done, time_remaining."""
        return getattr(self._call, name)

    def cancel(self) -> bool:
        """Give up; the servicer's task is cancelled."""
        return bool(self._call.cancel())

    def _raised(self, error: BaseException) -> BaseException:
        if self._requests is not None and self._requests.error is not None:
            return self._requests.error
        if isinstance(error, grpc.aio.AioRpcError):
            first = None if self._requests is None else self._requests.status
            status = first or ended(error)
            return StopAsyncIteration() if status.code is grpc.StatusCode.OK else fault_of(status, self._path)
        return error


class Reply(_Made):
    """A call with one response; awaiting it raises a Refusal or Unavailable."""

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raised = self._raised(error)
            if raised is error:
                raise
            raise raised from error


class Replies(_Made):
    """A call with a stream of responses; iterating raises a Refusal or Unavailable."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = aiter(self._call)
        try:
            return await anext(self._iterator)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raised = self._raised(error)
            if raised is error:
                raise
            raise raised from error
