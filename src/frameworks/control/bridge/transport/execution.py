"""Running operations for a caller: documents, permission to ask at all, limits, time, results."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, MapAsyncIterator, execute, subscribe

from frameworks.control.bridge.transport import errors, limits
from frameworks.control.bridge.transport.documents import DOCUMENT_ERROR, Documents, Operation
from frameworks.control.bridge.transport.request import Refused, Request, refuse
from frameworks.kit.clock import Clock, SystemClock
from frameworks.kit.errors import CODES, Fault, Kind

INTROSPECTION = frozenset({"__schema", "__type", "__typename"})
UNAUTHORIZED = CODES[Kind.UNAUTHENTICATED]
UNAVAILABLE = CODES[Kind.UNAVAILABLE]
SOCKET_ONLY = "Subscriptions run over the socket at /graphql/ws."
BUSY = "Credentials can not be checked now."


class Caller(Protocol):
    """Who asks, as far as transport needs to know."""

    @property
    def is_public(self) -> bool:
        """Whether no credential holds."""

    @property
    def refusal(self) -> Fault | None:
        """Why the credential that was sent does not hold."""

    @property
    def bucket(self) -> str:
        """Whose budget its calls count against."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the body that goes with it."""

    status: int
    body: dict[str, Any]


Observe = Callable[[Any, Operation, float, bool], None]
"""Told of each operation that ran: its caller, the operation, seconds, and whether it failed."""


class Execution:
    """Executes operations against a schema; `context` makes what resolvers see of a caller."""

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        public: frozenset[str],
        context: Callable[[Any], Any],
        patience: float = 25.0,
        observe: Observe | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._schema = schema
        self._documents = Documents(schema)
        self._public = public | INTROSPECTION
        self._context = context
        self._patience = patience
        self._observe = observe or (lambda *_: None)
        self._clock = clock or SystemClock()

    async def run(self, request: Request, caller: Caller) -> Answer:
        """The answer to a query or mutation; raises Refused."""
        operation = self.prepare(request, caller)
        if operation.kind == "subscription":
            raise refuse(DOCUMENT_ERROR, SOCKET_ONLY, errors.VALIDATION_FAILED)
        return await self.execute(operation, request, caller)

    def prepare(self, request: Request, caller: Caller) -> Operation:
        """The operation, if `caller` may ask it and it is small enough; raises Refused."""
        operation = self._documents.operation(request.query, request.operation_name)
        if caller.is_public and not operation.fields <= self._public:
            raise _unauthorized(caller.refusal)
        try:
            weight = limits.check(operation.document, operation.node, request.variables)
        except limits.OverLimit as error:
            raise refuse(DOCUMENT_ERROR, str(error), errors.TOO_COMPLEX) from error
        return replace(operation, cost=weight.cost)

    async def execute(self, operation: Operation, request: Request, caller: Caller) -> Answer:
        """Run a prepared query or mutation."""
        began = self._clock.monotonic()
        answer: Answer | None = None
        try:
            answer = await self._answer(operation, request, caller)
            return answer
        finally:
            failed = answer is None or "errors" in answer.body
            self._observe(caller, operation, self._clock.monotonic() - began, failed)

    async def _answer(self, operation: Operation, request: Request, caller: Caller) -> Answer:
        try:
            async with asyncio.timeout(self._patience):
                outcome = execute(
                    self._schema,
                    operation.document,
                    context_value=self._context(caller),
                    variable_values=dict(request.variables),
                    operation_name=operation.name or None,
                )
                result = outcome if isinstance(outcome, ExecutionResult) else await outcome
        except TimeoutError as error:
            raise refuse(504, "The answer took too long.", UNAVAILABLE.graphql) from error
        body = errors.result(result.data, result.errors)
        unread = result.data is None and all(not e.path for e in result.errors or ())
        return Answer(DOCUMENT_ERROR if unread else 200, body)

    async def stream(
        self, operation: Operation, request: Request, caller: Caller
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Results of a prepared subscription; raises Refused when it can not start."""
        source = await self._subscribe(operation, request, caller)
        self._observe(caller, operation, 0.0, False)
        try:
            async for result in source:
                yield errors.result(result.data, result.errors)
        except GraphQLError as error:
            raise Refused(200, [errors.of_graphql(error)]) from error
        except Fault as fault:
            raise Refused(200, [errors.of_fault(fault)]) from fault
        finally:
            if isinstance(source, MapAsyncIterator):
                await source.aclose()

    async def _subscribe(
        self, operation: Operation, request: Request, caller: Caller
    ) -> AsyncIterator[ExecutionResult]:
        outcome = subscribe(
            self._schema,
            operation.document,
            context_value=self._context(caller),
            variable_values=dict(request.variables),
            operation_name=operation.name or None,
        )
        source = await outcome if isinstance(outcome, Awaitable) else outcome
        if isinstance(source, ExecutionResult):
            raise Refused(200, [errors.of_graphql(e) for e in source.errors or ()])
        return source


def _unauthorized(refusal: Fault | None) -> Refused:
    if refusal is not None and refusal.kind in (Kind.UNAVAILABLE, Kind.TIMEOUT):
        return refuse(UNAVAILABLE.http, BUSY, UNAVAILABLE.graphql, Retry_After="1")
    message = refusal.message if refusal is not None else "Sign in or send a token to ask this."
    return refuse(UNAUTHORIZED.http, message, UNAUTHORIZED.graphql, WWW_Authenticate="Bearer")
