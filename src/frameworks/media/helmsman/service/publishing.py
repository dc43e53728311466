"""Publishers: who is admitted, under which claim, and what became of their streams."""

from typing import Any, Protocol

import msgspec

from frameworks.contracts import topics
from frameworks.contracts.ids import STREAM_KEY, InternalName, internal_name, runtime_name
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import Action, Fact, Subject, Trigger, Verdict
from frameworks.media.helmsman.service.reporting import Recorder, Router, place_body

BUFFER_STATES = frozenset({"FULL", "EMPTY", "DRY", "RECOVER"})
PLAYABLE = frozenset({"live", "dry"})
WITHIN_A_MILLISECOND = {"started": 0, "live": 1, "offline": 2, "ended": 3}
"""Microseconds that keep states in order which the node, counting milliseconds, reports at one time."""
ABSENT_SECONDS = 12.0
"""How long the node may not list a publisher's stream before the publisher counts as gone."""
UNKNOWN_SECONDS = 4.0
"""How long a stream may be on the node without anybody having been admitted to it."""


class Admitted(msgspec.Struct, frozen=True):
    """Commodore's yes: the names, the claim, the attribution."""

    internal_name: str
    stream_id: str
    tenant_id: str
    key_id: str
    epoch: int
    attribution: str
    attribution_expires_at: int
    max_kbps: int = 0


class Refused(msgspec.Struct, frozen=True):
    """Commodore's no, with a code and a sentence."""

    reason: str
    message: str


class Gatekeeper(Protocol):
    """Commodore, as far as publishers are concerned."""

    async def admit(
        self, stream_key: str, *, protocol: str, boot: str, connection: str, trigger: str
    ) -> Admitted | Refused:
        """Ask for the claim. Raises Unavailable."""

    async def release(self, stream_id: str, epoch: int, connection: str) -> None:
        """Give the claim back. Raises Unavailable."""


class Publisher(msgspec.Struct):
    """One stream on this node, from its admission to STREAM_END."""

    admitted: Admitted
    connection: str
    pid: str
    started_at: int
    boot: str = ""
    state: str = "started"
    connected: bool = True
    health: dict[str, Any] = {}
    issues: tuple[str, ...] = ()
    last_media_ms: int = 0
    media_seen: float = 0.0

    @property
    def subject(self) -> Subject:
        """Whose the stream's events are."""
        a = self.admitted
        return Subject(a.tenant_id, a.stream_id, a.attribution, a.epoch)


class Publishing:
    """Answers PUSH_REWRITE and keeps the node's publishers."""

    def __init__(
        self, gatekeeper: Gatekeeper, recorder: Recorder, router: Router, geo: Geo, clock: Clock
    ) -> None:
        self._gatekeeper = gatekeeper
        self._recorder = recorder
        self._router = router
        self._geo = geo
        self._clock = clock
        self._log = logs.get("helmsman")
        self.publishers: dict[str, Publisher] = {}
        self._odd: dict[str, float] = {}

    async def admit(self, trigger: Trigger) -> Verdict:
        """PUSH_REWRITE: the stream's runtime name, or a refusal with a reason its owner will find."""
        url, address, name = trigger.field(0), domain.plain_address(trigger.field(1)), trigger.field(2)
        key = name.lower()
        if not STREAM_KEY.fullmatch(key):
            self._log.info("publish.refused", reason="MALFORMED_KEY")
            return Verdict(Action.DENY, "", "This is not a stream key. Copy it from the stream's page.")
        try:
            answer = await self._gatekeeper.admit(
                key,
                protocol=domain.protocol_of(url),
                boot=trigger.instance,
                connection=trigger.uuid,
                trigger=trigger.uuid,
            )
        except Unavailable as away:
            self._log.warning("publish.refused", reason="CONTROL_PLANE_AWAY", detail=away.message)
            return Verdict(
                Action.DENY, "", "Stream keys can not be checked right now. Try again in a moment."
            )
        if isinstance(answer, Refused):
            self._log.info("publish.refused", reason=answer.reason, key_fingerprint=domain.fingerprint(key))
            return Verdict(Action.DENY, "", answer.message)
        await self._begin(answer, trigger, url, address, domain.fingerprint(key))
        return Verdict(Action.VALUE, runtime_name(InternalName(answer.internal_name)))

    async def _begin(
        self, admitted: Admitted, trigger: Trigger, url: str, address: str, fingerprint: str
    ) -> None:
        known = self.publishers.get(admitted.internal_name)
        if known is not None and known.connection == trigger.uuid:
            return
        publisher = Publisher(admitted, trigger.uuid, trigger.pid, self._now(), trigger.instance)
        if known is not None and known.boot == trigger.instance:
            _continue(publisher, known)
        self.publishers[admitted.internal_name] = publisher
        body = {
            "protocol": domain.protocol_of(url),
            "ingest_url": domain.without_key(url),
            "key_id": _uuid_bytes(admitted.key_id),
            "key_fingerprint": fingerprint,
            "place": place_body(self._geo.place(address)),
        }
        await self._record(topics.STREAM_INGEST.name, publisher, trigger, body)
        await self._lifecycle(publisher, trigger, "started", reason="ADMITTED")
        if publisher.state in PLAYABLE:
            await self._lifecycle(publisher, trigger, "live", reason="RESUMED")
        self._log.info("publish.admitted", stream_id=admitted.stream_id, epoch=admitted.epoch)

    async def input_closed(self, trigger: Trigger) -> None:
        """PUSH_INPUT_CLOSE: the connection is gone; its claim is given back at once."""
        publisher = self._of(trigger)
        if publisher is None or publisher.pid != trigger.field(3, publisher.pid):
            return
        publisher.connected = False
        await self._give_back(publisher)
        self._router.changed()

    async def buffer(self, trigger: Trigger) -> None:
        """STREAM_BUFFER: FULL means viewers can watch, EMPTY means they can not any more."""
        publisher, state = self._of(trigger), trigger.field(1)
        if publisher is None or state not in BUFFER_STATES:
            return
        if state != "EMPTY":
            publisher.health = _health(trigger.field(2, "{}"))
        found = domain.judge(publisher.health, state)
        publisher.issues = found.issues
        publisher.state = {"EMPTY": "offline", "DRY": "dry"}.get(state, "live")
        body = {
            "state": state,
            "buffer_ms": found.buffer_ms,
            "health_score": 0 if state == "EMPTY" else found.score,
            "issues": list(found.issues),
            "tracks": [track_body(t) for t in (found.video, found.audio) if t],
        }
        await self._record(topics.STREAM_BUFFER.name, publisher, trigger, body)
        if state in ("FULL", "EMPTY"):
            await self._lifecycle(publisher, trigger, publisher.state, reason=state)
        self._router.changed()

    async def track_list(self, trigger: Trigger) -> None:
        """LIVE_TRACK_LIST: what the encoder sends."""
        publisher = self._of(trigger)
        if publisher is None:
            return
        found = domain.tracks(_health(trigger.field(1)))
        await self._record(
            topics.TRACK_LIST.name, publisher, trigger, {"tracks": [track_body(track) for track in found]}
        )

    async def ended(self, trigger: Trigger) -> None:
        """STREAM_END: the stream has left the node."""
        publisher = self._of(trigger)
        if publisher is None:
            return
        totals = {
            "down_bytes": domain.number(trigger.field(1, "0")),
            "up_bytes": domain.number(trigger.field(2, "0")),
            "viewers": domain.number(trigger.field(3, "0")),
        }
        await self._lifecycle(publisher, trigger, "ended", reason="STREAM_END", **totals)
        if not publisher.connected or publisher.state == "offline":
            self.publishers.pop(publisher.admitted.internal_name, None)
            if publisher.connected:
                # Only some MistServers know PUSH_INPUT_CLOSE.
                await self._give_back(publisher)
        self._router.changed()

    async def compare(self, present: frozenset[str], boot: str) -> list[str]:
        """End publishers whose stream the node has lost; the streams it has that nobody was admitted to."""
        now = self._clock.monotonic()
        absent = self.publishers.keys() - present
        unknown = present - self.publishers.keys()
        self._odd = {name: self._odd.get(name, now) for name in absent | unknown}
        for name in absent:
            held = self.publishers[name]
            if held.boot not in ("", boot):
                await self._lost(name, held, "NODE_RESTARTED")
            elif now - self._odd[name] >= ABSENT_SECONDS:
                await self._lost(name, held, "VANISHED")
        for name in self.publishers.keys() & present:
            if (held := self.publishers[name]).boot not in ("", boot):
                await self._lost(name, held, "NODE_RESTARTED")
        return [name for name in unknown if now - self._odd[name] >= UNKNOWN_SECONDS]

    async def _lost(self, name: str, publisher: Publisher, reason: str) -> None:
        """Its end was never told, so it is told here."""
        at = self._now()
        body = {
            "state": "ended",
            "reason": reason,
            "duration_ms": max(0, at - publisher.started_at) // 1000,
        }
        identity = domain.event_id(topics.STREAM_LIFECYCLE.name, "LOST", publisher.connection)
        await self._recorder.record(Fact(topics.STREAM_LIFECYCLE.name, identity, at, publisher.subject, body))
        if self.publishers.get(name) is publisher:
            del self.publishers[name]
        await self._give_back(publisher)
        self._log.warning("publisher.lost", stream_id=publisher.admitted.stream_id, reason=reason)
        self._router.changed()

    async def _give_back(self, publisher: Publisher) -> None:
        try:
            await self._gatekeeper.release(
                publisher.admitted.stream_id, publisher.admitted.epoch, publisher.connection
            )
        except (Refusal, Unavailable) as error:
            stream_id = publisher.admitted.stream_id
            self._log.warning("claim.not_released", stream_id=stream_id, reason=error.message)

    def _of(self, trigger: Trigger) -> Publisher | None:
        name = internal_name(trigger.field(0))
        return self.publishers.get(name) if name else None

    async def _lifecycle(
        self, publisher: Publisher, trigger: Trigger, state: str, *, reason: str, **totals: int
    ) -> None:
        duration = max(0, self._at(trigger) - publisher.started_at) // 1000
        body = {"state": state, "reason": reason, "duration_ms": duration, **totals}
        await self._record(topics.STREAM_LIFECYCLE.name, publisher, trigger, body)

    async def _record(self, kind: str, publisher: Publisher, trigger: Trigger, body: dict[str, Any]) -> None:
        state = str(body.get("state", ""))
        identity = domain.event_id(kind, trigger.name, trigger.uuid, *trigger.lines[:2], state)
        at = self._at(trigger) + WITHIN_A_MILLISECOND.get(state, 0)
        await self._recorder.record(Fact(kind, identity, at, publisher.subject, body))

    def _at(self, trigger: Trigger) -> int:
        return trigger.unix_millis * 1000 or self._now()

    def _now(self) -> int:
        return micros(self._clock.now())


def _continue(publisher: Publisher, before: Publisher) -> None:
    """The stream never left the node, so it is as playable as it was: the node will not say so again."""
    if before.state in PLAYABLE:
        publisher.state, publisher.health, publisher.issues = before.state, before.health, before.issues
    if before.admitted.epoch == publisher.admitted.epoch:
        publisher.state, publisher.started_at = before.state, before.started_at


def track_body(track: domain.TrackReport) -> dict[str, Any]:
    """A track with the field names of the event message."""
    return {
        "name": track.name,
        "type": track.kind,
        "codec": track.codec,
        "bitrate_kbps": track.kbits,
        "width": track.width,
        "height": track.height,
        "fps_milli": track.fps_milli,
        "channels": track.channels,
        "sample_rate": track.rate,
        "buffer_ms": track.buffer_ms,
        "jitter_ms": track.jitter_ms,
        "b_frames": track.b_frames,
    }


def _health(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise domain.BadTrigger("The health object is not JSON.") from error
    return found if isinstance(found, dict) else {}


def _uuid_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))
