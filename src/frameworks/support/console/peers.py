"""Passing requests on to Bridge, Foghorn and the mailbox: HTTP bodies in full, WebSocket frames as they come."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from frameworks.kit import log as logs
from frameworks.kit import trace
from frameworks.kit.tasks import end

MAX_BODY = 1 << 20
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        trace.TRACEPARENT,
    }
)
MADE_ANEW = frozenset({b"content-encoding", b"date"})
"""What our own answer has already, or no longer is."""

_log = logs.get("console")


@dataclass(frozen=True, slots=True)
class Playback:
    """What Foghorn says of a playback id, as far as a shared link needs it."""

    state: str
    title: str
    poster: str


class Upstreams:
    """The services behind the front, one connection pool for all."""

    def __init__(self, trusted_proxies: tuple[str, ...]) -> None:
        limits = httpx.Limits(max_connections=512, max_keepalive_connections=64)
        self._client = httpx.AsyncClient(timeout=30.0, limits=limits, trust_env=False)
        self._trusted = frozenset(trusted_proxies)

    async def close(self) -> None:
        """Let all connections go."""
        await self._client.aclose()

    async def pass_on(self, request: Request, origin: str) -> Response:
        """Send the request to `origin` and its answer back."""
        body = await _bounded(request)
        if body is None:
            return _failed(413, "request_too_large", "The request is larger than 1 MiB.")
        path, query = request.scope["raw_path"].decode("latin-1"), request.url.query
        url = f"{origin}{path}" + (f"?{query}" if query else "")
        headers = [*_forwarded(request.headers.raw), *self._client_facts(request)]
        try:
            answer = await self._client.request(request.method, url, content=body, headers=headers)
        except httpx.InvalidURL:
            return _failed(400, "bad_request", "That is not a URL.")
        except httpx.HTTPError as error:
            _log.warning("upstream.failed", origin=origin, reason=type(error).__name__)
            return _failed(
                503, "unavailable", "This part of the platform is restarting. Try again in a moment."
            )
        response = Response(answer.content, status_code=answer.status_code)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.lower().decode() not in HOP_BY_HOP and name.lower() not in MADE_ANEW
        ]
        response.raw_headers.append((b"content-length", str(len(answer.content)).encode()))
        return response

    async def playback(self, origin: str, playback_id: str) -> Playback | None:
        """A stream's title, state and poster; None when there is no such stream or nobody can tell."""
        try:
            headers = {"accept": "application/json", trace.TRACEPARENT: trace.header()}
            answer = await self._client.get(f"{origin}/play/{playback_id}", headers=headers, timeout=2.0)
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            _log.warning("upstream.failed", origin=origin, reason=type(error).__name__)
            return Playback("unknown", "", "")
        if answer.status_code != 200:
            return None
        primary = found.get("primary") or {}
        poster = f"{primary['base_url']}/{playback_id}.jpg" if primary.get("base_url") else ""
        return Playback(found["state"], found["title"], poster)

    def _client_facts(self, request: Request | WebSocket) -> list[tuple[bytes, bytes]]:
        """Who the client is; what a proxy says of it counts only when the proxy is one of ours."""
        peer = request.client.host if request.client else ""
        scheme = {"ws": "http", "wss": "https"}.get(request.url.scheme, request.url.scheme)
        address = peer
        if peer in self._trusted:
            address = request.headers.get("x-forwarded-for", peer).split(",")[0].strip()
            scheme = request.headers.get("x-forwarded-proto", scheme)
        return [
            (b"x-forwarded-for", address.encode("latin-1")),
            (b"x-forwarded-proto", scheme.encode("latin-1")),
            (b"x-forwarded-host", request.headers.get("host", "").encode("latin-1")),
            (trace.TRACEPARENT.encode(), trace.header().encode()),
        ]

    async def pass_socket(self, socket: WebSocket, origin: str) -> None:
        """Join the client's WebSocket to one of `origin`; either side's end ends both, with its code."""
        url = origin.replace("http", "ws", 1) + socket.url.path
        headers = {key.decode(): value.decode("latin-1") for key, value in self._client_facts(socket)}
        for name in ("cookie", "origin", "user-agent"):
            if name in socket.headers:
                headers[name] = socket.headers[name]
        wanted = [Subprotocol(name) for name in socket.scope.get("subprotocols", [])]
        try:
            upstream = await connect(
                url,
                subprotocols=wanted or None,
                additional_headers=headers,
                max_size=MAX_BODY,
                compression=None,
                ping_interval=None,
                proxy=None,
            )
        except (OSError, WebSocketException, TimeoutError) as error:
            _log.warning("upstream.failed", origin=origin, reason=type(error).__name__)
            await socket.close(1013)
            return
        await socket.accept(upstream.subprotocol)
        await _join(socket, upstream)


async def _join(socket: WebSocket, upstream: ClientConnection) -> None:
    outward = asyncio.create_task(_to_upstream(socket, upstream))
    inward = asyncio.create_task(_to_client(upstream, socket))
    try:
        await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end([outward, inward])
        await upstream.close()


async def _to_upstream(socket: WebSocket, upstream: ClientConnection) -> None:
    try:
        while True:
            message: dict[str, Any] = dict(await socket.receive())
            if message["type"] == "websocket.disconnect":
                await upstream.close(_sendable(message.get("code")))
                return
            await upstream.send(message["text"] if message.get("text") is not None else message["bytes"])
    except (ConnectionClosed, WebSocketDisconnect):
        return


async def _to_client(upstream: ClientConnection, socket: WebSocket) -> None:
    try:
        async for frame in upstream:
            await (socket.send_text(frame) if isinstance(frame, str) else socket.send_bytes(frame))
    except ConnectionClosed:
        pass
    except (WebSocketDisconnect, RuntimeError):
        return
    # The client may have ended it in the meantime: then there is nobody to tell.
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(_sendable(upstream.close_code), upstream.close_reason)


def _sendable(code: int | None) -> int:
    """A close code that may be sent; 1005 and 1006 only describe."""
    return code if code is not None and code not in (1005, 1006, 1015) else 1001


async def _bounded(request: Request) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY:
        return None
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
    return b"".join(parts)


def _forwarded(raw: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(n, v) for n, v in raw if n.decode("latin-1").lower() not in HOP_BY_HOP | {"accept-encoding"}]


def _failed(status: int, code: str, message: str) -> Response:
    body = {
        "error": code,
        "message": message,
        "errors": [{"message": message, "extensions": {"code": code.upper()}}],
    }
    return JSONResponse(body, status_code=status)
