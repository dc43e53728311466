"""Measurement: media presence for claims, stream metrics, the node's own state."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec

from frameworks.contracts import health, topics
from frameworks.contracts.ids import internal_name
from frameworks.contracts.limits import BITRATE_LIMIT
from frameworks.contracts.metrics import helmsman as metrics
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Unavailable
from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import Fact, Subject
from frameworks.media.helmsman.service.limits import BitrateLimit
from frameworks.media.helmsman.service.publishers import Overrun, Publisher
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.reporting import Recorder
from frameworks.media.helmsman.service.takeover import GAP_SECONDS

DOWN_SECONDS = 10.0
"""A node that has not answered for this long is down, not merely degraded; neither gets viewers or publishers."""

HALF_LIFE_US = 12 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class LiveStream:
    """One active stream as the node counts it."""

    name: str
    viewers: int
    inputs: int
    up_bytes: int
    down_bytes: int
    last_ms: int
    health: dict[str, Any]
    packets_sent: int = 0
    packets_lost: int = 0
    packets_retransmitted: int = 0

    @property
    def packets(self) -> "Packets":
        """The packet counters together."""
        return Packets(self.packets_sent, self.packets_lost, self.packets_retransmitted)


@dataclass(frozen=True, slots=True)
class NodeReading:
    """The node's own counters. Sizes in bytes, rates in bytes per second."""

    cpu_permille: int
    memory_total: int
    memory_used: int
    shm_total: int
    shm_used: int
    up_total: int
    down_total: int
    outputs: dict[str, str]
    version: str = ""


class MediaNode(Protocol):
    """The node's API, as far as measuring goes."""

    async def live_streams(self) -> list[LiveStream]:
        """What is live now. Raises Unavailable."""

    async def reading(self) -> NodeReading:
        """The node's counters. Raises Unavailable."""

    async def stop(self, name: str) -> None:
        """Drop a stream's publisher and viewers. Raises Unavailable."""


class ClaimKept(msgspec.Struct, frozen=True):
    """Commodore's word on one claim."""

    stream_id: str
    held: bool
    reason: str
    attribution: str = ""
    attribution_expires_at: int = 0


class Claims(Protocol):
    """Commodore, as far as running claims are concerned."""

    async def renew(self, boot: str, publishers: list[tuple[Publisher, bool, bool]]) -> list[ClaimKept]:
        """Tell which publishers have media, and which want a new attribution. Raises Unavailable."""


@dataclass(slots=True)
class Rates:
    """Differences of counters between two looks, per second."""

    at: float = 0.0
    up: int = 0
    down: int = 0
    up_rate: int = 0
    down_rate: int = 0

    def take(self, now: float, up: int, down: int) -> None:
        """Note new totals; a counter that went back means a restart."""
        if self.at and now > self.at:
            self.up_rate = max(0, int((up - self.up) / (now - self.at)))
            self.down_rate = max(0, int((down - self.down) / (now - self.at)))
        self.at, self.up, self.down = now, up, down


class Packets(NamedTuple):
    """Counts of a stream's packets."""

    sent: int
    lost: int
    retransmitted: int

    def since(self, before: "Packets") -> "Packets":
        """What came since `before`; counters that went back started anew."""
        if any(now < then for now, then in zip(self, before, strict=True)):
            return self
        return Packets(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass(slots=True)
class Picture:
    """The newest measurement, read by Foghorn's link."""

    reading: NodeReading | None = None
    streams: list[LiveStream] = field(default_factory=list)
    node: Rates = field(default_factory=Rates)
    stream_rates: dict[str, Rates] = field(default_factory=dict)
    packets: dict[str, Packets] = field(default_factory=dict)
    """The counters at each stream's last sample."""
    boot: str = ""
    reachable: bool = False
    silent_since: float | None = None
    standing: str = "down"
    """up, degraded or down: whether the node's own process answers."""


class Measuring:
    """Looks at the node, renews claims, records metrics."""

    def __init__(
        self,
        node: MediaNode,
        claims: Claims,
        publishing: Publishing,
        recorder: Recorder,
        clock: Clock,
        node_name: str,
        turns_away: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._node = node
        self._claims = claims
        self._publishing = publishing
        self._recorder = recorder
        self._clock = clock
        self._name = node_name
        self._turns_away = turns_away
        self._limit = BitrateLimit()
        self._too_much: list[tuple[Publisher, int]] = []
        self._log = logs.get("helmsman")
        self.picture = Picture()

    async def look(self) -> None:
        """Read streams and counters; raises Unavailable when the node does not answer."""
        try:
            streams, reading = await self._node.live_streams(), await self._node.reading()
        except Unavailable:
            self._silent()
            raise
        now = self._clock.monotonic()
        picture = self.picture
        is_first = picture.reading is None
        picture.reachable, picture.streams, picture.reading = True, streams, reading
        picture.silent_since, picture.standing = None, "up"
        metrics.NODE_ANSWERS.set(1)
        picture.node.take(now, reading.up_total, reading.down_total)
        for stream in streams:
            picture.stream_rates.setdefault(stream.name, Rates()).take(
                now, stream.up_bytes, stream.down_bytes
            )
            # Of streams that were there before us, what came before us is not ours to tell.
            picture.packets.setdefault(stream.name, stream.packets if is_first else Packets(0, 0, 0))
            self._note_media(stream, now)
        for gone in picture.stream_rates.keys() - {stream.name for stream in streams}:
            del picture.stream_rates[gone]
            picture.packets.pop(gone, None)
        self._limit.keep(self.present())
        metrics.OVER_LIMIT.set(self._limit.over())

    def _silent(self) -> None:
        picture, now = self.picture, self._clock.monotonic()
        picture.reachable, picture.streams = False, []
        picture.silent_since = now if picture.silent_since is None else picture.silent_since
        picture.standing = "degraded" if now - picture.silent_since < DOWN_SECONDS else "down"
        metrics.NODE_ANSWERS.set(0)

    def _note_media(self, stream: LiveStream, now: float) -> None:
        name = internal_name(stream.name)
        publisher = self._publishing.publishers.get(name) if name else None
        if publisher is None:
            return
        publisher.health = stream.health or publisher.health
        if stream.inputs and stream.last_ms != publisher.last_media_ms:
            publisher.last_media_ms, publisher.media_seen = stream.last_ms, now
        kbps = self._limit.take(
            publisher.admitted.internal_name,
            publisher.connection,
            now,
            stream.down_bytes,
            declared_kbps=sum(track.kbits for track in domain.tracks(publisher.health)),
            allowed_kbps=publisher.admitted.max_kbps,
        )
        if kbps and publisher.connected:
            self._too_much.append((publisher, kbps))

    async def enforce(self) -> None:
        """Cut off who has sent more than the plan allows for too long. Raises Unavailable."""
        while self._too_much:
            publisher, kbps = self._too_much.pop()
            overrun = Overrun(publisher.admitted.max_kbps, kbps, publisher.protocol, publisher.fingerprint)
            await self._publishing.cut(publisher, BITRATE_LIMIT, overrun)

    def present(self) -> frozenset[str]:
        """Internal names of the streams the node has."""
        return frozenset(name for s in self.picture.streams if (name := internal_name(s.name)))

    async def expel(self, name: str) -> None:
        """Cut off a publisher nobody admitted, as far as we remember: it may come back and be asked."""
        self._log.warning("stream.expelled", internal_name=name)
        await self._node.stop(f"live+{name}")

    async def renew_claims(self) -> None:
        """Tell Commodore whose media flows; drop those whose claim it no longer holds."""
        publishers = [p for p in self._publishing.publishers.values() if p.connected]
        if not publishers:
            return
        now, wall = self._clock.monotonic(), micros(self._clock.now())
        asked = [(p, now - p.media_seen < GAP_SECONDS, _wants_attribution(p, wall)) for p in publishers]
        of_stream = {p.admitted.stream_id: p for p in publishers}
        for kept in await self._claims.renew(self.picture.boot, asked):
            publisher = of_stream[kept.stream_id]
            if kept.held:
                _take_attribution(publisher, kept)
            else:
                await self._publishing.cut(publisher, kept.reason)

    async def record_streams(self) -> None:
        """One metrics event per live stream."""
        for stream in self.picture.streams:
            name = internal_name(stream.name)
            publisher = self._publishing.publishers.get(name) if name else None
            if publisher is not None and publisher.state in ("live", "dry"):
                await self._record_stream(stream, publisher)

    async def _record_stream(self, stream: LiveStream, publisher: Publisher) -> None:
        found = domain.judge(publisher.health, "DRY" if publisher.state == "dry" else "FULL")
        issues = (*found.issues, *self._limits_met(publisher.admitted.internal_name))
        publisher.issues = issues
        packets = stream.packets.since(self.picture.packets[stream.name])
        self.picture.packets[stream.name] = stream.packets
        rates = self.picture.stream_rates[stream.name]
        video, audio = found.video, found.audio
        body: dict[str, Any] = {
            "bandwidth_in_bps": rates.down_rate * 8,
            "bandwidth_out_bps": rates.up_rate * 8,
            "viewers": stream.viewers,
            "bitrate_kbps": sum(t.kbits for t in (video, audio) if t),
            "buffer_ms": found.buffer_ms,
            "jitter_ms": found.jitter_ms,
            "health_score": health.score(list(issues)),
            "issues": list(issues),
            "packets_sent": packets.sent,
            "packets_lost": packets.lost,
            "packets_retransmitted": packets.retransmitted,
        }
        await self._record(
            topics.STREAM_METRICS.name, publisher.subject, body | _video(video) | _audio(audio)
        )

    def _limits_met(self, name: str) -> list[str]:
        found = {"bitrate_over_plan": self._limit.is_over(name), "viewers_over_plan": self._turns_away(name)}
        return [code for code, is_met in found.items() if is_met]

    async def record_node(self, owner: str, facts: dict[str, Any]) -> None:
        """The node's state as an event of the tenant that owns it; `facts` are the constants of this node."""
        reading, picture = self.picture.reading, self.picture
        body: dict[str, Any] = {
            "state": picture.standing,
            "boot_id": picture.boot,
            **facts,
        }
        if reading is not None:
            body |= {
                "cpu_permille": reading.cpu_permille,
                "memory_used_bytes": reading.memory_used,
                "memory_total_bytes": reading.memory_total,
                "shm_used_bytes": reading.shm_used,
                "shm_total_bytes": reading.shm_total,
                "bandwidth_in_bps": picture.node.down_rate * 8,
                "bandwidth_out_bps": picture.node.up_rate * 8,
                "up_bytes": reading.up_total,
                "down_bytes": reading.down_total,
                "active_streams": len(picture.streams),
                "active_viewers": sum(stream.viewers for stream in picture.streams),
                "version": reading.version,
            }
        await self._record(topics.NODE_LIFECYCLE.name, Subject(owner, "", ""), body)

    async def _record(self, kind: str, subject: Subject, body: dict[str, Any]) -> None:
        at = micros(self._clock.now())
        identity = domain.event_id(kind, self._name, subject.stream_id, str(at))
        await self._recorder.record(Fact(kind, identity, at, subject, body))


def _video(video: domain.TrackReport | None) -> dict[str, Any]:
    if video is None:
        return {}
    return {
        "fps_milli": video.fps_milli,
        "width": video.width,
        "height": video.height,
        "codec": video.codec,
        "keyframe_ms": video.keyframe_max_ms,
        "keyframe_min_ms": video.keyframe_min_ms,
        "b_frames": video.b_frames,
        "quality_tier": domain.quality_tier(video.height),
    }


def _audio(audio: domain.TrackReport | None) -> dict[str, Any]:
    if audio is None:
        return {}
    return {
        "audio_codec": audio.codec,
        "audio_kbps": audio.kbits,
        "audio_channels": audio.channels,
        "audio_rate": audio.rate,
    }


def _wants_attribution(publisher: Publisher, wall: int) -> bool:
    """At half of its life (24 h) an attribution is renewed."""
    return publisher.admitted.attribution_expires_at - wall < HALF_LIFE_US


def _take_attribution(publisher: Publisher, kept: ClaimKept) -> None:
    if kept.attribution:
        publisher.admitted = msgspec.structs.replace(
            publisher.admitted,
            attribution=kept.attribution,
            attribution_expires_at=kept.attribution_expires_at,
        )
