"""The API port: `/api`, `/api2`, the metrics under their secret; for programs of this machine."""

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from frameworks.kit.errors import Refusal
from frameworks.media.mist.api.controller import Controller
from frameworks.media.mist.api.reports import Reports
from frameworks.media.mist.api.storage import Storage

MAX_BODY = 1024 * 1024
COMMAND_PATHS = ("/api", "/api2")
PROXY_HEADERS = frozenset({b"x-forwarded-for", b"x-real-ip", b"forwarded", b"origin"})
"""They say that somebody else is asking: a remote caller through a proxy, or a page in a browser."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class BadCommand(Refusal):
    """A body that is no object of commands."""

    code = "mist.bad_command"


class TooLarge(Refusal):
    """A body beyond the limit."""

    code = "mist.command_too_large"


def is_local(scope: Scope) -> bool:
    """Whether the caller is a program on this machine."""
    client = scope.get("client")
    if any(name in PROXY_HEADERS for name, _ in scope["headers"]):
        return False
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


class Api:
    """The ASGI application."""

    def __init__(self, controller: Controller, reports: Reports, storage: Storage) -> None:
        self._controller = controller
        self._reports = reports
        self._storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        secret = self._storage.prometheus
        if path in COMMAND_PATHS and method in ("GET", "POST"):
            status, kind, body = await self._command(scope, receive)
        elif method == "GET" and secret and _same(path, f"/{secret}.json"):
            status, kind, body = 200, "application/json", json.dumps(self._reports.metrics())
        elif method == "GET" and secret and _same(path, f"/{secret}"):
            status, kind, body = 200, "text/plain; version=0.0.4", self._reports.prometheus()
        else:
            status, kind, body = 404, "text/plain", "Not found"
        await _respond(send, status, kind, body.encode())

    async def _command(self, scope: Scope, receive: Receive) -> tuple[int, str, str]:
        kind = "text/javascript"
        if not is_local(scope):
            return 200, kind, json.dumps({"LTS": 1, "authorize": {"status": "NOACC"}})
        try:
            commands = await _commands(scope, receive)
        except TooLarge as refusal:
            return 413, "text/plain", refusal.message
        except BadCommand as refusal:
            return 400, "text/plain", refusal.message
        return 200, kind, json.dumps(self._controller.answer(commands))


def _same(path: str, wanted: str) -> bool:
    return hmac.compare_digest(path.encode(), wanted.encode())


async def _commands(scope: Scope, receive: Receive) -> dict[str, Any]:
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=16)
    text: str | bytes = query["command"][0] if "command" in query else await _body(receive)
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise BadCommand("The command is not JSON.") from error
    if not isinstance(found, dict):
        raise BadCommand("The command is not an object.")
    return found


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY:
            raise TooLarge("The command is too long.")
        if not message.get("more_body"):
            return body


async def _respond(send: Send, status: int, kind: str, body: bytes) -> None:
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
