"""Serving a call, whatever it came by: find the method, admit the caller, decode, run the servicer, encode.

Both transports hand over bytes and what was sent along, and get bytes or `Aborted` back, so that they can not differ.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from frameworks.kit import log, metrics, trace
from frameworks.kit.clock import Clock, SystemClock, random_text
from frameworks.kit.errors import Forbidden, Refusal, Unauthenticated, Unavailable
from frameworks.kit.identity import PUBLIC, Principal, PrincipalKind, Rule, Verifier
from frameworks.kit.rpc.call import MAX_MESSAGE, Call, Sent, service_of
from frameworks.kit.rpc.faults import Aborted, Status, incident, status_of

Interceptor = Callable[[Call], AbstractAsyncContextManager[None]]
"""Entered around the servicer, the first one outermost, once the caller is admitted."""

_CALLS = metrics.tally(
    "frameworks_rpc_calls_total",
    "Calls served, by how they ended.",
    ("service", "method", "status"),
    bound=1000,
)
_REFUSED = metrics.counter(
    "frameworks_rpc_refused_total",
    "Calls refused before the servicer saw them; growing means a missing rule, an expired key or an attack.",
    ("service", "method", "reason"),
    bound=1000,
)
_REMEMBERED = 64

Admitted = tuple[Principal, float]
"""A caller whom the rule admits, and the monotonic instant at which its credential expires."""

_OWN_FACTS = frozenset({"method", "trace", "service", "code", "kind", "event", "exc_info", "level"})


class NoRule(Forbidden):
    """A method that the permission table does not name."""

    code = "auth.no_rule"


class Malformed(Refusal):
    """Bytes that are no message of the method's type."""

    code = "rpc.malformed"


class Endpoint:
    """One method of one servicer."""

    __slots__ = (
        "_calls",
        "_parse",
        "admitted",
        "audience",
        "handler",
        "method",
        "path",
        "requests",
        "response",
        "responses",
        "service",
    )

    def __init__(self, descriptor: MethodDescriptor, servicer: object, service: str) -> None:
        self.method = descriptor.name
        self.path = f"/{descriptor.containing_service.full_name}/{descriptor.name}"
        self.service = service
        self.audience = service_of(self.path)
        self.requests = bool(descriptor.client_streaming)
        self.responses = bool(descriptor.server_streaming)
        self.response: type[Message] = GetMessageClass(descriptor.output_type)
        self.handler: Callable[[Any, Call], Any] = getattr(servicer, descriptor.name)
        self.admitted: dict[str | None, Admitted] = {}
        """Services that may call, by the credential they show with every call."""
        self._parse: Callable[[bytes], Message] = GetMessageClass(descriptor.input_type).FromString
        self._calls: dict[str, metrics.Tally] = {}

    def received(self, request: bytes | AsyncIterator[bytes]) -> Any:
        """The request, or the requests, that came as bytes; raises Malformed."""
        if not isinstance(request, bytes):
            return self._each(request)
        try:
            return self._parse(request)
        except DecodeError as error:
            raise Malformed("The request can not be decoded.") from error

    async def _each(self, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for request in requests:
            yield self.received(request)

    def encode(self, message: Message) -> bytes:
        """The bytes of a response of this method's type."""
        if type(message) is not self.response:
            raise TypeError(f"{self.path} answered {type(message).__name__}, not {self.response.__name__}")
        data = message.SerializeToString()
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"{self.path} answered {len(data)} bytes")
        return data

    def count(self, status: str) -> None:
        """Count a call that ended with `status`."""
        child = self._calls.get(status)
        if child is None:
            child = self._calls[status] = _CALLS.labels(self.service, self.method, status)
        child.inc()


class Dispatcher:
    """The servicers of one process behind one permission table."""

    def __init__(
        self,
        verifier: Verifier,
        rules: Mapping[str, Rule],
        *,
        interceptors: Sequence[Interceptor] = (),
        clock: Clock | None = None,
    ) -> None:
        self._verifier = verifier
        self._rules = rules
        self._interceptors = tuple(interceptors)
        self._clock = clock or SystemClock()
        self._endpoints: dict[str, Endpoint] = {}

    def add(self, descriptor: ServiceDescriptor, servicer: object, *, service: str) -> None:
        """Offer the methods `servicer` has; raises ValueError for one that the service does not name."""
        names = {method.name for method in descriptor.methods}
        strange = {name for name in vars(type(servicer)) if name[0].isupper()} - names
        if strange:
            raise ValueError(f"{descriptor.full_name} has no method {', '.join(sorted(strange))}")
        for method in descriptor.methods:
            if hasattr(servicer, method.name):
                endpoint = Endpoint(method, servicer, service)
                self._endpoints[endpoint.path] = endpoint

    def endpoint(self, path: str) -> Endpoint | None:
        """The method at `path`, when it is served here."""
        return self._endpoints.get(path)

    async def answer(self, endpoint: Endpoint, sent: Sent, request: bytes | AsyncIterator[bytes]) -> bytes:
        """Serve a call with one response; raises Aborted."""
        try:
            call = self._admit(endpoint, sent)
            received = endpoint.received(request)
            if self._interceptors:
                async with _entered(self._interceptors, call):
                    response = endpoint.encode(await endpoint.handler(received, call))
            else:
                response = endpoint.encode(await endpoint.handler(received, call))
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            raise self._aborted(endpoint, sent, error) from error
        except Exception as error:
            raise self._aborted(endpoint, sent, error) from error
        endpoint.count("OK")
        return response

    async def answers(
        self, endpoint: Endpoint, sent: Sent, request: bytes | AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """Serve a call with a stream of responses; raises Aborted."""
        try:
            call = self._admit(endpoint, sent)
            async with (
                _entered(self._interceptors, call),
                aclosing(endpoint.handler(endpoint.received(request), call)) as out,
            ):
                async for message in out:
                    yield endpoint.encode(message)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            raise self._aborted(endpoint, sent, error) from error
        except Exception as error:
            raise self._aborted(endpoint, sent, error) from error
        endpoint.count("OK")

    def _admit(self, endpoint: Endpoint, sent: Sent) -> Call:
        trace.current.set(sent.trace)
        now = self._clock.monotonic()
        admitted = endpoint.admitted.get(sent.authorization)
        if admitted is None or admitted[1] <= now:
            admitted = self._check(endpoint, sent.authorization)
        deadline = None if sent.time_left is None else now + sent.time_left
        return Call(endpoint.path, admitted[0], sent, self._clock, deadline)

    def _check(self, endpoint: Endpoint, authorization: str | None) -> Admitted:
        """Verify the caller and hold it against the rule; a service's own token is short-lived and remembered."""
        try:
            principal = PUBLIC if authorization is None else self._caller(endpoint, authorization)
            rule = self._rules.get(endpoint.path)
            if rule is None:
                raise NoRule("Nobody may call this.")
            rule.check(principal)
        except Refusal as refusal:
            _REFUSED.labels(endpoint.service, endpoint.method, refusal.code).inc()
            raise
        left = (principal.expires - self._clock.now()).total_seconds()
        admitted = principal, self._clock.monotonic() + left
        if principal.kind is PrincipalKind.SERVICE:
            if len(endpoint.admitted) >= _REMEMBERED:
                endpoint.admitted.clear()
            endpoint.admitted[authorization] = admitted
        return admitted

    def _caller(self, endpoint: Endpoint, authorization: str) -> Principal:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send one credential, as a bearer token.")
        return self._verifier.principal(token, endpoint.audience)

    def _aborted(self, endpoint: Endpoint, sent: Sent, error: BaseException) -> Aborted:
        """What the peer is told of `error`, and the line in our log that says the rest."""
        logger = log.get(endpoint.service, method=endpoint.method, trace=trace.current.get())
        if isinstance(error, Refusal | Unavailable):
            status = status_of(error)
            facts = {key: value for key, value in error.facts.items() if key not in _OWN_FACTS}
            logger.info("call.refused", code=error.code, kind=error.kind.value, **facts)
        else:
            identifier = random_text(10)
            status = incident(identifier)
            logger.error("call.failed", incident=identifier, exc_info=error)
        endpoint.count(status.code.name)
        return Aborted(Status(status.code, status.details, (*sent.trailing, *status.trailing)))


def _is_cancelled() -> bool:
    """Whether someone ended this task, not the servicer awaiting something cancelled, which is a bug."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@asynccontextmanager
async def _entered(interceptors: Sequence[Interceptor], call: Call) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for interceptor in interceptors:
            await stack.enter_async_context(interceptor(call))
        yield
