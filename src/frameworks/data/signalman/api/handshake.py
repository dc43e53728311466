"""How a socket begins: its path, its origin, and where its credential is."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from frameworks.contracts.topics import CHANNELS
from frameworks.data.signalman.domain.positions import LONGEST

SUBPROTOCOL = "frameworks.live"
"""What a browser offers beside its credential, and what is answered."""
TOKEN_PREFIX = "bearer."
LONGEST_TOKEN = 8192
ANY = "*"
PATHS: dict[str, frozenset[str]] = {"/ws": frozenset()} | {
    f"/ws/{name}": frozenset({name}) for name in CHANNELS
}
"""Path → the channel it carries from the start; none: what the client asks for."""


class NotHere(Exception):
    """The socket can not be opened; says with which HTTP status and why."""

    def __init__(self, status: HTTPStatus, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.reason, self.sentence = status, reason, sentence


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client asks for when it connects."""

    channels: frozenset[str]
    position: str
    token: str | None
    subprotocol: str | None


def read(path: str, headers: Mapping[str, str], origins: frozenset[str]) -> Greeting:
    """What a request for a socket says; raises NotHere."""
    target = urlsplit(path)
    if target.path not in PATHS:
        raise NotHere(
            HTTPStatus.NOT_FOUND, "path", "Sockets are at /ws, /ws/streams, /ws/analytics, /ws/system."
        )
    check_origin(headers.get("origin"), headers.get("host", ""), origins)
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",") if name.strip()]
    token = _token(headers.get("authorization"), offered)
    asked = parse_qs(target.query, max_num_fields=8).get("position", [""])
    if len(asked[0]) > LONGEST:
        raise NotHere(HTTPStatus.BAD_REQUEST, "position", "That is no position.")
    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
    return Greeting(PATHS[target.path], asked[0], token, chosen)


def check_origin(origin: str | None, host: str, origins: frozenset[str]) -> None:
    """A page may open sockets if it is served by the same host, or is on the list; raises NotHere."""
    if origin is None or ANY in origins or origin.lower() in origins:
        return
    if urlsplit(origin).netloc.lower() != host.lower():
        raise NotHere(HTTPStatus.FORBIDDEN, "origin", "This origin may not open sockets here.")


def _token(authorization: str | None, offered: list[str]) -> str | None:
    """The one credential: of the header, or among the subprotocols, where a browser can put it."""
    found = [name.removeprefix(TOKEN_PREFIX) for name in offered if name.startswith(TOKEN_PREFIX)]
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        found.append(token.strip() if scheme.lower() == "bearer" else "")
    if len(found) > 1:
        raise NotHere(HTTPStatus.BAD_REQUEST, "credential", "Send one credential.")
    if found and not 0 < len(found[0]) <= LONGEST_TOKEN:
        raise NotHere(HTTPStatus.UNAUTHORIZED, "credential", "That is no credential.")
    if offered and SUBPROTOCOL not in offered:
        raise NotHere(HTTPStatus.BAD_REQUEST, "subprotocol", f"The subprotocol here is {SUBPROTOCOL}.")
    return found[0] if found else None
