"""One live stream: its renditions, its publisher's lease, and what its state means to Helmsman."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from frameworks.kit import trace
from frameworks.kit.clock import Clock
from frameworks.kit.log import get
from frameworks.media.mist.domain import Frame, Track
from frameworks.media.mist.hub import health
from frameworks.media.mist.hub.health import Meter
from frameworks.media.mist.hub.herald import Herald
from frameworks.media.mist.hub.lease import Lease, Publisher
from frameworks.media.mist.hub.rendition import Rendition, Shape
from frameworks.media.mist.hub.timeline import Fit, Timeline
from frameworks.media.mist.protocols.cmaf import Sample
from frameworks.media.mist.protocols.hls import Report
from frameworks.media.mist.protocols.trigger import as_json_line

log = get("mist")

MAX_TRACKS = 8
DRY_AFTER = 3.0
"""Seconds without media after which a stream is reported dry."""
RECOVERED_AFTER = 5.0
"""Seconds without an issue after which it is reported recovered."""
SEAM = 0.04
"""Seconds between the last frame of one publisher and the first of the next."""
STALE_TRACK = 6.0
"""Seconds a track may lag behind the stream's other tracks before it is given up."""
FAREWELL = 10.0
"""Seconds an ended stream's playlists stay, so that players see the end."""


class State(Enum):
    """A stream's state, in the words of `active_streams`."""

    WAITING = "Waiting for data"
    ONLINE = "Online"
    ENDED = "Shutting down"


@dataclass(slots=True)
class Totals:
    """What STREAM_END reports of a stream's whole life."""

    received: int = 0
    sent: int = 0
    viewers: int = 0
    inputs: int = 0
    viewer_seconds: float = 0.0


class LiveStream:
    """Fed by at most one lease at a time; every method is synchronous, so no two changes mix."""

    def __init__(self, name: str, shape: Shape, clock: Clock, herald: Herald, *, grace: float) -> None:
        self.name = name
        self.state = State.WAITING
        self.lease: Lease | None = None
        self.grace = grace
        self.renditions: dict[int, Rendition] = {}
        self.meters: dict[int, Meter] = {}
        self.totals = Totals()
        self.keyframe: tuple[Track, bytes] | None = None
        """The newest keyframe of the video track, for posters."""
        self.started = clock.now()
        self.ended_at: float | None = None
        self.issues = ""
        self._shape = shape
        self._clock = clock
        self._herald = herald
        self._trace = ""
        self._timeline = Timeline()
        self._last_frame_at = clock.monotonic()
        self._silent_since: float | None = None
        self._well_since = 0.0
        self._is_full = False
        self._announced: list[Track] = []

    # --- the publisher's side ---

    def lend(self, publisher: Publisher) -> Lease:
        """Give the stream to a publisher that was admitted; a publisher it replaces is disconnected."""
        if self.lease is not None:
            replaced = self.lease.publisher
            self.release("CLEAN_LIVE_BUFFER_REQ", "replaced by a newer publisher")
            replaced.kick("A newer publisher of this stream was admitted.")
        self._silent_since = None
        self._last_frame_at = self._clock.monotonic()
        self.lease = Lease(self, publisher)
        self._trace = publisher.trace
        self.totals.inputs += 1
        self._timeline.begun = False
        return self.lease

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Take the current publisher's tracks; raises cmaf.Unmuxable for one that can not be carried."""
        tracks = tracks[:MAX_TRACKS]
        resumes = not self._timeline.begun and bool(self.renditions)
        if resumes:
            self._interrupt({track.id: track for track in tracks})
        else:
            self._reconfigure(tracks)
        leader = next((track.id for track in tracks if track.codec.is_video), None)
        first = max((rendition.position[0] for rendition in self.renditions.values()), default=0)
        for track in tracks:
            if track.id not in self.renditions:
                self._add_rendition(track, leads=leader in (None, track.id), first_msn=first)

    def _interrupt(self, tracks: dict[int, Track]) -> None:
        for number, rendition in list(self.renditions.items()):
            track = tracks.get(number)
            self.meters[number].restart()
            if track is not None and track.timescale != rendition.track.timescale:
                self._drop(number)
            else:
                rendition.interrupt(track)

    def _drop(self, number: int) -> None:
        self.renditions.pop(number).end()
        del self.meters[number]

    def _reconfigure(self, tracks: Sequence[Track]) -> None:
        for track in tracks:
            rendition = self.renditions.get(track.id)
            if rendition is None or rendition.track == track:
                continue
            changed = rendition.track.init != track.init
            rendition.configure(track)
            if changed:
                for other in self.renditions.values():
                    other.break_next()

    def _add_rendition(self, track: Track, *, leads: bool, first_msn: int) -> None:
        rendition = Rendition(track, self._shape, leads=leads, wall=self._timeline.wall, first_msn=first_msn)
        rendition.reports = lambda: self._reports(rendition)
        self.renditions[track.id] = rendition
        self.meters[track.id] = Meter(track.timescale)

    def _reports(self, asking: Rendition) -> list[Report]:
        found = []
        for rendition in self.renditions.values():
            msn, parts = rendition.position
            if rendition is not asking and (rendition.is_playable or parts):
                if not parts and (before := rendition.segment(msn - 1)):
                    msn, parts = before.msn, len(before.parts)
                found.append(Report(f"../{rendition.name}/index.m3u8", msn, max(0, parts - 1)))
        return found

    def add(self, frame: Frame) -> None:
        """Take a frame of the current publisher."""
        rendition = self.renditions.get(frame.track)
        if rendition is None:
            return
        arrived = frame.received or self._clock.monotonic()
        self._last_frame_at = arrived
        self.totals.received += len(frame.data)
        seconds = frame.dts / rendition.track.timescale
        if not self._timeline.begun:
            self._begin(seconds, arrived)
        dts = self._place(rendition, frame, seconds, arrived)
        if dts is None:
            return
        self.meters[frame.track].note(frame, dts, arrived)
        is_video = rendition.track.codec.is_video
        if is_video and frame.keyframe:
            self.keyframe = (rendition.track, frame.data)
        if is_video and rendition.last_dts is None and not frame.keyframe:
            return
        before = rendition.position[0]
        rendition.push(Sample(dts, frame.cts, frame.keyframe or not is_video, frame.data, 0))
        if rendition.position[0] != before:
            self._segment_started(rendition, dts)

    def _begin(self, seconds: float, arrived: float) -> None:
        newest = max((r.span[1] for r in self.renditions.values() if r.last_dts is not None), default=0.0)
        self._timeline.begin(seconds, newest + SEAM if newest else 0.0, self._clock.now(), arrived)

    def _place(self, rendition: Rendition, frame: Frame, seconds: float, arrived: float) -> int | None:
        """The frame's time on the stream's timeline, or None when it belongs to a time that is over."""
        scale = rendition.track.timescale
        last = rendition.last_dts
        fit = self._timeline.fit(
            seconds + self._timeline.offset, None if last is None else last / scale, arrived
        )
        if fit is Fit.STRAY:
            return None
        if fit is Fit.JUMPED:
            log.info("stream.timestamps_jumped", stream=self.name, track=frame.track)
            for other in self.renditions.values():
                other.interrupt()
                self.meters[other.track.id].restart()
            self._begin(seconds, arrived)
        dts = frame.dts + round(self._timeline.offset * scale)
        return dts if last is None else max(dts, last + 1)

    def _segment_started(self, rendition: Rendition, dts: int) -> None:
        seconds = dts / rendition.track.timescale
        self._timeline.follow(seconds, self._clock.now())
        if rendition.track.codec.is_video:
            for other in self.renditions.values():
                if other is not rendition and not other.track.codec.is_video:
                    other.cut_at(seconds)
        if not self._is_full and self.is_playable:
            self._fill()

    def release(self, machine: str, reason: str) -> None:
        """The current publisher is gone: the stream waits out its grace for the next one."""
        lease, self.lease = self.lease, None
        if lease is None:
            return
        publisher = lease.publisher
        lines = [
            *(publisher.host, publisher.connector, str(publisher.pid), machine, reason),
            as_json_line([self._track_summary(r.track) for r in self.renditions.values()]),
        ]
        self._tell("PUSH_INPUT_CLOSE", *lines, pid=publisher.pid)
        self._silent_since = self._clock.monotonic()
        log.info("publisher.left", stream=self.name, reason=reason, machine_reason=machine, trace=self._trace)

    @staticmethod
    def _track_summary(track: Track) -> dict[str, Any]:
        kind = "video" if track.codec.is_video else "audio"
        return {"codec": track.codec.value, "id": track.id, "idx": track.id, "type": kind}

    # --- its state ---

    @property
    def is_playable(self) -> bool:
        """Whether every track that has frames has a whole segment."""
        begun = [r for r in self.renditions.values() if r.last_dts is not None]
        return bool(begun) and all(rendition.is_playable for rendition in begun)

    def tick(self) -> None:
        """Look at the clock: announce tracks, dryness and recovery, end a stream nobody feeds."""
        now = self._clock.monotonic()
        if self.state is State.ENDED:
            return
        self._announce_tracks()
        if self.lease is None:
            if self._silent_since is not None and now - self._silent_since >= self.grace:
                self.end()
        elif self._is_full:
            self._drop_stale_tracks()
            self._judge(now)

    def _drop_stale_tracks(self) -> None:
        """A track that stopped while another goes on would hold every player up."""
        newest = max((meter.arrived for meter in self.meters.values()), default=0.0)
        for number, meter in list(self.meters.items()):
            if meter.arrived and newest - meter.arrived > STALE_TRACK:
                log.info("track.dropped", stream=self.name, track=number)
                self._drop(number)

    def _announce_tracks(self) -> None:
        tracks = [r.track for r in self.renditions.values() if r.last_dts is not None]
        if tracks and tracks != self._announced:
            self._announced = tracks
            self._tell("LIVE_TRACK_LIST", as_json_line(self.describe_tracks()), "")

    def _fill(self) -> None:
        self._is_full = True
        self.state = State.ONLINE
        self._announce_tracks()
        self._tell("STREAM_BUFFER", "FULL", as_json_line(self.health()))
        log.info("stream.started", stream=self.name, trace=self._trace)

    def _judge(self, now: float) -> None:
        silent = now - self._last_frame_at
        found = health.issues(self._measured(), silent, DRY_AFTER)
        if found:
            self._well_since = now
        if found and not self.issues:
            self.issues = found
            self._tell("STREAM_BUFFER", "DRY", as_json_line(self.health()))
        elif self.issues and not found and now - self._well_since >= RECOVERED_AFTER:
            self.issues = ""
            self._tell("STREAM_BUFFER", "RECOVER", as_json_line(self.health()))
        elif found:
            self.issues = found

    def end(self) -> None:
        """Finish: players are told, Helmsman hears EMPTY and STREAM_END."""
        if self.state is State.ENDED:
            return
        self.release("CLEAN_INTENDED_STOP", "the stream was stopped")
        self.state = State.ENDED
        self.ended_at = self._clock.monotonic()
        newest = max((r.span[1] for r in self.renditions.values() if r.last_dts is not None), default=None)
        for rendition in self.renditions.values():
            rendition.end()
        if self._is_full:
            self._tell("STREAM_BUFFER", "EMPTY", *([] if newest is None else [str(round(1000 * newest))]))
        totals = self.totals
        counts = (
            totals.received,
            totals.sent,
            totals.viewers,
            totals.inputs,
            0,
            round(totals.viewer_seconds),
        )
        self._tell("STREAM_END", *map(str, counts))
        log.info(
            "stream.ended", stream=self.name, received=totals.received, sent=totals.sent, trace=self._trace
        )

    def _tell(self, trigger: str, *lines: str, pid: int | None = None) -> None:
        """Tell Helmsman what became of the stream, within the trace of the publisher it has or had."""
        with trace.within(self._trace):
            self._herald.tell(trigger, self.name, [self.name, *lines], pid=pid)

    @property
    def is_over(self) -> bool:
        """Whether it ended long enough ago to be forgotten."""
        return self.ended_at is not None and self._clock.monotonic() - self.ended_at >= FAREWELL

    # --- what it is like ---

    def _measured(self) -> list[tuple[Track, Meter]]:
        return [(r.track, self.meters[number]) for number, r in self.renditions.items()]

    def span(self) -> tuple[float, float]:
        """Stream seconds of the oldest and newest frame kept."""
        spans = [r.span for r in self.renditions.values() if r.last_dts is not None]
        return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else (0.0, 0.0)

    def held(self) -> tuple[int, int]:
        """(bytes, segments) of every track in memory."""
        sizes = [rendition.held() for rendition in self.renditions.values()]
        return sum(size for size, _ in sizes), sum(count for _, count in sizes)

    def health(self) -> dict[str, Any]:
        """The health object of STREAM_BUFFER and `active_streams`."""
        found: dict[str, Any] = {}
        for number, rendition in self.renditions.items():
            first, last = rendition.span
            found[health.track_name(rendition.track)] = health.track_health(
                rendition.track, self.meters[number], last - first
            )
        first, last = self.span()
        found["tracks"] = list(found)
        found["buffer"] = round(1000 * (last - first))
        found["jitter"] = max((meter.jitter_ms for meter in self.meters.values()), default=0)
        found["maxkeepaway"] = round(1000 * (self._shape.window + self._shape.kept))
        if self.issues:
            found["issues"] = self.issues
        if remarks := health.remarks(self._measured()):
            found["remarks"] = remarks
        return found

    def describe_tracks(self) -> dict[str, Any]:
        """Each track with its codec and size, as LIVE_TRACK_LIST and `json_<stream>.js` list them."""
        return {
            health.track_name(r.track): health.track_description(r.track, self.meters[number], r.span)
            for number, r in self.renditions.items()
            if r.last_dts is not None
        }

    def wall_offset_ms(self) -> int:
        """Unix milliseconds of stream time zero."""
        return round(1000 * self._timeline.wall(0.0).timestamp()) if self._timeline.begun else 0
