"""Samples: every track and output of a stream once a minute, every viewer's connection each ten seconds."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from frameworks.contracts import topics
from frameworks.contracts.ids import internal_name
from frameworks.contracts.metrics import helmsman as metrics
from frameworks.kit.clock import Clock, micros
from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import Fact, Subject
from frameworks.media.helmsman.service.measuring import Picture
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.reporting import Recorder
from frameworks.media.helmsman.service.viewing import Viewing

MAX_TRACKS = 32
MAX_OUTPUTS = 32


@dataclass(frozen=True, slots=True)
class ClientReading:
    """One session as the node counts it, since it opened."""

    session: str
    stream: str
    connector: str
    seconds: int
    up_bytes: int
    down_bytes: int
    position_ms: int
    packets_sent: int
    packets_lost: int
    packets_retransmitted: int

    @property
    def counters(self) -> tuple[int, int, int, int, int]:
        """What is told as differences."""
        packets = self.packets_sent, self.packets_lost, self.packets_retransmitted
        return self.up_bytes, self.down_bytes, *packets


class Clients(Protocol):
    """The node's API, as far as sessions go."""

    async def clients(self) -> list[ClientReading]:
        """Every viewer's session. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class _Before:
    at: float
    counters: tuple[int, ...]


class Sampling:
    """Turns what the node counts into samples; at most `most` sessions a turn, taking turns."""

    def __init__(
        self,
        node: Clients,
        picture: Picture,
        publishing: Publishing,
        viewing: Viewing,
        recorder: Recorder,
        clock: Clock,
        *,
        name: str,
        most: int,
    ) -> None:
        self._node = node
        self._picture = picture
        self._publishing = publishing
        self._viewing = viewing
        self._recorder = recorder
        self._clock = clock
        self._name = name
        self._most = most
        self._before: dict[str, _Before] = {}
        self._next = ""
        self._newest: dict[str, list[ClientReading]] = {}
        self._up_bps: dict[str, int] = {}

    async def sample_clients(self) -> None:
        """One sample per session that was there a turn ago too. Raises Unavailable."""
        readings = [r for r in await self._node.clients() if r.session in self._viewing.sessions]
        now = self._clock.monotonic()
        self._newest = {}
        for reading in readings:
            self._newest.setdefault(reading.stream, []).append(reading)
        alive = {reading.session for reading in readings}
        self._before = {session: kept for session, kept in self._before.items() if session in alive}
        self._up_bps = {session: rate for session, rate in self._up_bps.items() if session in alive}
        turn = self._turn(sorted(readings, key=lambda r: r.session))
        await self._record([fact for reading in turn if (fact := self._sample(reading, now))])

    def _turn(self, readings: list[ClientReading]) -> list[ClientReading]:
        """The next `most` in the order of their ids, from where the last turn ended."""
        if len(readings) <= self._most:
            return readings
        metrics.UNSAMPLED.inc(len(readings) - self._most)
        start = next((n for n, r in enumerate(readings) if r.session >= self._next), 0)
        around = readings[start:] + readings[:start]
        self._next = around[self._most].session
        return around[: self._most]

    def _sample(self, reading: ClientReading, now: float) -> Fact | None:
        before = self._before.get(reading.session)
        self._before[reading.session] = _Before(now, reading.counters)
        if before is None or now <= before.at or any(map(int.__lt__, reading.counters, before.counters)):
            return None
        up, down, sent, lost, again = map(int.__sub__, reading.counters, before.counters)
        rate = self._up_bps[reading.session] = int(up * 8 / (now - before.at))
        opened = self._viewing.sessions[reading.session]
        subject = self._viewing.subject_of(opened.stream)
        if subject is None:
            return None
        body: dict[str, Any] = {
            "session_id": self._viewing.session_name(reading.session, opened),
            "connector": opened.connector,
            "up_bps": rate,
            "down_bps": int(down * 8 / (now - before.at)),
            "up_bytes": up,
            "packets_sent": sent,
            "packets_lost": lost,
            "packets_retransmitted": again,
            "position_ms": reading.position_ms,
            "seconds": reading.seconds,
        }
        return self._fact(topics.CLIENT_SAMPLE.name, subject, body, reading.session)

    async def sample_streams(self) -> None:
        """Tracks and outputs of every stream on the node."""
        facts = []
        for stream in self._picture.streams:
            name = internal_name(stream.name)
            if name is None:
                continue
            publisher = self._publishing.publishers.get(name)
            health = publisher.health if publisher is not None else stream.health
            subject = publisher.subject if publisher is not None else self._viewing.subject_of(name)
            body = {"tracks": track_metrics(health), "outputs": self._outputs(stream.name)}
            if subject is not None and (body["tracks"] or body["outputs"]):
                facts.append(self._fact(topics.STREAM_METRICS_DETAILED.name, subject, body, name))
        await self._record(facts)

    def _outputs(self, stream: str) -> list[dict[str, Any]]:
        sums: dict[str, list[int]] = {}
        for reading in self._newest.get(stream, ()):
            opened = self._viewing.sessions.get(reading.session)
            entry = sums.setdefault(opened.connector if opened else reading.connector, [0, 0])
            entry[0] += 1
            entry[1] += self._up_bps.get(reading.session, 0)
        return [
            {"connector": connector, "viewers": viewers, "up_bps": rate}
            for connector, (viewers, rate) in sorted(sums.items())[:MAX_OUTPUTS]
        ]

    def _fact(self, kind: str, subject: Subject, body: dict[str, Any], about: str) -> Fact:
        at = micros(self._clock.now())
        return Fact(kind, domain.event_id(kind, self._name, about, str(at)), at, subject, body)

    async def _record(self, facts: list[Fact]) -> None:
        """At once, so that they share a sync of the disk."""
        of_subject: dict[Subject, list[Fact]] = {}
        for fact in facts:
            of_subject.setdefault(fact.subject, []).append(fact)
        await asyncio.gather(*(self._recorder.record(*some) for some in of_subject.values()))


def track_metrics(health: dict[str, Any]) -> list[dict[str, Any]]:
    """Every track of a health object with the field names of the event message."""
    found = []
    for name, told in health.items():
        if not isinstance(told, dict) or "codec" not in told:
            continue
        track = domain.track(name, told)
        frames = domain.frame_distances(told)
        found.append(
            {
                **domain.track_body(track),
                "frame_min_us": frames[0],
                "frame_max_us": frames[1],
                "keyframe_min_ms": track.keyframe_min_ms,
                "keyframe_max_ms": track.keyframe_max_ms,
            }
        )
    return found[:MAX_TRACKS]
