"""HTTP for players: `GET /play/<playback id>` as JSON (endpoints) or 307 (straight to media); `Accept` decides."""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from frameworks.contracts.ids import PLAYBACK_ID
from frameworks.kit import http
from frameworks.kit.errors import NotFound, Refusal
from frameworks.kit.proxies import Proxies
from frameworks.media.foghorn.domain import Position, position
from frameworks.media.foghorn.service.passes import Passes
from frameworks.media.foghorn.service.routing import Endpoint, Router, Watch

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Content-Type, Range",
    "Access-Control-Expose-Headers": "Location, Retry-After",
    "Access-Control-Max-Age": "86400",
}
NO_STORE = {"Cache-Control": "no-store", "Vary": "Accept"}
RETRY_SECONDS = {"starting": 1, "offline": 3, "full": 10}
SENTENCES = {
    "starting": "The stream is starting.",
    "offline": "The stream is offline.",
    "full": "As many people watch as the plan of the stream's owner allows.",
}
_PROTOCOL = re.compile(r"[A-Za-z_]{1,16}")


class BadPlayback(Refusal):
    """The path or a parameter is not of the form it must have."""

    code = "foghorn.bad_playback"


def routes(router: Router, passes: Passes | None = None) -> list[Route]:
    """`/play/<playback id>` and its preflight."""

    async def play(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=CORS)
        watch = await router.watch(
            _playback_id(request),
            protocol=_protocol(request),
            address=request.client.host if request.client else "",
            where=_where(request),
            redirect=not _wants_json(request),
        )
        if not _wants_json(request):
            return _as_redirect(watch)
        return _as_json(watch, passes.of(watch.stream) if passes else "")

    return [Route("/play/{playback_id}", play, methods=["GET", "HEAD", "OPTIONS"])]


def application(router: Router, proxies: Proxies, passes: Passes | None = None) -> ASGIApp:
    """The HTTP application of Foghorn; any page may read its answers, refusals too."""
    policy = http.Policy(service="foghorn", headers=CORS, proxies=proxies, access_log=False)
    return http.application(routes(router, passes), policy)


def _playback_id(request: Request) -> str:
    playback_id: str = request.path_params["playback_id"]
    if not PLAYBACK_ID.fullmatch(playback_id):
        raise NotFound("There is no stream with this playback id.")
    return playback_id


def _protocol(request: Request) -> str:
    name = request.query_params.get("protocol", "")
    if name and not _PROTOCOL.fullmatch(name):
        raise BadPlayback("The protocol is a name such as HLS or HLS_CMAF.")
    return name.upper()


def _where(request: Request) -> Position | None:
    """A player that knows where it is may say so; it only changes which node is closest."""
    latitude, longitude = request.query_params.get("lat"), request.query_params.get("lon")
    if latitude is None or longitude is None:
        return None
    try:
        return position(float(latitude), float(longitude))
    except ValueError as error:
        raise BadPlayback("lat and lon are degrees, such as lat=52.1&lon=4.3.") from error


def _wants_json(request: Request) -> bool:
    """JSON when asked for by name; anything else, a player's `*/*` too, gets media."""
    return "application/json" in request.headers.get("accept", "").lower()


def _as_json(watch: Watch, telemetry: str) -> Response:
    stream = watch.stream
    body = {
        "state": watch.state,
        "playback_id": stream.playback_id,
        "title": stream.title,
        "viewers": watch.viewers,
        "primary": _endpoint(watch.endpoints[0]) if watch.endpoints else None,
        "telemetry_token": telemetry,
        "fallbacks": [_endpoint(endpoint) for endpoint in watch.endpoints[1:]],
        "retry_after_ms": 0 if watch.endpoints else 1000 * RETRY_SECONDS[watch.state],
        "message": "" if watch.endpoints else SENTENCES[watch.state],
    }
    return JSONResponse(body, headers=CORS | NO_STORE)


def _as_redirect(watch: Watch) -> Response:
    if watch.endpoints:
        return RedirectResponse(watch.endpoints[0].url, status_code=307, headers=CORS | NO_STORE)
    wait = RETRY_SECONDS[watch.state]
    body = {"error": f"stream_{watch.state}", "message": f"{SENTENCES[watch.state]} Ask again in {wait} s."}
    status = 429 if watch.state == "full" else 404
    return JSONResponse(body, status_code=status, headers=CORS | NO_STORE | {"Retry-After": str(wait)})


def _endpoint(endpoint: Endpoint) -> dict[str, object]:
    return {
        "node_id": endpoint.node,
        "protocol": endpoint.protocol,
        "url": endpoint.url,
        "base_url": endpoint.base_url,
        "distance_km": round(endpoint.distance_km, 1),
        "score": endpoint.score,
        "outputs": endpoint.outputs,
    }
