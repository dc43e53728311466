"""Viewers: playback ids become runtime names, sessions become connections in history."""

from collections import OrderedDict
from typing import Any, Protocol, TypeVar

import msgspec

from frameworks.contracts import topics
from frameworks.contracts.ids import PLAYBACK_ID, InternalName, internal_name, runtime_name
from frameworks.contracts.limits import VIEWER_LIMIT
from frameworks.contracts.metrics import helmsman as metrics
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import NotFound, Refusal, Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import ALLOW, REFUSE, Action, Fact, Subject, Trigger, Verdict
from frameworks.media.helmsman.service.reporting import Recorder, Router, place_body

FRESH_SECONDS = 30.0
MAX_STREAMS = 20_000
MAX_VIEWS = 50_000
VIEW_AGAIN_SECONDS = 60.0
RECHECK_SECONDS = 2.0
"""A session that is asked about again (somebody invalidated it) is judged by what Commodore says now."""

TURNED_AWAY_SECONDS = 60.0
"""How long a stream's owner is told that viewers were turned away."""
MAX_TENANTS = 10_000
NO_SEAT = {
    VIEWER_LIMIT: "As many people watch as the plan of the stream's owner allows.",
    "SUSPENDED": "The stream's account is suspended.",
    "NOT_ENTITLED": "This location does not serve the stream.",
}
METADATA = frozenset({"HTTP", "JPG", "JSON", "THUMBVTT"})


class Viewable(msgspec.Struct, frozen=True):
    """What a playback id means on this node. `attribution` proves views of it."""

    internal_name: str
    stream_id: str
    tenant_id: str
    playback_id: str
    attribution: str
    attribution_expires_at: int
    max_viewers: int = 0
    suspended: bool = False


class Session(msgspec.Struct):
    """One open viewer session."""

    stream: str
    connector: str
    address_hash: str
    opened_at: int
    correlation: str = ""
    tenant_id: str = ""
    place: dict[str, Any] = {}


class SessionNoted(msgspec.Struct, frozen=True, tag="session"):
    """A session was opened, or closed when it is None; `stream` is what it watches."""

    name: str
    session: Session | None = None
    stream: Viewable | None = None


class Resolver(Protocol):
    """Commodore, as far as viewers are concerned."""

    async def resolve(self, *, playback_id: str = "", internal: str = "") -> Viewable:
        """The stream behind either name. Raises NotFound, Unavailable."""


class Viewing:
    """Answers PLAY_REWRITE and USER_NEW, hears USER_END."""

    def __init__(
        self,
        resolver: Resolver,
        recorder: Recorder,
        router: Router,
        geo: Geo,
        clock: Clock,
        *,
        node: str,
        hash_key: bytes,
    ) -> None:
        self._resolver = resolver
        self._recorder = recorder
        self._router = router
        self._geo = geo
        self._clock = clock
        self._node = node
        self._hash_key = hash_key
        self._log = logs.get("helmsman")
        self.known: OrderedDict[str, Viewable] = OrderedDict()
        self._by_name: dict[str, str] = {}
        self._asked: dict[str, float] = {}
        self._views: OrderedDict[str, float] = OrderedDict()
        self._elsewhere: OrderedDict[str, int] = OrderedDict()
        self._turned_away: OrderedDict[str, float] = OrderedDict()
        self.sessions: dict[str, Session] = {}

    async def resolve(self, trigger: Trigger) -> Verdict:
        """PLAY_REWRITE: the runtime name of a playback id; names that are runtime names already stay."""
        name, host, connector = (trigger.field(n, "") for n in range(3))
        if internal_name(name):
            return Verdict(Action.KEEP, name)
        if not PLAYBACK_ID.fullmatch(name):
            return Verdict(Action.DENY, "", "There is no such stream.")
        try:
            stream = await self._viewable(playback_id=name)
        except NotFound:
            return Verdict(Action.DENY, "", "There is no such stream.")
        except Unavailable as away:
            self._log.warning("play.refused", reason=away.message)
            return Verdict(Action.DENY, "", "The stream can not be looked up right now.")
        if stream.suspended:
            return Verdict(Action.DENY, "", "The stream's account is suspended.")
        if connector not in METADATA:
            await self._seen(stream, trigger, domain.plain_address(host), connector)
        return Verdict(Action.VALUE, runtime_name(InternalName(stream.internal_name)))

    async def opened(self, trigger: Trigger) -> Verdict:
        """USER_NEW: may this session watch? A yes is a connection in history."""
        runtime, host, connector = trigger.field(0), trigger.field(1), trigger.field(3)
        url, session = trigger.field(4), trigger.field(5)
        if connector in METADATA or connector not in domain.MEDIA_CONNECTORS:
            return ALLOW
        name = internal_name(runtime)
        if name is None:
            return REFUSE
        known = session in self.sessions
        try:
            stream = await self._viewable(internal=name, within=RECHECK_SECONDS if known else FRESH_SECONDS)
        except (NotFound, Unavailable) as refused:
            if known and isinstance(refused, Unavailable):
                return ALLOW
            self._log.warning("viewer.refused", reason=refused.message)
            return REFUSE
        if stream.suspended:
            return Verdict(Action.DENY, "false", "The stream's account is suspended.")
        if known:
            return ALLOW
        address, correlation = domain.plain_address(host), domain.correlation(url)
        if reason := await self._no_seat(stream, session, correlation):
            self._log.info("viewer.refused", stream_id=stream.stream_id, reason=reason)
            return Verdict(Action.DENY, "false", NO_SEAT.get(reason, "The stream can not be watched here."))
        await self._begin(stream, trigger, session, address, connector, correlation)
        return ALLOW

    def doubt(self, name: str) -> None:
        """Something about a stream has changed: ask Commodore again at the next request."""
        self._asked.pop(self._by_name.get(name, ""), None)

    def turns_away(self, name: str) -> bool:
        """Whether viewers of a stream were refused for its plan's sake lately."""
        return self._clock.monotonic() - self._turned_away.get(name, -1e9) < TURNED_AWAY_SECONDS

    async def _no_seat(self, stream: Viewable, session: str, correlation: str) -> str:
        """Why there is no place for one more viewer of this tenant; empty when there is."""
        try:
            seat = await self._router.seat(stream.internal_name, session, correlation)
        except Refusal as refused:
            return refused.code
        except Unavailable:
            reason, by = self._judge_alone(stream), "node"
        else:
            here = self._here(stream.tenant_id) + seat.admitted
            _remember(self._elsewhere, stream.tenant_id, max(0, seat.watching - here), MAX_TENANTS)
            reason, by = "" if seat.admitted else seat.reason, "foghorn"
        if reason:
            metrics.REFUSED_VIEWERS.labels(reason, by).inc()
        if reason == VIEWER_LIMIT:
            _remember(self._turned_away, stream.internal_name, self._clock.monotonic(), MAX_STREAMS)
        return reason

    def _judge_alone(self, stream: Viewable) -> str:
        """While Foghorn is away: those it last told of elsewhere, and those known here, within the plan."""
        watching = self._here(stream.tenant_id) + self._elsewhere.get(stream.tenant_id, 0)
        return VIEWER_LIMIT if 0 < stream.max_viewers <= watching else ""

    def _here(self, tenant: str) -> int:
        return sum(1 for session in self.sessions.values() if session.tenant_id == tenant)

    async def _begin(
        self, stream: Viewable, trigger: Trigger, session: str, address: str, connector: str, correlation: str
    ) -> None:
        opened = Session(
            stream.internal_name,
            connector,
            self._hash(address),
            self._at(trigger),
            correlation,
            stream.tenant_id,
            place_body(self._geo.place(address)),
        )
        self.sessions[session] = opened
        body: dict[str, Any] = {
            "action": "connect",
            "session_id": self.session_name(session, opened),
            "connector": connector,
            "place": opened.place,
            "viewer_hash": opened.address_hash,
        }
        try:
            await self._record(
                topics.USER_CONNECTION.name,
                stream,
                opened.opened_at,
                body,
                session,
                str(opened.opened_at),
                "connect",
                noted=SessionNoted(session, opened, stream),
            )
        except Unavailable:
            del self.sessions[session]
            self._router.viewer_closed(session)
            raise
        self._router.viewer_opened(stream.internal_name, session, correlation, connector)

    def restore(self, known: list[Viewable], sessions: dict[str, Session]) -> None:
        """Take up where the last process left off."""
        for stream in known:
            self._keep(stream)
            self._asked.pop(stream.playback_id, None)
        self.sessions |= sessions
        for session, opened in sessions.items():
            self._router.viewer_opened(opened.stream, session, opened.correlation, opened.connector)

    async def closed(self, trigger: Trigger) -> None:
        """USER_END: the session's duration and bytes, for good."""
        session = trigger.field(11, "")
        opened = self.sessions.get(session)
        if opened is None:
            return
        await self._end(
            session,
            opened,
            at=self._at(trigger),
            seconds=domain.number(trigger.field(4)),
            up=domain.number(trigger.field(5)),
            down=domain.number(trigger.field(6)),
            agent=domain.user_agent(trigger.field(7, "")),
        )

    async def vanished(self, session: str) -> None:
        """The node no longer knows the session and never said so: it ended while nobody listened."""
        if (opened := self.sessions.get(session)) is not None:
            now = micros(self._clock.now())
            await self._end(
                session, opened, at=now, seconds=(now - opened.opened_at) // 1_000_000, up=0, down=0, agent=""
            )

    async def _end(
        self, session: str, opened: Session, *, at: int, seconds: int, up: int, down: int, agent: str
    ) -> None:
        try:
            stream = await self._by_internal(opened.stream)
        except NotFound:
            self._log.warning("session.dropped", reason="Its stream is gone, and it was never known here.")
            self.sessions.pop(session, None)
            self._router.viewer_closed(session)
            return
        body: dict[str, Any] = {
            "action": "disconnect",
            "session_id": self.session_name(session, opened),
            "connector": opened.connector,
            "seconds": seconds,
            "up_bytes": up,
            "down_bytes": down,
            "user_agent": agent,
            "viewer_hash": opened.address_hash,
        }
        await self._record(
            topics.USER_CONNECTION.name,
            stream,
            at,
            body,
            session,
            str(opened.opened_at),
            "disconnect",
            noted=SessionNoted(session),
        )
        self.sessions.pop(session, None)
        self._router.viewer_closed(session)

    async def _seen(self, stream: Viewable, trigger: Trigger, address: str, connector: str) -> None:
        """A view, once a minute a viewer and stream: PLAY_REWRITE fires for every request."""
        who = f"{stream.stream_id}|{self._hash(address)}"
        now = self._clock.monotonic()
        if now - self._views.get(who, -VIEW_AGAIN_SECONDS) < VIEW_AGAIN_SECONDS:
            return
        self._views[who] = now
        self._views.move_to_end(who)
        while len(self._views) > MAX_VIEWS:
            self._views.popitem(last=False)
        body: dict[str, Any] = {
            "playback_id": stream.playback_id,
            "protocol": connector,
            "place": place_body(self._geo.place(address)),
        }
        await self._record(topics.STREAM_VIEW.name, stream, self._at(trigger), body, trigger.uuid, who)

    async def _viewable(
        self, *, playback_id: str = "", internal: str = "", within: float = FRESH_SECONDS
    ) -> Viewable:
        """What Commodore said `within` seconds; while it is away, what it said before."""
        known = self.known.get(playback_id or self._by_name.get(internal, ""))
        if known is not None and self._age(known) < (RECHECK_SECONDS if known.suspended else within):
            return known
        try:
            return self._keep(await self._resolver.resolve(playback_id=playback_id, internal=internal))
        except Unavailable:
            if known is not None and self._proves(known):
                return known
            raise
        except NotFound:
            if known is not None:
                # Nobody may watch it any more; those who do still have to be told of when they end.
                self.known[known.playback_id] = msgspec.structs.replace(known, suspended=True)
            raise

    async def _by_internal(self, internal: str) -> Viewable:
        """Whose a session on this node is, whatever became of the stream since."""
        known = self.known.get(self._by_name.get(internal, ""))
        if known is not None and self._proves(known):
            return known
        return self._keep(await self._resolver.resolve(internal=internal))

    def subject_of(self, internal: str) -> Subject | None:
        """Whose a watched stream is, as long as Commodore's word on it holds."""
        known = self.known.get(self._by_name.get(internal, ""))
        if known is None or not self._proves(known):
            return None
        return Subject(known.tenant_id, known.stream_id, known.attribution)

    def _proves(self, stream: Viewable) -> bool:
        return stream.attribution_expires_at > micros(self._clock.now())

    def _age(self, stream: Viewable) -> float:
        return self._clock.monotonic() - self._asked.get(stream.playback_id, -1e9)

    def _keep(self, stream: Viewable) -> Viewable:
        self.known[stream.playback_id] = stream
        self.known.move_to_end(stream.playback_id)
        self._by_name[stream.internal_name] = stream.playback_id
        self._asked[stream.playback_id] = self._clock.monotonic()
        while len(self.known) > MAX_STREAMS:
            oldest, forgotten = self.known.popitem(last=False)
            self._by_name.pop(forgotten.internal_name, None)
            self._asked.pop(oldest, None)
        return stream

    async def _record(
        self,
        kind: str,
        stream: Viewable,
        at: int,
        body: dict[str, Any],
        *identity: str,
        noted: SessionNoted | None = None,
    ) -> None:
        subject = Subject(stream.tenant_id, stream.stream_id, stream.attribution)
        fact = Fact(kind, domain.event_id(kind, self._node, *identity), at, subject, body)
        await self._recorder.record(fact, noted=noted)

    def session_name(self, session: str, opened: Session) -> str:
        """The session in history: MistServer may use an id again after it ended."""
        return domain.event_id(self._node, session, str(opened.opened_at)).hex()

    def _hash(self, address: str) -> str:
        return domain.viewer_hash(self._hash_key, address, self._clock.now().date().isoformat())

    def _at(self, trigger: Trigger) -> int:
        return trigger.unix_millis * 1000 or micros(self._clock.now())


T = TypeVar("T")


def _remember(memory: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > most:
        memory.popitem(last=False)
