"""Which path is answered by whom, and who is asking."""

import asyncio
import ipaddress
from collections.abc import Coroutine

from frameworks.kit.clock import random_text
from frameworks.kit.log import get
from frameworks.kit.tasks import end
from frameworks.kit.trace import TRACEPARENT
from frameworks.media.mist.hub.doorway import Visit
from frameworks.media.mist.outputs.http.connection import Exchange
from frameworks.media.mist.outputs.http.media import MediaRoutes, Wanted
from frameworks.media.mist.outputs.http.metadata import MetadataRoutes

log = get("mist")

CONNECTORS = {"cmaf": "CMAF", "hls": "HLS"}
MAX_TOKEN = 4096
TOKEN_NAMES = ("tkn", "sid", "sessId", "jwt")
MAX_TASKS = 10_000


class Router:
    """Sends each request to its route; waits that outlive the call run in tasks of its own."""

    def __init__(self, media: MediaRoutes, metadata: MetadataRoutes, trusted: frozenset[str]) -> None:
        self._media = media
        self._metadata = metadata
        self._trusted = trusted
        self._tasks: set[asyncio.Task[None]] = set()

    def route(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        method = exchange.request.method
        if method == "OPTIONS":
            exchange.preflight()
        elif method not in ("GET", "HEAD"):
            exchange.fail(
                405, "Only GET, HEAD and OPTIONS are offered.", headers="Allow: GET, HEAD, OPTIONS\r\n"
            )
        else:
            self._get(exchange)

    def _get(self, exchange: Exchange) -> None:
        first, *rest = exchange.request.path[1:].split("/")
        later: Coroutine[None, None, None] | None = None
        if first in CONNECTORS and len(rest) in (2, 3, 4):
            later = self._media_request(exchange, CONNECTORS[first], rest)
        elif not rest and first.startswith(("json_", "info_")) and first.endswith(".js"):
            visit = self._visit(exchange, first[5:-3].lower(), "HTTP", "")
            later = self._metadata.facts(exchange, visit)
        elif not rest and first.endswith(".jpg"):
            later = self._metadata.poster(exchange, self._visit(exchange, first[:-4], "JPG", ""))
        else:
            exchange.fail(404, "There is nothing here.")
        if later is not None:
            self._later(exchange, later)

    def _media_request(
        self, exchange: Exchange, connector: str, rest: list[str]
    ) -> Coroutine[None, None, None] | None:
        name, *inner = rest
        token = inner.pop(0)[1:] if inner[0].startswith("~") else self._token(exchange)
        if not inner or len(inner) > 2 or len(token) > MAX_TOKEN:
            exchange.fail(404, "There is nothing here.")
            return None
        is_first = inner == ["index.m3u8"]
        visit = self._visit(exchange, name, connector, token or (random_text(16) if is_first else ""))
        wanted = Wanted(visit, "" if is_first else inner[0], inner[-1])
        return self._media.serve(exchange, wanted)

    def _token(self, exchange: Exchange) -> str:
        request = exchange.request
        for name in TOKEN_NAMES:
            if token := request.query.get(name):
                return token
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        return credential.strip() if scheme.lower() == "bearer" else request.cookie("tkn")

    def _visit(self, exchange: Exchange, name: str, connector: str, token: str) -> Visit:
        headers = exchange.request.headers
        scheme = "https" if exchange.secure else "http"
        url = f"{scheme}://{headers.get('host', '')}{exchange.request.target}"
        agent, traceparent = headers.get("user-agent", ""), headers.get(TRACEPARENT, "")
        return Visit(name, self._host(exchange), connector, url, token, agent, traceparent)

    def _host(self, exchange: Exchange) -> str:
        address = exchange.address.removeprefix("::ffff:")
        forwarded = exchange.request.headers.get("x-forwarded-for")
        if forwarded is None or address not in self._trusted:
            return address
        try:
            return str(ipaddress.ip_address(forwarded.rpartition(",")[2].strip()))
        except ValueError:
            return address

    def _later(self, exchange: Exchange, work: Coroutine[None, None, None]) -> None:
        if len(self._tasks) >= MAX_TASKS:
            work.close()
            exchange.fail(503, "The node is busy.", headers="Retry-After: 1\r\n")
            return
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(exchange, done))

    def _finished(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("request.failed", path=exchange.request.path.split("/")[1], error=repr(error))
            exchange.fail(500, "The node failed to answer.")

    async def close(self) -> None:
        """Let no request go on."""
        await end(self._tasks)
