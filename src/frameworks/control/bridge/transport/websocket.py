"""Carries `socket.Socket` over a Starlette websocket: reader, writer, ticker, and a task per operation."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from frameworks.contracts.metrics import bridge as metrics
from frameworks.control.bridge.transport import credentials, errors
from frameworks.control.bridge.transport import socket as ws
from frameworks.control.bridge.transport.credentials import Credentials
from frameworks.control.bridge.transport.execution import Caller, Execution
from frameworks.control.bridge.transport.ratelimit import Verdict
from frameworks.control.bridge.transport.request import Refused, Request
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Kind

BROKEN = frozenset({1002, 1007, 1009})
"""Close codes of sockets that did not speak WebSocket (RFC 6455 §7.4.1)."""

_encode = msgspec.json.Encoder().encode


class SocketCaller(Caller, Protocol):
    """A caller whose credential ends some day."""

    @property
    def expires(self) -> datetime | None:
        """When the credential ends; None when it does not."""


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Bounds of sockets: of each, and of all."""

    limits: ws.Limits = field(default_factory=ws.Limits)
    queue: int = 256
    """Messages waiting to be written before operations have to wait."""
    write_within: float = 20.0
    """Seconds one write may take before the client counts as gone."""
    sockets: int = 10_000
    per_caller: int = 50


class SocketEndpoint:
    """Serves sockets and counts them."""

    def __init__(
        self,
        execution: Execution,
        authenticate: Callable[[Credentials], Awaitable[Any]],
        budget: Callable[[Any], Verdict],
        clock: Clock,
        settings: SocketSettings | None = None,
    ) -> None:
        self.execution = execution
        self.authenticate = authenticate
        self.budget = budget
        self.clock = clock
        self.settings = settings or SocketSettings()
        self._open = 0
        self._by_caller: dict[str, int] = {}

    async def handle(self, websocket: WebSocket) -> None:
        """Serve one socket until it closes."""
        if ws.SUBPROTOCOL not in websocket.scope.get("subprotocols", ()):
            metrics.SOCKETS_ENDED.labels(str(ws.BAD_SUBPROTOCOL)).inc()
            await websocket.accept()
            await websocket.close(ws.BAD_SUBPROTOCOL, "Subprotocol not acceptable")
            return
        await websocket.accept(subprotocol=ws.SUBPROTOCOL)
        if self._open >= self.settings.sockets:
            await websocket.close(ws.BUSY, "Too many sockets")
            return
        self._open += 1
        session = _Session(websocket, self)
        try:
            await session.run()
        finally:
            self._open -= 1
            if session.counted is not None:
                self._leave(session.counted)

    def enter(self, bucket: str) -> bool:
        """Count a socket of a caller; False when it has too many."""
        count = self._by_caller.get(bucket, 0)
        if count >= self.settings.per_caller:
            return False
        self._by_caller[bucket] = count + 1
        return True

    def _leave(self, bucket: str) -> None:
        self._by_caller[bucket] -= 1
        if not self._by_caller[bucket]:
            del self._by_caller[bucket]


class _Ended(Exception):
    pass


class _Session:
    def __init__(self, websocket: WebSocket, endpoint: SocketEndpoint) -> None:
        self._websocket = websocket
        self._endpoint = endpoint
        self._clock = endpoint.clock
        self._machine = ws.Socket(self._clock.monotonic(), endpoint.settings.limits)
        self._queue: asyncio.Queue[ws.Send | ws.Close] = asyncio.Queue(endpoint.settings.queue)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._caller: SocketCaller | None = None
        self.counted: str | None = None

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                group.create_task(self._tick(group))
                group.create_task(self._read(group))
        except* (_Ended, WebSocketDisconnect):
            pass

    async def _read(self, group: asyncio.TaskGroup) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                if message.get("code") in BROKEN and self._machine.phase is not ws.Phase.CLOSED:
                    metrics.SOCKETS_ENDED.labels(str(message["code"])).inc()
                raise _Ended
            text = message.get("text")
            await self._perform(self._machine.receive(text if text is not None else message["bytes"]), group)

    async def _write(self) -> None:
        while True:
            action = await self._queue.get()
            try:
                async with asyncio.timeout(self._endpoint.settings.write_within):
                    if isinstance(action, ws.Close):
                        await self._shut(action)
                        raise _Ended
                    await self._websocket.send_text(_encode(action.message).decode())
            except (TimeoutError, RuntimeError, OSError) as error:
                raise _Ended from error

    async def _shut(self, action: ws.Close) -> None:
        metrics.SOCKETS_ENDED.labels(str(action.code)).inc()
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await self._websocket.close(action.code, action.reason)

    async def _tick(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._clock.sleep(1.0)
            await self._perform(self._machine.tick(self._clock.monotonic()), group)

    async def _perform(self, actions: list[ws.Action], group: asyncio.TaskGroup) -> None:
        for action in actions:
            match action:
                case ws.Send() | ws.Close():
                    await self._queue.put(action)
                case ws.Authenticate(payload):
                    await self._perform(await self._authenticate(payload), group)
                case ws.Start(id, request):
                    self._tasks[id] = group.create_task(self._operate(id, request, group))
                case ws.Stop(id):
                    task = self._tasks.pop(id, None)
                    if task is not None:
                        task.cancel()

    async def _authenticate(self, payload: Mapping[str, Any]) -> list[ws.Action]:
        headers, cookies = self._websocket.headers, self._websocket.cookies
        address = self._websocket.client.host if self._websocket.client else ""
        caller = await self._endpoint.authenticate(credentials.of_socket(payload, headers, cookies, address))
        if caller.refusal is not None:
            busy = caller.refusal.kind in (Kind.UNAVAILABLE, Kind.TIMEOUT)
            return self._machine.rejected("Try again" if busy else "Forbidden", busy=busy)
        if not self._endpoint.enter(caller.bucket):
            return self._machine.abandon(ws.TOO_MANY, "Too many sockets")
        self.counted = caller.bucket
        self._caller = caller
        return self._machine.accepted(expires=self._expires(caller))

    def _expires(self, caller: SocketCaller) -> float | None:
        if caller.expires is None:
            return None
        return self._clock.monotonic() + (caller.expires - self._clock.now()).total_seconds()

    async def _operate(self, id: str, request: Request, group: asyncio.TaskGroup) -> None:
        mine = asyncio.current_task()
        try:
            actions = await self._results(id, request, group)
        except Refused as refused:
            actions = self._machine.error(id, refused.errors)
        except Exception as error:  # noqa: BLE001 - one failed operation must not take the socket's others along
            actions = self._machine.error(id, [errors.masked(error)])
        if self._tasks.get(id) is mine:
            del self._tasks[id]
        await self._perform(actions, group)

    async def _results(self, id: str, request: Request, group: asyncio.TaskGroup) -> list[ws.Action]:
        caller = self._caller
        if caller is None:
            return []
        if not self._endpoint.budget(caller).passes:
            raise Refused(429, [errors.entry("Too many operations.", "RATE_LIMITED")])
        operation = self._endpoint.execution.prepare(request, caller)
        if operation.kind == "subscription":
            async with aclosing(self._endpoint.execution.stream(operation, request, caller)) as results:
                async for body in results:
                    await self._perform(self._machine.next(id, body), group)
        else:
            answer = await self._endpoint.execution.execute(operation, request, caller)
            await self._perform(self._machine.next(id, answer.body), group)
        return self._machine.complete(id)
