"""One socket: who it is, what it may say, and when it is ended."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from frameworks.contracts.metrics import signalman as metrics
from frameworks.contracts.permissions.signalman import open_to
from frameworks.contracts.topics import CHANNELS
from frameworks.data.signalman.api.following import Feed
from frameworks.data.signalman.api.handshake import Greeting
from frameworks.data.signalman.api.messages import message
from frameworks.data.signalman.domain.changes import BadWish
from frameworks.data.signalman.domain.positions import LONGEST
from frameworks.data.signalman.service.hub import Known
from frameworks.kit.errors import Fault, Forbidden, Kind, Unauthenticated

if TYPE_CHECKING:
    from frameworks.data.signalman.api.door import Door

LONGEST_MESSAGE = 2048
"""Bytes of a message, once the socket has said who it is."""
MESSAGES = 200
"""Messages, pings included, that a socket may send between two visits."""
ACTIONS = 16
"""Actions that may wait for their turn."""
ALL = "all"

NORMAL, GOING_AWAY, NOT_UNDERSTOOD, TOO_BIG, TOO_FAST, AGAIN = 1000, 1001, 1003, 1009, 1008, 1013
BAD_MESSAGE, UNAUTHENTICATED, FORBIDDEN, SILENT, TOO_MANY = 4400, 4401, 4403, 4408, 4429
_CLOSE = {
    Kind.UNAUTHENTICATED: UNAUTHENTICATED,
    Kind.FORBIDDEN: FORBIDDEN,
    Kind.LIMITED: TOO_MANY,
    Kind.UNAVAILABLE: AGAIN,
    Kind.TIMEOUT: AGAIN,
}


class Action(msgspec.Struct):
    """What a client may ask; a tenant or a user in it is not even read."""

    action: str
    channels: list[str] = []
    position: str = ""
    token: str = ""


Work = Callable[[], Awaitable[None]]

_decode = msgspec.json.Decoder(Action).decode


class Hidden(Forbidden):
    """A channel that this credential does not open."""

    code = "signalman.channel_forbidden"


class Socket(WSListener):
    """Tells one client what happens to its tenant, and nobody else's."""

    __slots__ = (
        "_actions", "_door", "_feed", "_greeting", "_heard", "_last_ping", "_messages", "_tasks", "_transport",
        "_write", "closed", "known", "opened", "paused_at",
    )  # fmt: skip

    def __init__(self, door: "Door", greeting: Greeting) -> None:
        self._door = door
        self._greeting: Greeting | None = greeting
        self._transport: Any = None
        self._write: Any = None
        self._feed: Feed | None = None
        self._actions: deque[Work] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = True
        self._messages = 0
        self.opened = self._last_ping = door.clock.monotonic()
        self.paused_at: float | None = None
        self.known: Known | None = None
        self.closed = False

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self._transport = transport
        self._write = transport.underlying_transport.write
        transport.underlying_transport.set_write_buffer_limits(high=self._door.limits.buffer)
        self._door.entered(self)
        if self._greeting is not None and self._greeting.token:
            self._act(partial(self._identify, self._greeting.token))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """The client said something."""
        self._heard = True
        self._messages += 1
        if self.closed:
            return
        if self._messages > MESSAGES:
            self.close(TOO_FAST, "Too many messages.")
        elif frame.msg_type == WSMsgType.CLOSE:
            self._part(NORMAL, "")
        elif frame.msg_type == WSMsgType.PING:
            if self.paused_at is None:
                transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type != WSMsgType.PONG:
            self._take(frame)

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """The connection is gone."""
        self._end()
        self._door.left(self)

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        self.paused_at = self._door.clock.monotonic()
        self._door.paused(self)
        if self._feed is not None:
            self._feed.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.paused_at = None
        if self._feed is not None and not self.closed:
            self._feed.resume()

    # What the feed calls.

    def send(self, frames: bytes) -> None:
        """Write whole frames."""
        if not self.closed:
            self._write(frames)

    def begin(self, work: Work) -> None:
        """Work in the background that ends with the socket."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What the door calls.

    def visit(self, now: float) -> None:
        """Look at the clock: credential, silence, pings."""
        self._messages = 0
        if self.known is None:
            if now - self.opened >= self._door.limits.greeting:
                self.close(UNAUTHENTICATED, "Nobody said who this is.")
            return
        if self.known.principal.expires <= self._door.clock.now():
            self._act(partial(self._renew, self.known))
            return
        if now - self._last_ping < self._door.limits.ping_every:
            return
        if not self._heard:
            self.close(SILENT, "No answer to pings.")
            return
        self._heard, self._last_ping = False, now
        if self.paused_at is None:
            self._transport.send_ping()
            if self._feed is not None:
                self._feed.tell_position()

    def close(self, code: int, reason: str) -> None:
        """End the socket; it is cut when it does not take the farewell."""
        if self.closed:
            return
        metrics.CUT.labels(str(code)).inc()
        self._part(code, reason)

    def _part(self, code: int, reason: str) -> None:
        self._end()
        self._transport.send_close(code, reason)
        self._transport.disconnect()
        self._door.closing(self)

    def abort(self, reason: str) -> None:
        """End the connection at once."""
        if not self.closed:
            metrics.CUT.labels(reason).inc()
            self._end()
        self._transport.disconnect(graceful=False)

    # Actions.

    def _take(self, frame: WSFrame) -> None:
        limit = LONGEST_MESSAGE if self.known is not None else self._door.limits.first_message
        if frame.payload_size > limit:
            self.close(TOO_BIG, "Message too big.")
            return
        if frame.msg_type != WSMsgType.TEXT or not frame.fin:
            self.close(NOT_UNDERSTOOD, "Messages are text, in one frame.")
            return
        try:
            asked = _decode(frame.get_payload_as_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.close(BAD_MESSAGE, "A message is a JSON object with an action.")
            return
        match asked.action:
            case "authenticate":
                self._act(partial(self._identify, asked.token))
            case "subscribe" | "unsubscribe":
                self._act(partial(self._change, asked))
            case _:
                self.send(
                    error("signalman.unknown_action", "Actions are authenticate, subscribe, unsubscribe.")
                )

    def _act(self, work: Work) -> None:
        """Do `work` after what was asked before."""
        if self._actions is None:
            self._actions = deque((work,))
            self.begin(partial(self._work, self._actions))
        elif len(self._actions) >= ACTIONS:
            self.close(TOO_FAST, "Too many actions at once.")
        else:
            self._actions.append(work)

    async def _work(self, actions: deque[Work]) -> None:
        while actions and not self.closed:
            await actions.popleft()()
        self._actions = None

    async def _guarded(self, work: Work) -> None:
        """What a client can be told of a fault is told; a fault about the socket as a whole ends it."""
        try:
            await work()
        except Fault as fault:
            self.close(_CLOSE.get(fault.kind, GOING_AWAY), fault.message[:120])

    async def _identify(self, token: str) -> None:
        """Learn who this is; a later credential must be of the same tenant."""
        known = await self._door.who(token)
        if self.known is None:
            self._feed = self._door.admit(self, known)
        self._is_now(known)
        channels = sorted(open_to(known.principal))
        self.send(message("authenticated", tenant_id=str(known.principal.tenant), channels=channels))
        greeting, self._greeting = self._greeting, None
        if greeting is not None and greeting.channels:
            await self._subscribe_or_tell(greeting.channels, greeting.position)

    async def _renew(self, known: Known) -> None:
        """The credential has expired: an API token may still hold, anybody else has to come with a new one."""
        if not known.is_renewable:
            raise Unauthenticated("The credential has expired.")
        self._is_now(await self._door.who(known.secret))

    def _is_now(self, known: Known) -> None:
        if self.known is not None and known.principal.tenant != self.known.principal.tenant:
            raise Unauthenticated("This socket is another tenant's.")
        self.known = known
        if self._feed is not None and not self._feed.channels <= open_to(known.principal):
            self._feed.unsubscribe(self._feed.channels - open_to(known.principal))

    async def _change(self, asked: Action) -> None:
        if self._feed is None:
            raise Unauthenticated("Say who you are first.")
        names = frozenset(asked.channels)
        if asked.action == "subscribe":
            await self._subscribe_or_tell(names, asked.position)
        else:
            self._feed.unsubscribe(CHANNELS if ALL in names else names)

    async def _subscribe_or_tell(self, names: frozenset[str], position: str) -> None:
        """A refused subscription is an answer, not an end."""
        try:
            await self._subscribe(names, position)
        except (BadWish, Hidden) as refusal:
            self.send(error(refusal.code, refusal.message))

    async def _subscribe(self, names: frozenset[str], position: str) -> None:
        assert self.known is not None
        assert self._feed is not None
        allowed = open_to(self.known.principal)
        wanted = names - {ALL} | (allowed if ALL in names else frozenset())
        if not wanted or not wanted <= CHANNELS or len(position) > LONGEST:
            raise BadWish(
                f"Channels are all, {', '.join(sorted(CHANNELS))}; a position is one you were given."
            )
        if not wanted <= allowed:
            raise Hidden(f"This credential does not open {', '.join(sorted(wanted - allowed))}.")
        await self._feed.subscribe(wanted, position)

    def _end(self) -> None:
        self.closed = True
        if self._feed is not None:
            self._feed.close()
        for task in tuple(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()


def error(code: str, text: str) -> bytes:
    """A refusal that leaves the socket open."""
    return message("error", code=code, message=text)
