"""The front: one Starlette application over pages and upstreams."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from frameworks.contracts.ids import PLAYBACK_ID
from frameworks.kit import http
from frameworks.support.console.api.pages import Pages
from frameworks.support.console.config import Settings
from frameworks.support.console.peers import MAX_BODY, Upstreams

POLICY = http.Policy(service="console", max_body=2 * MAX_BODY, access_log=False)
"""A body too large is refused by the upstreams, in words that a GraphQL client reads too."""
ALL = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"]


def application(settings: Settings, pages: Pages, upstreams: Upstreams) -> ASGIApp:
    """Every public route of the platform but media."""
    return http.application(
        [
            *_passed("/graphql", settings.bridge_url, upstreams),
            *_passed("/graphql/", settings.bridge_url, upstreams),
            *_passed("/auth/{path:path}", settings.bridge_url, upstreams),
            *_passed("/.well-known/jwks.json", settings.bridge_url, upstreams),
            *_passed("/playback/telemetry/boot", settings.bridge_url, upstreams),
            *_passed("/playback/telemetry/session", settings.bridge_url, upstreams),
            *_passed("/play/{playback_id}", settings.foghorn_url, upstreams),
            *(_passed("/mail", settings.mailbox_url, upstreams) if settings.mailbox_url else ()),
            *(_passed("/mail.json", settings.mailbox_url, upstreams) if settings.mailbox_url else ()),
            _socket("/graphql/ws", settings.bridge_url, upstreams),
            Route("/watch/{playback_id}", _watch(settings, pages, upstreams)),
            Route("/{path:path}", _page(pages)),
        ],
        POLICY,
    )


def _passed(path: str, origin: str, upstreams: Upstreams) -> list[Route]:
    async def pass_on(request: Request) -> Response:
        return await upstreams.pass_on(request, origin)

    return [Route(path, pass_on, methods=ALL)]


def _socket(path: str, origin: str, upstreams: Upstreams) -> WebSocketRoute:
    async def pass_on(socket: WebSocket) -> None:
        await upstreams.pass_socket(socket, origin)

    return WebSocketRoute(path, pass_on)


def _watch(settings: Settings, pages: Pages, upstreams: Upstreams) -> Any:
    async def watch(request: Request) -> Response:
        playback_id = request.path_params["playback_id"]
        found = (
            await upstreams.playback(settings.foghorn_url, playback_id)
            if PLAYBACK_ID.fullmatch(playback_id)
            else None
        )
        if found is None:
            return pages.application(title="No such stream", status=404)
        return pages.watch(
            playback_id, found.title or "Live stream", "", live=found.state == "live", poster=found.poster
        )

    return watch


def _page(pages: Pages) -> Any:
    async def page(request: Request) -> Response:
        path = request.path_params["path"]
        if (file := pages.file(path)) is not None:
            return file
        if "." in path.rsplit("/", 1)[-1] or ".." in path.split("/") or not path.isprintable():
            return JSONResponse({"error": "not_found", "message": "There is no such file."}, status_code=404)
        return pages.application()

    return page
