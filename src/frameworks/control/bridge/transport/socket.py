"""graphql-transport-ws as a state machine: messages in, actions out; no socket, no clock, no task.

The protocol is https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from frameworks.control.bridge.transport.errors import entry
from frameworks.control.bridge.transport.request import Refused, Request, read

SUBPROTOCOL = "graphql-transport-ws"

TOO_BIG = 1009
BUSY = 1013
BAD_MESSAGE = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
BAD_SUBPROTOCOL = 4406
SLOW = 4408
DUPLICATE = 4409
TOO_MANY = 4429

LONGEST_ID = 128
LONGEST_REASON = 123
"""Bytes a close frame has for its reason (RFC 6455 §5.5)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket may do; times in seconds."""

    message_bytes: int = 256 * 1024
    operations: int = 50
    init_within: float = 10.0
    ping_every: float = 10.0
    silent_pings: int = 3
    """Pings in a row without any message from the client before it counts as gone."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write this message."""

    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket and stop every operation."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Check this payload, then call `accepted` or `rejected`."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Start:
    """Run this operation; report with `next`, `error`, `complete`."""

    id: str
    request: Request


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop this operation; nothing more is sent for it."""

    id: str


Action = Send | Close | Authenticate | Start | Stop


class Phase(Enum):
    """How far a socket is."""

    NEW = "new"
    CHECKING = "checking"
    READY = "ready"
    CLOSED = "closed"


class Socket:
    """One socket. Every method returns what to do, in order; after a Close it returns nothing any more."""

    def __init__(self, now: float, limits: Limits | None = None) -> None:
        self.phase = Phase.NEW
        self.operations: set[str] = set()
        self._limits = limits or Limits()
        self._opened = now
        self._pinged = now
        self._silent = 0
        self._expires: float | None = None

    def receive(self, text: str | bytes) -> list[Action]:
        """Take one message of the client."""
        if self.phase is Phase.CLOSED:
            return []
        if isinstance(text, bytes):
            return self._close(BAD_MESSAGE, "Messages are text.")
        # Four bytes are the most a character can take, so that most messages need no encoding to be measured.
        if len(text) * 4 > self._limits.message_bytes and len(_bytes(text)) > self._limits.message_bytes:
            return self._close(TOO_BIG, "Message too big.")
        self._silent = 0
        message = _decode(text)
        if message is None:
            return self._close(BAD_MESSAGE, "A message is a JSON object with a type.")
        return self._handle(message)

    def accepted(
        self, payload: Mapping[str, Any] | None = None, *, expires: float | None = None
    ) -> list[Action]:
        """The credentials hold, until `expires` when given."""
        if self.phase is not Phase.CHECKING:
            return []
        self.phase = Phase.READY
        self._expires = expires
        return [Send({"type": "connection_ack"} | ({"payload": payload} if payload else {}))]

    def rejected(self, reason: str = "Forbidden", *, busy: bool = False) -> list[Action]:
        """The credentials do not hold, or (`busy`) can not be checked now."""
        return self._close(BUSY if busy else FORBIDDEN, reason)

    def next(self, id: str, payload: Mapping[str, Any]) -> list[Action]:
        """One result of a running operation."""
        return [Send({"id": id, "type": "next", "payload": payload})] if id in self.operations else []

    def error(self, id: str, errors: list[dict[str, Any]]) -> list[Action]:
        """The operation failed before its first result, and is over."""
        if id not in self.operations:
            return []
        self.operations.discard(id)
        return [Send({"id": id, "type": "error", "payload": errors})]

    def complete(self, id: str) -> list[Action]:
        """The operation has no more results."""
        if id not in self.operations:
            return []
        self.operations.discard(id)
        return [Send({"id": id, "type": "complete"})]

    def tick(self, now: float) -> list[Action]:
        """Time passes: deadlines and pings. Call about once a second."""
        if self.phase is Phase.CLOSED:
            return []
        if self.phase is not Phase.READY:
            late = now - self._opened >= self._limits.init_within
            return self._close(SLOW, "Connection initialisation timeout") if late else []
        if self._expires is not None and now >= self._expires:
            return self._close(UNAUTHORIZED, "The credential has expired.")
        if now - self._pinged < self._limits.ping_every:
            return []
        if self._silent >= self._limits.silent_pings:
            return self._close(SLOW, "No answer to pings")
        self._pinged = now
        self._silent += 1
        return [Send({"type": "ping"})]

    def abandon(self, code: int = BUSY, reason: str = "Closing") -> list[Action]:
        """End the socket from this side."""
        return self._close(code, reason)

    def _handle(self, message: dict[str, Any]) -> list[Action]:
        match message.get("type"):
            case "connection_init":
                return self._init(message.get("payload"))
            case "ping":
                return self._ping(message)
            case "pong":
                return []
            case "subscribe":
                return self._subscribe(message)
            case "complete":
                return self._completed(message.get("id"))
            case _:
                return self._close(BAD_MESSAGE, "Unknown message type.")

    def _init(self, payload: object) -> list[Action]:
        if self.phase is not Phase.NEW:
            return self._close(TOO_MANY, "Too many initialisation requests")
        if payload is not None and not isinstance(payload, dict):
            return self._close(BAD_MESSAGE, "The payload of connection_init must be an object.")
        self.phase = Phase.CHECKING
        return [Authenticate(payload or {})]

    def _ping(self, message: dict[str, Any]) -> list[Action]:
        payload = message.get("payload")
        if payload is not None and not isinstance(payload, dict):
            return self._close(BAD_MESSAGE, "The payload of a ping must be an object.")
        return [Send({"type": "pong"} | ({"payload": payload} if payload else {}))]

    def _subscribe(self, message: dict[str, Any]) -> list[Action]:
        if self.phase is not Phase.READY:
            return self._close(UNAUTHORIZED, "Unauthorized")
        id = message.get("id")
        if not isinstance(id, str) or not id or len(id) > LONGEST_ID:
            return self._close(BAD_MESSAGE, "An operation needs an id.")
        if id in self.operations:
            return self._close(DUPLICATE, f"Subscriber for {id[:64]} already exists")
        try:
            request = read(message.get("payload"))
        except Refused as refused:
            return self._close(BAD_MESSAGE, str(refused))
        if len(self.operations) >= self._limits.operations:
            text = f"A socket runs at most {self._limits.operations} operations."
            return [Send({"id": id, "type": "error", "payload": [entry(text, "RATE_LIMITED")]})]
        self.operations.add(id)
        return [Start(id, request)]

    def _completed(self, id: object) -> list[Action]:
        if not isinstance(id, str):
            return self._close(BAD_MESSAGE, "An operation needs an id.")
        if id not in self.operations:
            return []
        self.operations.discard(id)
        return [Stop(id)]

    def _close(self, code: int, reason: str) -> list[Action]:
        if self.phase is Phase.CLOSED:
            return []
        self.phase = Phase.CLOSED
        self.operations.clear()
        return [Close(code, reason.encode(errors="replace")[:LONGEST_REASON].decode(errors="ignore"))]


def _decode(text: str) -> dict[str, Any] | None:
    try:
        message = msgspec.json.decode(_bytes(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")
