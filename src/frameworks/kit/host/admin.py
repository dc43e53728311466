"""The listener that operators and probes talk to: /health, /ready, /metrics of one process."""

from collections.abc import Callable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from frameworks.kit import http, metrics

Report = Callable[[], Mapping[str, object]]


def admin_app(health: Report, unready: Callable[[], list[str]]) -> ASGIApp:
    """`/health` says what is, `/ready` whether to send traffic, `/metrics` everything in numbers."""

    async def show_health(_: Request) -> Response:
        return _json(health(), 200)

    async def show_ready(_: Request) -> Response:
        reasons = unready()
        return _json({"ready": not reasons, "waiting_for": reasons}, 503 if reasons else 200)

    async def show_metrics(_: Request) -> Response:
        body, content_type = metrics.exposition()
        return Response(body, headers={"content-type": content_type})

    routes = [Route("/health", show_health), Route("/ready", show_ready), Route("/metrics", show_metrics)]
    return http.application(routes, http.Policy(service="host", access_log=False))


def _json(body: Mapping[str, object], status: int) -> Response:
    return Response(msgspec.json.encode(body, enc_hook=str), status, media_type="application/json")
