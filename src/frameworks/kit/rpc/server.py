"""The network side of a dispatcher: one `grpc.aio` server per service, on `host:port` or `unix:path`."""

import asyncio
import contextvars
import errno
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from frameworks.kit import trace
from frameworks.kit.errors import Precondition
from frameworks.kit.rpc.call import MAX_MESSAGE, Sent, service_of, told
from frameworks.kit.rpc.dispatch import Dispatcher, Endpoint
from frameworks.kit.rpc.faults import Aborted

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)
_CONCURRENT = 4096


class AddressTaken(Precondition):
    """Another program listens at an address that a setting names."""

    code = "host.address_taken"


class RpcServer:
    """The methods of one service of a dispatcher, for callers in other processes."""

    def __init__(self, dispatcher: Dispatcher, service: str) -> None:
        self._methods = _Methods(dispatcher, service)
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_CONCURRENT)
        self._server.add_generic_rpc_handlers((self._methods,))
        self._path: Path | None = None

    def bind(self, address: str, *, setting: str, credentials: grpc.ServerCredentials | None = None) -> str:
        """Take `address` and return it with its port; raises AddressTaken naming `setting`.

        A socket file is clear text: who may open it is the file's own affair.
        """
        check_free(address, setting)
        if address.startswith("unix:"):
            self._path = Path(address.removeprefix("unix:"))
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            if credentials is None or self._path is not None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise AddressTaken(f"Can not listen on {address} ({setting}): {error}.") from error
        return address if self._path else f"{address.rpartition(':')[0]}:{port}"

    async def start(self) -> None:
        """Serve; each call in a context that inherits nothing from here."""
        loop = asyncio.get_running_loop()
        await loop.create_task(self._server.start(), context=contextvars.Context())

    async def stop(self, grace: float) -> None:
        """Take no more calls, let those under way end within `grace` seconds, then cancel them."""
        await self._server.stop(grace)
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def check_free(address: str, setting: str) -> None:
    """Raise AddressTaken, in a sentence an operator can act on, when something listens at `address`."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                raise AddressTaken(f"Another process already serves {path}: stop it, or change {setting}.")
        return
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise not_listening(host, int(port), setting, error) from error


def not_listening(host: str, port: int, setting: str, error: OSError) -> AddressTaken:
    """The sentence for a port that can not be listened on."""
    if error.errno == errno.EADDRINUSE:
        return AddressTaken(f"Port {port} is taken by another program: stop it, or change {setting}.")
    return AddressTaken(f"Can not listen on {host}:{port} ({setting}): {error.strerror or error}.")


class _Methods(grpc.GenericRpcHandler):
    """Finds the handler of a method; what it does not find is UNIMPLEMENTED."""

    def __init__(self, dispatcher: Dispatcher, service: str) -> None:
        self._dispatcher = dispatcher
        self._service = service
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The handler for one call's method, or None."""
        path: str = handler_call_details.method
        if path not in self._handlers:
            endpoint = self._dispatcher.endpoint(path)
            if endpoint is None or service_of(path) != self._service:
                return None
            self._handlers[path] = _handler(self._dispatcher, endpoint)
        return self._handlers[path]


def _handler(dispatcher: Dispatcher, endpoint: Endpoint) -> "grpc.RpcMethodHandler[Any, Any]":
    async def answer(request: Any, context: Any) -> bytes:
        sent = _sent(context)
        response = b""
        try:
            response = await dispatcher.answer(endpoint, sent, request)
        except Aborted as aborted:
            await _abort(context, aborted)
        context.set_trailing_metadata(tuple(sent.trailing))
        return response

    async def answers(request: Any, context: Any) -> AsyncIterator[bytes]:
        sent = _sent(context)
        try:
            async for response in dispatcher.answers(endpoint, sent, request):
                yield response
        except Aborted as aborted:
            await _abort(context, aborted)
        context.set_trailing_metadata(tuple(sent.trailing))

    shapes: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return shapes[endpoint.requests, endpoint.responses](answers if endpoint.responses else answer)


async def _abort(context: Any, aborted: Aborted) -> None:
    status = aborted.status
    await context.abort(status.code, status.details, status.trailing)


def _sent(context: Any) -> Sent:
    authorization, traceparent = told(context.invocation_metadata() or ())
    return Sent(authorization, trace.accept(traceparent), context.time_remaining())
