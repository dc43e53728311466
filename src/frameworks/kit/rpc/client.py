"""The calling side, alike over both transports: deadlines, credentials, traces go out, faults come back."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self, TypeVar

import grpc.aio

from frameworks.kit import trace
from frameworks.kit.clock import Clock, SystemClock
from frameworks.kit.rpc.call import AUTHORIZATION, MAX_MESSAGE, Forwarded, Metadata, service_of
from frameworks.kit.rpc.faults import fault_of

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


def connect(address: str) -> grpc.aio.Channel:
    """A channel to `host:port` or `unix:path`; it connects on the first call and again after each loss."""
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
        kind: "Callable[[Any, str, str, Requests | None], R]",
        deadline: float | None,
    ) -> Callable[..., R]:
        service = service_of(path)
        streaming = shape.startswith("stream")
        ready: list[tuple[Transport, Any]] = []

        def call(request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> R:
            transport = self._resolve(path)
            if not ready or ready[0][0] is not transport:
                ready[:] = [(transport, getattr(transport, shape)(path, *codec, **keywords))]
            outgoing = Requests(request) if streaming else None
            made = ready[0][1](
                request if outgoing is None else outgoing,
                timeout=self._timeout(deadline if timeout is None else timeout, metadata),
                metadata=self._metadata(service, metadata),
                **options,
            )
            return kind(made, path, service, outgoing)

        return call

    def _timeout(self, timeout: float | None, metadata: Any) -> float | None:
        if not isinstance(metadata, Forwarded) or metadata.deadline is None:
            return timeout
        left = max(0.0, metadata.deadline - self._clock.monotonic())
        return left if timeout is None else min(timeout, left)

    def _metadata(self, service: str, metadata: Sequence[tuple[str, str | bytes]] | None) -> Metadata:
        if metadata is None and self._identity is not None:
            return (
                (AUTHORIZATION, f"Bearer {self._identity.bearer(service)}"),
                (trace.TRACEPARENT, trace.header()),
            )
        pairs = tuple(metadata or ())
        keys = {key for key, _ in pairs}
        if AUTHORIZATION not in keys and self._identity is not None and not isinstance(metadata, Forwarded):
            pairs = (*pairs, (AUTHORIZATION, f"Bearer {self._identity.bearer(service)}"))
        if trace.TRACEPARENT not in keys:
            pairs = (*pairs, (trace.TRACEPARENT, trace.header()))
        return pairs


class Requests:
    """The requests of a streaming call; remembers what their source raised, which transports do not tell."""

    def __init__(self, source: AsyncIterable[Any] | Iterable[Any]) -> None:
        self._source = source
        self.error: Exception | None = None

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


class _Made:
    """A call under way."""

    def __init__(self, call: Any, path: str, service: str, requests: Requests | None) -> None:
        self._call = call
        self._path = path
        self._service = service
        self._requests = requests

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
            return fault_of(error, self._path, self._service)
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
    """A call with a stream of responses; iterating raises a Refusal or Unavailable. Dropped is cancelled."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if "_iterator" not in self.__dict__:
            self._iterator = self._call.__aiter__()
        try:
            return await self._iterator.__anext__()
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raised = self._raised(error)
            if raised is error:
                raise
            raise raised from error

    def __del__(self) -> None:
        self._call.cancel()
