"""Viewer sessions: who watches what, what they were sent, and when they have gone."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from frameworks.kit import trace
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Limited
from frameworks.media.mist.hub.herald import Herald


class TooManyViewers(Limited):
    """The node has as many viewers as it may."""

    code: ClassVar = "mist.too_many_viewers"


def session_id(stream: str, host: str, token: str) -> str:
    """MistServer's session id in mode 14: stream, address and token."""
    return hashlib.sha256("\n".join((stream, host, token)).encode()).hexdigest()


@dataclass(slots=True)
class Session:
    """One viewer of one stream."""

    id: str
    stream: str
    host: str
    token: str
    url: str
    agent: str
    started: float
    last_seen: float
    started_unix: float
    connectors: dict[str, tuple[float, float]] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    checked_at: float = 0.0
    trace: str = ""
    """In which it was opened, and will be told to have ended."""

    def touch(self, now: float, connector: str) -> None:
        """The viewer asked for something, or is still being sent it."""
        self.last_seen = now
        first, _ = self.connectors.get(connector, (now, now))
        self.connectors[connector] = (first, now)

    @property
    def seconds(self) -> int:
        """From its first to its latest request."""
        return round(self.last_seen - self.started)


class Audience:
    """All viewer sessions; a session ends when nothing was asked for `idle` seconds."""

    def __init__(
        self, clock: Clock, herald: Herald, watched: Callable[[str, float], None], *, idle: float, most: int
    ) -> None:
        self._clock = clock
        self._herald = herald
        self._watched = watched
        self._idle = idle
        self._most = most
        self._sessions: dict[str, Session] = {}

    def find(self, identity: str) -> Session | None:
        """An open session."""
        return self._sessions.get(identity)

    def check_room(self) -> None:
        """Raise TooManyViewers when no session can be added."""
        if len(self._sessions) >= self._most:
            raise TooManyViewers("This node has no room for another viewer.")

    def start(
        self, identity: str, stream: str, host: str, token: str, url: str, agent: str, connector: str
    ) -> Session:
        """Open a session that was allowed."""
        now = self._clock.monotonic()
        unix = self._clock.now().timestamp()
        session = Session(identity, stream, host, token, url, agent, now, now, unix, checked_at=now)
        session.trace = trace.current.get() or ""
        session.touch(now, connector)
        self._sessions[identity] = session
        return session

    def sessions(self, stream: str | None = None) -> list[Session]:
        """Open sessions, of one stream or all."""
        return [session for session in self._sessions.values() if stream in (None, session.stream)]

    def end(self, session: Session) -> None:
        """Close a session and say what it amounted to."""
        if self._sessions.pop(session.id, None) is None:
            return
        self._watched(session.stream, session.seconds)
        spans = [str(round(last - first)) for first, last in session.connectors.values()]
        lines = [
            *(session.token, session.stream, ",".join(session.connectors), session.host),
            *(str(session.seconds), str(session.sent), str(session.received)),
            f"[UA:{session.agent[:256]}]" if session.agent else "",
            *(str(session.seconds), ",".join(spans), str(session.seconds), session.id),
        ]
        with trace.within(session.trace):
            self._herald.tell("USER_END", session.stream, lines)

    def tick(self) -> None:
        """Once a second: end the sessions of viewers that have gone."""
        limit = self._clock.monotonic() - self._idle
        for session in [s for s in self._sessions.values() if s.last_seen < limit]:
            self.end(session)

    def counts(self) -> dict[str, int]:
        """Viewers by stream."""
        found: dict[str, int] = {}
        for session in self._sessions.values():
            found[session.stream] = found.get(session.stream, 0) + 1
        return found
