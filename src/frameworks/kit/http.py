"""What every HTTP listener does around its application: faults as JSON, limits, CORS, headers, a log line.

`application(routes, policy)` is a Starlette application so wrapped, `protect(app, policy)` wraps any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frameworks.kit import log, metrics, trace
from frameworks.kit.clock import Clock, SystemClock, random_text
from frameworks.kit.errors import CODES, Kind, Refusal, Unavailable
from frameworks.kit.proxies import NONE, Proxies

_SECONDS = metrics.histogram(
    "frameworks_http_seconds", "Time to serve a request, by route.", ("service", "route", "status"), bound=500
)
_UNROUTED = "(none)"
_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}
_HSTS = "max-age=31536000"
_CLOSED_BY_CLIENT = 499


class TooLarge(Refusal):
    """A body over the listener's limit."""

    kind = Kind.TOO_LARGE
    code = "http.too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """Which other origins may call from a browser."""

    origins: frozenset[str]
    """Exact origins, or `*` for any, which excludes credentials."""
    methods: tuple[str, ...] = ("GET", "POST")
    headers: tuple[str, ...] = ("authorization", "content-type", "traceparent")
    credentials: bool = False
    max_age: int = 600
    """Seconds a browser may remember the answer."""

    def allowed(self, origin: str) -> dict[str, str]:
        """The headers that admit `origin`; none when it is not admitted."""
        if "*" in self.origins and not self.credentials:
            return {"access-control-allow-origin": "*"}
        if origin not in self.origins:
            return {}
        admitted = {"access-control-allow-origin": origin, "vary": "Origin"}
        return admitted | ({"access-control-allow-credentials": "true"} if self.credentials else {})

    def preflight(self, origin: str) -> Response:
        """The answer to a browser that asks first."""
        headers = self.allowed(origin)
        if headers:
            headers |= {
                "access-control-allow-methods": ", ".join(self.methods),
                "access-control-allow-headers": ", ".join(self.headers),
                "access-control-max-age": str(self.max_age),
            }
        return Response(status_code=204 if headers else 403, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one service's listener treats every request."""

    service: str
    max_body: int = 1 << 20
    """Bytes."""
    proxies: Proxies = NONE
    """Whose `X-Forwarded-*` headers are believed."""
    cors: Cors | None = None
    headers: Mapping[str, str] | None = None
    """Sent with every response, beside and over the security headers."""
    access_log: bool = True


def application(routes: Sequence[BaseRoute], policy: Policy, *, clock: Clock | None = None) -> ASGIApp:
    """A Starlette application of `routes` behind `policy`."""
    starlette = Starlette(routes=list(routes))
    # Not the whole of Starlette: its outermost layer answers unexpected errors by itself.
    routed = ExceptionMiddleware(starlette.router, handlers=_HANDLERS)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = starlette
        await routed(scope, receive, send)

    return protect(app, policy, clock=clock)


def protect(app: ASGIApp, policy: Policy, *, clock: Clock | None = None) -> ASGIApp:
    """Any ASGI application behind `policy`."""
    return _Protected(app, policy, clock or SystemClock())


def fault_response(error: Exception) -> Response:
    """What the caller is told of `error`: `{error, code, message, trace}`; of a bug, only an incident."""
    headers: dict[str, str] = {}
    match error:
        case Refusal() | Unavailable():
            kind, status = error.kind.value, CODES[error.kind].http
            code, message = error.code, error.message
            if "retry_after" in error.facts:
                headers["retry-after"] = str(max(1, round(error.facts["retry_after"])))
        case HTTPException():
            status, message = error.status_code, error.detail
            kind, code = _KIND_BY_STATUS.get(status, Kind.INVALID).value, f"http.{status}"
            headers |= error.headers or {}
        case _:
            incident = random_text(10)
            log.get("http").error(
                "request.failed", incident=incident, trace=trace.current.get(), exc_info=error
            )
            kind, status, code = Kind.INTERNAL.value, 500, "internal"
            message = f"Something went wrong here; it is logged as incident {incident}."
    if status == CODES[Kind.UNAUTHENTICATED].http:
        headers.setdefault("www-authenticate", "Bearer")
    body = {"error": kind, "code": code, "message": message, "trace": trace.current.get()}
    return Response(msgspec.json.encode(body), status, headers, "application/json")


_KIND_BY_STATUS = {codes.http: kind for kind, codes in CODES.items()}


async def _handle(_: Request, error: Exception) -> Response:
    return fault_response(error)


_HANDLERS: dict[Any, Any] = {Refusal: _handle, Unavailable: _handle, HTTPException: _handle}


class _Protected:
    """The wrapping itself."""

    def __init__(self, app: ASGIApp, policy: Policy, clock: Clock) -> None:
        self._app = app
        self._policy = policy
        self._clock = clock
        self._headers = _SECURITY_HEADERS | {
            name.lower(): text for name, text in (policy.headers or {}).items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = self._policy.proxies.apply(scope)
        token = trace.current.set(trace.accept(Headers(scope=scope).get(trace.TRACEPARENT)))
        try:
            serve = self._http if scope["type"] == "http" else self._websocket
            await serve(scope, receive, send)
        finally:
            trace.current.reset(token)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = self._clock.monotonic()
        exchange = _Exchange(send, self._response_headers(scope))
        try:
            await self._answer(scope, _limited(scope, receive, self._policy.max_body), exchange)
        except ClientDisconnect:
            exchange.status = _CLOSED_BY_CLIENT
        except Exception as error:
            if exchange.status:
                logger = log.get(self._policy.service)
                logger.error("response.broken", trace=trace.current.get(), exc_info=error)
            else:
                await fault_response(error)(scope, receive, exchange.send)
        finally:
            self._record(scope, exchange, self._clock.monotonic() - started)

    async def _answer(self, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        headers = Headers(scope=scope)
        asks = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        if asks and self._policy.cors is not None:
            await self._policy.cors.preflight(headers.get("origin", ""))(scope, receive, exchange.send)
        else:
            await self._app(scope, receive, exchange.send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_answered = False

        async def answer(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except (Refusal, Unavailable) as fault:
            code = 1013 if isinstance(fault, Unavailable) else 1008
            await send({"type": "websocket.close", "code": code, "reason": fault.code})
        else:
            if not is_answered:
                await send({"type": "websocket.close", "code": 1008, "reason": "http.no_websocket"})

    def _response_headers(self, scope: Scope) -> dict[str, str]:
        headers = dict(self._headers)
        if scope.get("scheme") == "https":
            headers.setdefault("strict-transport-security", _HSTS)
        origin = Headers(scope=scope).get("origin")
        if origin is not None and self._policy.cors is not None:
            headers |= self._policy.cors.allowed(origin)
        return headers

    def _record(self, scope: Scope, exchange: "_Exchange", seconds: float) -> None:
        # The path itself may hold a key or a secret; its pattern does not.
        route = getattr(scope.get("route"), "path", _UNROUTED)
        _SECONDS.labels(self._policy.service, route, str(exchange.status)).observe(seconds)
        if self._policy.access_log:
            log.get(self._policy.service).info(
                "request.served",
                method=scope["method"],
                route=route,
                status=exchange.status,
                bytes=exchange.bytes,
                ms=round(seconds * 1000, 1),
                trace=trace.current.get(),
            )


class _Exchange:
    """A response on its way out."""

    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.status = 0
        self.bytes = 0

    async def send(self, message: Message) -> None:
        """Pass on a part of the response, completing its headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, text in self._headers.items():
                headers.setdefault(name, text)
            if "frame-ancestors" in headers.get("content-security-policy", ""):
                del headers["x-frame-options"]  # the older word for it, and a coarser one
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)


def _limited(scope: Scope, receive: Receive, limit: int) -> Receive:
    """`receive` that raises TooLarge once more than `limit` bytes of body have come or were announced."""
    announced = Headers(scope=scope).get("content-length", "0")
    received = 0

    async def counted() -> Message:
        nonlocal received
        if announced.isdigit() and int(announced) > limit:
            raise TooLarge(f"The body is over {limit} bytes.")
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise TooLarge(f"The body is over {limit} bytes.")
        return message

    return counted
