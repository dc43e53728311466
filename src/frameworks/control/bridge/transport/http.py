"""The POST endpoint: size, identity, budget, execution, answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from frameworks.control.bridge.transport import credentials, errors
from frameworks.control.bridge.transport.credentials import Credentials
from frameworks.control.bridge.transport.execution import Execution
from frameworks.control.bridge.transport.ratelimit import Verdict
from frameworks.control.bridge.transport.request import Refused, answer_type, check_head, decode, refuse
from frameworks.kit import log
from frameworks.kit.errors import CODES, Fault

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": (
        "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
    ),
}
PREFLIGHT = CORS | {
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Content-Type, Accept, Authorization, X-Frameworks-Playback-JWT, Idempotency-Key, traceparent"
    ),
    "Access-Control-Max-Age": "86400",
    "Vary": "Access-Control-Request-Headers",
}

_encode = msgspec.json.Encoder().encode
_log = log.get("bridge")

Authenticate = Callable[[Credentials], Awaitable[Any]]
Budget = Callable[[Any], Verdict]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one request may be."""

    body_bytes: int = 512 * 1024


class HttpEndpoint:
    """GraphQL over HTTP (https://graphql.github.io/graphql-over-http) with the SDK's codes."""

    def __init__(
        self,
        execution: Execution,
        authenticate: Authenticate,
        budget: Budget,
        limits: HttpLimits | None = None,
    ) -> None:
        self._execution = execution
        self._authenticate = authenticate
        self._budget = budget
        self._limits = limits or HttpLimits()

    async def handle(self, http: HttpRequest) -> Response:
        """Answer one request; never raises but for bugs of the server itself."""
        if http.method == "OPTIONS":
            return Response(status_code=204, headers=PREFLIGHT)
        media = answer_type(http.headers.get("accept", ""))
        headers = dict(CORS)
        try:
            check_head(http.method, http.headers.get("content-type", ""))
            return await self._answer(http, media, headers)
        except Refused as refused:
            return _json(refused.status, {"errors": refused.errors}, media, headers | refused.headers)
        except Fault as fault:
            return _json(CODES[fault.kind].http, {"errors": [errors.of_fault(fault)]}, media, headers)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:  # noqa: BLE001 - the door answers in GraphQL whatever broke behind it
            return _json(500, {"errors": [errors.masked(error)]}, media, headers)

    async def _answer(self, http: HttpRequest, media: str, headers: dict[str, str]) -> Response:
        body = await self._body(http)
        address = http.client.host if http.client else ""
        caller = await self._authenticate(credentials.of_request(http.headers, http.cookies, address))
        verdict = self._budget(caller)
        headers |= verdict.headers()
        if not verdict.passes:
            return _json(429, _limited(verdict), "application/json", headers)
        request = decode(body)
        answer = await self._execution.run(request, caller)
        name = (request.operation_name or "")[:80]
        _log.info("operation.answered", operation=name, status=answer.status, caller=caller.bucket)
        return _json(answer.status, answer.body, media, headers)

    async def _body(self, http: HttpRequest) -> bytes:
        declared = http.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._limits.body_bytes:
            raise self._too_large()
        body = bytearray()
        async for chunk in http.stream():
            body += chunk
            if len(body) > self._limits.body_bytes:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> Refused:
        return refuse(413, f"The body is larger than {self._limits.body_bytes} bytes.")


def _limited(verdict: Verdict) -> dict[str, Any]:
    return {
        "error": "rate_limit_exceeded",
        "message": f"Too many requests: try again in {verdict.retry_after} s.",
        "limit": verdict.limit,
        "retry_after": verdict.retry_after,
    }


def _json(status: int, body: Mapping[str, Any], media: str, headers: Mapping[str, str]) -> Response:
    return Response(_encode(body), status, headers=headers, media_type=f"{media}; charset=utf-8")
