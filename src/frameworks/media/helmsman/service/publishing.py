"""Publishers: who is admitted, under which claim, and what became of their streams."""

from collections import OrderedDict
from typing import Any, Protocol

import msgspec

from frameworks.contracts import topics
from frameworks.contracts.ids import STREAM_KEY, InternalName, internal_name, runtime_name
from frameworks.contracts.limits import BITRATE_LIMIT, CUT_SENTENCES, bitrate_sentence
from frameworks.contracts.metrics import helmsman as metrics
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import Action, Fact, Subject, Trigger, Verdict
from frameworks.media.helmsman.service.limits import Bars
from frameworks.media.helmsman.service.publishers import (
    Admitted,
    Overrun,
    Publisher,
    PublisherNoted,
    Refused,
)
from frameworks.media.helmsman.service.reporting import Recorder, Router, place_body
from frameworks.media.helmsman.service.takeover import has_stopped

BUFFER_STATES = frozenset({"FULL", "EMPTY", "DRY", "RECOVER"})
PLAYABLE = frozenset({"live", "dry"})
WITHIN_A_MILLISECOND = {"started": 0, "live": 1, "offline": 2, "ended": 3}
"""Microseconds that keep states in order which the node, counting milliseconds, reports at one time."""
MAX_PAST = 1000
"""Ended publishers that are remembered, since what leaves a stream may end after it."""
LIVE_SECONDS = 3.0
MAX_LIVE = 1_000
ABSENT_SECONDS = 12.0
"""How long the node may not list a publisher's stream before the publisher counts as gone."""
UNKNOWN_SECONDS = 4.0
"""How long a stream may be on the node without anybody having been admitted to it."""


class Gatekeeper(Protocol):
    """Commodore, as far as publishers are concerned."""

    async def admit(
        self, stream_key: str, *, protocol: str, boot: str, connection: str, trigger: str, live: list[str]
    ) -> Admitted | Refused:
        """Ask for the claim; `live` are the streams whose media still comes. Raises Unavailable."""

    async def release(
        self, stream_id: str, epoch: int, connection: str, *, overrun: Overrun | None = None
    ) -> None:
        """Give the claim back; an overrun is told to the stream's owner. Raises Unavailable."""


class MediaNode(Protocol):
    """The node's API, as far as publishers are concerned."""

    async def last_ms(self, name: str) -> int | None:
        """The newest media time of a stream; None when the node has no such stream. Raises Unavailable."""

    async def stop(self, name: str) -> None:
        """Drop a stream's publisher and viewers. Raises Unavailable."""


class Publishing:
    """Answers PUSH_REWRITE and keeps the node's publishers."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        recorder: Recorder,
        router: Router,
        node: MediaNode,
        geo: Geo,
        clock: Clock,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._recorder = recorder
        self._router = router
        self._node = node
        self._geo = geo
        self._clock = clock
        self._log = logs.get("helmsman")
        self.publishers: dict[str, Publisher] = {}
        self._odd: dict[str, float] = {}
        self._past: OrderedDict[str, Publisher] = OrderedDict()
        self._bars = Bars(clock)

    async def admit(self, trigger: Trigger) -> Verdict:
        """PUSH_REWRITE: the stream's runtime name, or a refusal with a reason its owner will find."""
        url, address, name = trigger.field(0), domain.plain_address(trigger.field(1)), trigger.field(2)
        key = name.lower()
        if not STREAM_KEY.fullmatch(key):
            self._log.info("publish.refused", reason="MALFORMED_KEY")
            return Verdict(Action.DENY, "", "This is not a stream key. Copy it from the stream's page.")
        if sentence := self._bars.reason(domain.fingerprint(key)):
            self._log.info("publish.refused", reason=BITRATE_LIMIT, key_fingerprint=domain.fingerprint(key))
            return Verdict(Action.DENY, "", sentence)
        await self._let_go(domain.encoder(key, address), trigger)
        try:
            answer = await self._gatekeeper.admit(
                key,
                protocol=domain.protocol_of(url),
                boot=trigger.instance,
                connection=trigger.uuid,
                trigger=trigger.uuid,
                live=self._live(),
            )
        except Unavailable as away:
            self._log.warning("publish.refused", reason="CONTROL_PLANE_AWAY", detail=away.message)
            return Verdict(
                Action.DENY, "", "Stream keys can not be checked right now. Try again in a moment."
            )
        if isinstance(answer, Refused):
            self._log.info("publish.refused", reason=answer.reason, key_fingerprint=domain.fingerprint(key))
            return Verdict(Action.DENY, "", answer.message)
        await self._begin(answer, trigger, url, address, key)
        return Verdict(Action.VALUE, runtime_name(InternalName(answer.internal_name)))

    async def _begin(self, admitted: Admitted, trigger: Trigger, url: str, address: str, key: str) -> None:
        known = self.publishers.get(admitted.internal_name)
        if known is not None and known.connection == trigger.uuid:
            return
        publisher = Publisher(
            admitted,
            trigger.uuid,
            trigger.pid,
            self._now(),
            trigger.instance,
            fingerprint=domain.fingerprint(key),
            encoder=domain.encoder(key, address),
            protocol=domain.protocol_of(url),
        )
        if known is not None and known.boot == trigger.instance:
            _continue(publisher, known)
        self.publishers[admitted.internal_name] = publisher
        self._remember(admitted.internal_name, publisher)
        body = {
            "protocol": publisher.protocol,
            "ingest_url": domain.without_key(url),
            "key_id": _uuid_bytes(admitted.key_id),
            "key_fingerprint": publisher.fingerprint,
            "place": place_body(self._geo.place(address)),
        }
        facts = [
            self._fact(topics.STREAM_INGEST.name, publisher, trigger, body),
            self._lifecycle_fact(publisher, trigger, "started", reason="ADMITTED"),
        ]
        if publisher.state in PLAYABLE:
            facts.append(self._lifecycle_fact(publisher, trigger, "live", reason="RESUMED"))
        try:
            await self._recorder.record(*facts, noted=PublisherNoted(admitted.internal_name, publisher))
        except Unavailable:
            self._restore(admitted.internal_name, known)
            raise
        self._log.info("publish.admitted", stream_id=admitted.stream_id, epoch=admitted.epoch)

    def _restore(self, name: str, known: Publisher | None) -> None:
        if known is None:
            del self.publishers[name]
        else:
            self.publishers[name] = known

    def _live(self) -> list[str]:
        """Streams whose media came lately, whatever Commodore has heard of it meanwhile."""
        since = self._clock.monotonic() - LIVE_SECONDS
        return [name for name, p in self.publishers.items() if p.connected and p.media_seen > since][
            :MAX_LIVE
        ]

    async def _let_go(self, encoder: str, trigger: Trigger) -> None:
        """Give back the claim of an encoder that is here again, unless media still comes over its older connection.

        Not every node tells that a connection has closed, and no node knows of one that is half open.
        """
        held = next((p for p in self.publishers.values() if p.encoder == encoder and p.connected), None)
        if held is None or held.connection == trigger.uuid or held.boot != trigger.instance:
            return
        name = runtime_name(InternalName(held.admitted.internal_name))
        try:
            stopped = await has_stopped(
                self._node, self._clock, name, last_ms=held.last_media_ms, seen_at=held.media_seen
            )
        except Unavailable as away:
            self._log.warning("publisher.not_looked_at", reason=away.message)
            return
        if stopped and held.connected:
            held.connected = False
            await self._give_back(held)

    async def cut(self, publisher: Publisher, reason: str, overrun: Overrun | None = None) -> None:
        """Drop a publisher; its end says why. Raises Unavailable: then it is still on."""
        admitted = publisher.admitted
        # All of it before the node is told: it reports the end of the connection while it is still answering.
        publisher.cut, publisher.cut_detail = reason, CUT_SENTENCES.get(reason, "")
        publisher.overrun = overrun
        if overrun is not None:
            publisher.cut_detail = bitrate_sentence(overrun.allowed_kbps, overrun.measured_kbps)
        await self._node.stop(runtime_name(InternalName(admitted.internal_name)))
        publisher.connected = False
        metrics.STOPPED.labels(reason).inc()
        self._log.warning("publisher.dropped", stream_id=admitted.stream_id, reason=reason)
        if overrun is not None:
            self._bars.put(publisher.fingerprint, publisher.cut_detail)
            await self._give_back(publisher)

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
            "tracks": [domain.track_body(t) for t in (found.video, found.audio) if t],
        }
        noted = PublisherNoted(publisher.admitted.internal_name, publisher)
        await self._record(topics.STREAM_BUFFER.name, publisher, trigger, body, noted)
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
            topics.TRACK_LIST.name,
            publisher,
            trigger,
            {"tracks": [domain.track_body(track) for track in found]},
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
        name, gone = publisher.admitted.internal_name, not publisher.connected or publisher.state == "offline"
        noted = PublisherNoted(name, None if gone else publisher)
        await self._lifecycle(publisher, trigger, "ended", reason="STREAM_END", noted=noted, **totals)
        if gone:
            self.publishers.pop(name, None)
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
        fact = Fact(topics.STREAM_LIFECYCLE.name, identity, at, publisher.subject, body)
        superseded = self.publishers.get(name) is not publisher
        await self._recorder.record(fact, noted=None if superseded else PublisherNoted(name))
        if self.publishers.get(name) is publisher:
            del self.publishers[name]
        await self._give_back(publisher)
        self._log.warning("publisher.lost", stream_id=publisher.admitted.stream_id, reason=reason)
        self._router.changed()

    async def _give_back(self, publisher: Publisher) -> None:
        admitted = publisher.admitted
        try:
            await self._gatekeeper.release(
                admitted.stream_id, admitted.epoch, publisher.connection, overrun=publisher.overrun
            )
        except (Refusal, Unavailable) as error:
            self._log.warning("claim.not_released", stream_id=admitted.stream_id, reason=error.message)

    def subject_of(self, name: str) -> Subject | None:
        """Whose the stream is, or was until a while ago: its recordings and pushes end after it."""
        publisher = self.publishers.get(name) or self._past.get(name)
        return publisher.subject if publisher is not None else None

    def _remember(self, name: str, publisher: Publisher) -> None:
        self._past[name] = publisher
        self._past.move_to_end(name)
        while len(self._past) > MAX_PAST:
            self._past.popitem(last=False)

    def _of(self, trigger: Trigger) -> Publisher | None:
        name = internal_name(trigger.field(0))
        return self.publishers.get(name) if name else None

    async def _lifecycle(
        self,
        publisher: Publisher,
        trigger: Trigger,
        state: str,
        *,
        reason: str,
        noted: PublisherNoted | None = None,
        **totals: int,
    ) -> None:
        fact = self._lifecycle_fact(publisher, trigger, state, reason=reason, **totals)
        await self._recorder.record(fact, noted=noted)

    def _lifecycle_fact(
        self, publisher: Publisher, trigger: Trigger, state: str, *, reason: str, **totals: int
    ) -> Fact:
        duration = max(0, self._at(trigger) - publisher.started_at) // 1000
        body: dict[str, Any] = {"state": state, "reason": reason, "duration_ms": duration, **totals}
        if publisher.cut and state in ("offline", "ended"):
            body |= {"reason": publisher.cut, "detail": publisher.cut_detail}
        return self._fact(topics.STREAM_LIFECYCLE.name, publisher, trigger, body)

    async def _record(
        self,
        kind: str,
        publisher: Publisher,
        trigger: Trigger,
        body: dict[str, Any],
        noted: PublisherNoted | None = None,
    ) -> None:
        await self._recorder.record(self._fact(kind, publisher, trigger, body), noted=noted)

    def _fact(self, kind: str, publisher: Publisher, trigger: Trigger, body: dict[str, Any]) -> Fact:
        state = str(body.get("state", ""))
        identity = domain.event_id(kind, trigger.name, trigger.uuid, *trigger.lines[:2], state)
        at = self._at(trigger) + WITHIN_A_MILLISECOND.get(state, 0)
        return Fact(kind, identity, at, publisher.subject, body)

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


def _health(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise domain.BadTrigger("The health object is not JSON.") from error
    return found if isinstance(found, dict) else {}


def _uuid_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))
