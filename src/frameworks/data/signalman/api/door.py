"""The listener for sockets: who comes in, how many, and the round that looks after those who are."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID

from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server

from frameworks.contracts.metrics import signalman as metrics
from frameworks.contracts.permissions.signalman import open_to
from frameworks.data.signalman.api.following import Feed
from frameworks.data.signalman.api.handshake import SUBPROTOCOL, NotHere, read
from frameworks.data.signalman.api.sockets import GOING_AWAY, Socket
from frameworks.data.signalman.service.hub import Hub, Known, LiveState
from frameworks.data.signalman.service.watched import Watched
from frameworks.kit import trace
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Forbidden, Limited, Refusal, Unauthenticated
from frameworks.kit.identity import Verifier
from frameworks.kit.log import get
from frameworks.kit.rpc import Forwarded

SERVICE = "signalman"
_log = get(SERVICE)
ROUND = 10
"""Seconds in which every socket is visited once."""
HEAD_SECONDS = 10.0
READ_BUFFER = 2048
FIRST_MESSAGE = 10_000
"""Bytes of the first message: it may hold a credential."""

Exchange = Callable[[str], Awaitable[str]]
"""An API token for a token that peers accept; raises Unauthenticated."""


class TooManySockets(Limited):
    """The tenant has as many sockets as it may."""

    code = "signalman.too_many_sockets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of sockets: of each, and of all; times in seconds."""

    sockets: int = 10_000
    per_tenant: int = 1000
    unknown: int = 500
    greeting: float = 10.0
    ping_every: float = 54.0
    write_within: float = 10.0
    buffer: int = 256 * 1024
    first_message: int = FIRST_MESSAGE
    origins: frozenset[str] = field(default_factory=frozenset)


class Journal(logging.LoggerAdapter[logging.Logger]):
    """What picows says; one for all sockets, where a logger would become one for each."""

    def isEnabledFor(self, level: int) -> bool:
        """Only what is a failure."""
        return level >= logging.ERROR

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """A failure of ours with its traceback is a bug; the rest are clients that speak something else."""
        if level < logging.ERROR:
            return
        if kwargs.get("exc_info"):
            _log.error("socket.failed", reason=str(msg), exc_info=True)
        else:
            metrics.REFUSED.labels("protocol").inc()


class Door:
    """Serves sockets and counts them."""

    def __init__(
        self, hub: Hub, live: LiveState, verifier: Verifier, exchange: Exchange, clock: Clock, limits: Limits
    ) -> None:
        self.clock = clock
        self.limits = limits
        self._hub, self._live = hub, live
        self._verifier, self._exchange = verifier, exchange
        self._rounds: list[set[Socket]] = [set() for _ in range(ROUND)]
        self._turn = 0
        self._count = 0
        self._unknown: set[Socket] = set()
        self._held: dict[Socket, Watched] = {}
        self._by_tenant: dict[UUID, int] = {}
        self._stuck: dict[Socket, float] = {}
        self._is_closed = False

    @property
    def open(self) -> int:
        """Sockets open now."""
        return self._count

    async def serve(self, bound: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Accept on a socket that listens."""
        return await ws_create_server(
            self.enter,
            sock=bound,
            ssl=tls,
            logger_name=Journal(logging.getLogger("picows.server"), {}),
            websocket_handshake_timeout=HEAD_SECONDS,
            enable_auto_ping=False,
            enable_auto_pong=False,
            max_frame_size=self.limits.first_message,
            read_buffer_init_size=READ_BUFFER,
            use_aiofastnet=False,
        )

    def enter(self, request: WSUpgradeRequest) -> Any:
        """Open a socket, or say why not."""
        try:
            greeting = read(request.path.decode("latin-1"), request.headers, self.limits.origins)
            self._check_room()
            self._check_token(greeting.token)
        except NotHere as refusal:
            metrics.REFUSED.labels(refusal.reason).inc()
            return WSUpgradeResponseWithListener(
                WSUpgradeResponse.create_error_response(refusal.status, refusal.sentence.encode()), None
            )
        chosen = {"Sec-WebSocket-Protocol": SUBPROTOCOL} if greeting.subprotocol else {}
        return WSUpgradeResponseWithListener(
            WSUpgradeResponse.create_101_response(extra_headers=chosen), Socket(self, greeting)
        )

    async def who(self, secret: str) -> Known:
        """Who presents this credential; raises Unauthenticated, Forbidden, Unavailable."""
        await self._hub.begun()
        token = secret if _is_signed(secret) else await self._exchange(secret)
        principal = self._verifier.principal(token, SERVICE)
        if not open_to(principal):
            raise Forbidden("This credential opens no channel.")
        return Known(principal, token, secret)

    def admit(self, entered: Socket, known: Known) -> Feed:
        """Let a socket follow its tenant; raises TooManySockets, Unavailable."""
        tenant = known.principal.tenant
        if tenant is None:
            raise Unauthenticated("This caller acts for no tenant.")
        if self._by_tenant.get(tenant, 0) >= self.limits.per_tenant:
            raise TooManySockets("This tenant has too many sockets open.", limit=self.limits.per_tenant)
        watched = self._hub.hold(tenant)
        self._unknown.discard(entered)
        self._held[entered] = watched
        self._by_tenant[tenant] = self._by_tenant.get(tenant, 0) + 1
        return Feed(self._hub, watched, entered, lambda: self._live.changes(tenant, _forwarded(entered)))

    def entered(self, entered: Socket) -> None:
        """A handshake is done."""
        self._rounds[self._count % ROUND].add(entered)
        self._count += 1
        self._unknown.add(entered)
        metrics.SOCKETS.inc()
        if self._is_closed:
            entered.close(GOING_AWAY, "Closing.")

    def left(self, gone: Socket) -> None:
        """A connection is gone."""
        for one in self._rounds:
            one.discard(gone)
        self._unknown.discard(gone)
        self._stuck.pop(gone, None)
        self._count -= 1
        metrics.SOCKETS.dec()
        watched = self._held.pop(gone, None)
        if watched is None:
            return
        self._hub.release(watched)
        self._by_tenant[watched.tenant] -= 1
        if not self._by_tenant[watched.tenant]:
            del self._by_tenant[watched.tenant]

    def paused(self, slow: Socket) -> None:
        """A socket's buffer is full."""
        self._stuck.setdefault(slow, self.clock.monotonic())

    def closing(self, ended: Socket) -> None:
        """A socket was told to go."""
        self._stuck[ended] = self.clock.monotonic()

    async def look_after(self) -> None:
        """Every second: cut who is stuck, visit a part of the others."""
        while True:
            await self.clock.sleep(1.0)
            self.tick()

    def tick(self) -> None:
        """What is to be done each second."""
        now = self.clock.monotonic()
        for stuck, since in list(self._stuck.items()):
            full_since = since if stuck.closed else stuck.paused_at
            if full_since is None:
                del self._stuck[stuck]
            elif now - full_since >= self.limits.write_within:
                stuck.abort("slow")
        self._turn = (self._turn + 1) % ROUND
        for each in tuple(self._rounds[self._turn]):
            if not each.closed:
                each.visit(now)

    def close(self) -> None:
        """Send everybody away; their positions tell where to go on."""
        self._is_closed = True
        for one in self._rounds:
            for each in tuple(one):
                each.close(GOING_AWAY, "Closing.")

    def _check_room(self) -> None:
        if self._is_closed or self._count >= self.limits.sockets:
            raise NotHere(HTTPStatus.SERVICE_UNAVAILABLE, "full", "There are too many sockets open.")
        if len(self._unknown) >= self.limits.unknown:
            raise NotHere(HTTPStatus.SERVICE_UNAVAILABLE, "unknown", "Too many sockets are being opened.")

    def _check_token(self, token: str | None) -> None:
        """A signed credential is checked before there is a socket; others have to be asked for."""
        if token is None or not _is_signed(token):
            return
        try:
            self._verifier.principal(token, SERVICE)
        except Refusal as refusal:
            raise NotHere(HTTPStatus.UNAUTHORIZED, "credential", refusal.message) from refusal


def _is_signed(credential: str) -> bool:
    return credential.count(".") == 2


def _forwarded(entered: Socket) -> Forwarded:
    """Metadata that carries the socket's caller on."""
    token = entered.known.token if entered.known is not None else ""
    return Forwarded(((trace.TRACEPARENT, trace.header(None)), ("authorization", f"Bearer {token}")))
