"""How a viewer gets to a stream: its name is resolved, its session allowed, both remembered."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

from frameworks.kit import trace
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Forbidden, NotFound
from frameworks.kit.log import get
from frameworks.kit.tasks import end
from frameworks.media.mist.hub.audience import Audience, Session, session_id
from frameworks.media.mist.hub.herald import Herald
from frameworks.media.mist.hub.stream import LiveStream
from frameworks.media.mist.hub.streams import Hub
from frameworks.media.mist.protocols.trigger import Action, Verdict

log = get("mist")

REFUSED_FOR = 20.0
"""Seconds a session that was refused is not asked about again."""
RECHECK_AFTER = 600.0
"""Seconds after which an open session is asked about again."""
NAME_FRESH = 3.0
"""Seconds a name's resolution serves other requests of the same address."""
MAX_REMEMBERED = 50_000
MAX_CHECKS = 64
"""Checks in the background at once; others come at the viewer's next request."""


class PlaybackRejected(NotFound):
    """PLAY_REWRITE said no: for the viewer the name does not exist."""

    code: ClassVar = "mist.playback_rejected"


class Offline(NotFound):
    """No such stream is live here."""

    code: ClassVar = "mist.stream_offline"


class SessionRefused(Forbidden):
    """USER_NEW said no."""

    code: ClassVar = "mist.session_refused"


@dataclass(frozen=True, slots=True)
class Visit:
    """A viewer's request as Helmsman judges it."""

    name: str
    host: str
    connector: str
    url: str
    token: str = ""
    agent: str = ""
    traceparent: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Who asks for what."""
        return (self.name, self.host, self.token)


@dataclass(slots=True)
class _Pass:
    stream: str
    session: Session
    fresh_until: float


class Doorway:
    """Asks PLAY_REWRITE, DEFAULT_STREAM and USER_NEW, each as rarely as it may."""

    def __init__(
        self, clock: Clock, herald: Herald, hub: Hub, audience: Audience, *, remembered: float
    ) -> None:
        self._clock = clock
        self._herald = herald
        self._hub = hub
        self._audience = audience
        self._remembered = remembered
        self._passes: dict[tuple[str, str, str], _Pass] = {}
        self._names: dict[tuple[str, str, str], tuple[str, float]] = {}
        self._refused: dict[str, float] = {}
        self._entering: dict[tuple[str, str, str], asyncio.Task[tuple[LiveStream, Session]]] = {}
        self._checks: set[asyncio.Task[None]] = set()

    def known(self, visit: Visit) -> tuple[LiveStream, Session] | None:
        """The stream and open session of a viewer that was let in before; asks nothing, waits for nothing."""
        found = self._passes.get(visit.key)
        if found is None:
            return None
        stream = self._hub.find(found.stream)
        if stream is None or self._audience.find(found.session.id) is not found.session:
            del self._passes[visit.key]
            return None
        now = self._clock.monotonic()
        found.session.touch(now, visit.connector)
        if now >= found.fresh_until and len(self._checks) < MAX_CHECKS:
            found.fresh_until = now + self._remembered
            self._in_background(self._resolve_again(visit, found))
        return stream, found.session

    async def enter(self, visit: Visit) -> tuple[LiveStream, Session]:
        """Let a viewer in, or raise PlaybackRejected, Offline, SessionRefused or TooManyViewers."""
        entering = self._entering.get(visit.key)
        if entering is None:
            entering = asyncio.create_task(self._enter(visit))
            self._entering[visit.key] = entering
            entering.add_done_callback(lambda done: self._entered(visit.key, done))
        return await asyncio.shield(entering)

    def _entered(self, key: tuple[str, str, str], task: asyncio.Task[tuple[LiveStream, Session]]) -> None:
        self._entering.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _enter(self, visit: Visit) -> tuple[LiveStream, Session]:
        trace.current.set(trace.accept(visit.traceparent))
        stream = await self.resolve(visit)
        identity = session_id(stream.name, visit.host, visit.token)
        now = self._clock.monotonic()
        session = self._audience.find(identity)
        if session is None:
            if self._refused.get(identity, 0.0) > now:
                raise SessionRefused("The session was refused.")
            self._audience.check_room()
            await self._allow(visit, stream, identity)
            session = self._audience.start(
                identity, stream.name, visit.host, visit.token, visit.url, visit.agent, visit.connector
            )
            stream.totals.viewers += 1
        session.touch(now, visit.connector)
        if len(self._passes) < MAX_REMEMBERED:
            self._passes[visit.key] = _Pass(stream.name, session, now + self._remembered)
        return stream, session

    async def _allow(self, visit: Visit, stream: LiveStream, identity: str) -> None:
        lines = [stream.name, visit.host, visit.token, visit.connector, visit.url, identity, "false"]
        verdict = await self._herald.ask("USER_NEW", stream.name, lines)
        if verdict is not None and verdict.action is Action.DENY:
            if len(self._refused) < MAX_REMEMBERED:
                self._refused[identity] = self._clock.monotonic() + REFUSED_FOR
            raise SessionRefused(verdict.reason or "The session was refused.")

    async def resolve(self, visit: Visit) -> LiveStream:
        """The live stream behind a name, without a session; raises PlaybackRejected or Offline."""
        key, now = (visit.name, visit.host, visit.connector), self._clock.monotonic()
        name, until = self._names.get(key, ("", 0.0))
        if until <= now:
            name = await self._rewritten(visit)
            if len(self._names) < MAX_REMEMBERED:
                self._names[key] = (name, now + min(NAME_FRESH, self._remembered))
        if not name:
            raise PlaybackRejected("Playback rejected by PLAY_REWRITE trigger")
        stream = self._hub.find(name)
        if stream is None:
            stream = await self._default(visit, name)
        return stream

    async def _rewritten(self, visit: Visit) -> str:
        """The runtime name, or an empty string when playback is rejected."""
        try:
            return _name_in(await self._rewrite(visit), visit.name)
        except PlaybackRejected:
            return ""

    async def _rewrite(self, visit: Visit) -> Verdict | None:
        lines = [visit.name, visit.host, visit.connector, visit.url]
        return await self._herald.ask("PLAY_REWRITE", visit.name, lines)

    async def _default(self, visit: Visit, name: str) -> LiveStream:
        verdict = await self._herald.ask(
            "DEFAULT_STREAM", name, ["", name, visit.host, visit.connector, visit.url]
        )
        found = verdict.value if verdict is not None and verdict.action is Action.VALUE else ""
        stream = self._hub.find(found) if found else None
        if stream is None:
            raise Offline("Stream is offline")
        return stream

    # --- in the background ---

    def _in_background(self, check: Awaitable[None]) -> None:
        task = asyncio.ensure_future(check)
        self._checks.add(task)
        task.add_done_callback(self._checked)

    def _checked(self, task: asyncio.Task[None]) -> None:
        self._checks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("session.check_failed", error=repr(error))

    async def _resolve_again(self, visit: Visit, found: _Pass) -> None:
        verdict = await self._rewrite(visit)
        if verdict is None or verdict.failed:
            return
        try:
            moved = _name_in(verdict, visit.name) != found.stream
        except PlaybackRejected:
            self.refuse(found.session)
            moved = True
        if moved:
            self._passes.pop(visit.key, None)

    def invalidate(self, streams: Callable[[str], bool]) -> int:
        """Ask USER_NEW again about the open sessions of some streams; returns how many."""
        sessions = [session for session in self._audience.sessions() if streams(session.stream)]
        for session in sessions:
            session.checked_at = float("-inf")
        return len(sessions)

    async def _check_session(self, session: Session) -> None:
        connector = next(iter(session.connectors), "HLS")
        lines = [session.stream, session.host, session.token, connector, session.url, session.id]
        trace.current.set(session.trace or None)
        verdict = await self._herald.ask("USER_NEW", session.stream, lines)
        if verdict is not None and not verdict.failed and verdict.action is Action.DENY:
            self.refuse(session)

    def refuse(self, session: Session) -> None:
        """End an open session and let it not in again for a while."""
        self._refused[session.id] = self._clock.monotonic() + REFUSED_FOR
        self._audience.end(session)

    def tick(self) -> None:
        """Once a second: ask again about old sessions, forget what is stale."""
        now = self._clock.monotonic()
        for session in self._audience.sessions():
            if now - session.checked_at >= RECHECK_AFTER and len(self._checks) < MAX_CHECKS:
                session.checked_at = now
                self._in_background(self._check_session(session))
        self._refused = {identity: until for identity, until in self._refused.items() if until > now}
        self._names = {key: found for key, found in self._names.items() if found[1] > now}
        self._passes = {
            key: found
            for key, found in self._passes.items()
            if self._audience.find(found.session.id) is found.session
        }

    async def close(self) -> None:
        """Let nothing of this go on."""
        await end([*self._checks, *self._entering.values()])


def _name_in(verdict: Verdict | None, asked: str) -> str:
    if verdict is None or verdict.action is Action.KEEP:
        return asked
    if verdict.action is Action.DENY:
        raise PlaybackRejected("Playback rejected by PLAY_REWRITE trigger")
    return verdict.value
