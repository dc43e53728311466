"""One track of a live stream: parts and segments in memory, its playlist, the players waiting for a part."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from frameworks.media.mist.domain import Track
from frameworks.media.mist.hub.cadence import Cadence
from frameworks.media.mist.protocols import cmaf, hls
from frameworks.media.mist.protocols.cmaf import Sample
from frameworks.media.mist.protocols.hls import Part, Report, Segment

FRAMES_TO_MEASURE = 12
SECONDS_TO_MEASURE = 0.5
KEPT_INITS = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """How media is cut and how much of it is kept."""

    part: float = 0.25
    """Seconds of a part, as far as the frame rate allows."""
    segment: float = 2.0
    """A segment ends at the first keyframe after this many seconds."""
    longest_segment: float = 16.0
    """A segment without a keyframe is cut here all the same."""
    window: float = 20.0
    """Seconds a playlist lists."""
    kept: float = 10.0
    """Seconds kept beyond the window, for players that are still fetching what was listed."""
    largest: int = 96 * 1024 * 1024
    """Bytes kept per track, whatever the window says."""
    producer_time: bool = True
    """Whether video parts carry a `prft`."""


@dataclass(slots=True)
class Waiter:
    """Somebody to wake when a part of segment `msn` exists or never will; `part` None means all of it."""

    msn: int
    part: int | None
    wake: Callable[[], None]


class Rendition:
    """Cuts frames into parts and segments; they come in decode order, times only move forward."""

    def __init__(
        self,
        track: Track,
        shape: Shape,
        *,
        leads: bool,
        wall: Callable[[float], datetime],
        first_msn: int = 0,
    ) -> None:
        self.track = track
        self.name = f"{'v' if track.codec.is_video else 'a'}{track.id}"
        self.version = 0
        self.ended = False
        self.reports: Callable[[], Sequence[Report]] = tuple
        self.last_dts: int | None = None
        self._shape = shape
        self._leads = leads
        self._wall = wall
        self._scale = track.timescale
        self._init = first_msn
        self._inits: dict[int, bytes] = {first_msn: cmaf.init_segment(track)}
        self._closed: deque[Segment] = deque()
        self._open: Segment | None = None
        self._open_at = 0
        self._next_msn = first_msn
        self._listed = 0
        self._forgotten_discontinuities = 0
        self._discontinuity = False
        self._early: list[Sample] = []
        self._samples: list[Sample] = []
        self._cadence: Cadence | None = None
        self._steady = False
        self._previous: int | None = None
        self._cuts: deque[int] = deque(maxlen=64)
        self._parts_made = 0
        self._target_duration = hls.ceil_seconds(shape.segment)
        self._part_target = 0.0
        self._waiters: list[Waiter] = []
        self._rendered: dict[bool, tuple[int, bytes]] = {}

    # --- writing ---

    def push(self, sample: Sample) -> None:
        """Take the next frame; wakes the waiters when it completes a part."""
        self.last_dts = sample.dts
        if self._cadence is None:
            self._early.append(sample)
            self._measure()
            return
        before = self.version
        self._add(sample, self._cadence)
        if self.version != before:
            self._wake()

    def cut_at(self, seconds: float) -> None:
        """Start a segment at the first frame at or after this stream time: the leading track did."""
        self._cuts.append(math.ceil(seconds * self._scale))

    def interrupt(self, track: Track | None = None) -> None:
        """Close what is open; the next frame starts a segment after a discontinuity, of `track` if given."""
        self.flush()
        if track is not None and track != self.track:
            self.configure(track)
        self._discontinuity = bool(self._closed)
        self._cadence = None
        self._cuts.clear()

    def configure(self, track: Track) -> None:
        """Use this configuration from the next segment on; raises cmaf.Unmuxable and changes nothing then."""
        init = cmaf.init_segment(track)
        self.track = track
        if init != self._inits[self._init]:
            self._init = self._next_msn
            self._inits[self._init] = init
            while len(self._inits) > KEPT_INITS:
                del self._inits[next(iter(self._inits))]

    def break_next(self) -> None:
        """Mark the next segment as a discontinuity."""
        self._discontinuity = self._open is not None or bool(self._closed)

    def flush(self) -> None:
        """Close the open part and segment with the frames that came."""
        if self._cadence is None and self._early:
            self._begin()
        if self._open is not None:
            self._close_segment(self._end_of_samples())
            self._wake()

    def end(self) -> None:
        """No more frames will come: the playlist says so."""
        self.flush()
        self.ended = True
        self.version += 1
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()

    def _measure(self) -> None:
        span = (self._early[-1].dts - self._early[0].dts) / self._scale
        if len(self._early) > FRAMES_TO_MEASURE or span >= SECONDS_TO_MEASURE:
            self._begin()
            self._wake()

    def _begin(self) -> None:
        early, self._early = self._early, []
        cadence = Cadence([sample.dts for sample in early], self._scale, self._shape.part)
        self._cadence = cadence
        self._part_target = max([cadence.part_target, *(part.duration for part in self._listed_parts())])
        self._steady, self._previous = False, None
        for sample in early:
            self._add(sample, cadence)

    def _listed_parts(self) -> list[Part]:
        return [part for segment in self._closed for part in segment.parts]

    def _add(self, sample: Sample, cadence: Cadence) -> None:
        if self._previous is not None:
            step = max(1, sample.dts - self._previous)
            self._steady = cadence.is_steady(step)
            if self._samples:
                self._samples[-1].duration = step
        self._previous = sample.dts
        if self._open is not None and self._must_cut(sample, self._open_at):
            self._close_segment(sample.dts)
        elif self._samples and sample.dts + cadence.frame - self._samples[0].dts > cadence.part:
            self._close_part()
        if self._open is None:
            self._open_segment(sample)
        sample.duration = cadence.frame
        self._samples.append(sample)
        # A steady track's next frame would not fit: the part is whole one frame early.
        if self._steady and sample.dts + 2 * cadence.frame - self._samples[0].dts > cadence.part:
            self._close_part()

    def _must_cut(self, sample: Sample, opened: int) -> bool:
        length = (sample.dts - opened) / self._scale
        if length >= self._shape.longest_segment:
            return True
        if self._leads:
            half_a_frame = sample.duration / self._scale / 2
            return sample.keyframe and length >= self._shape.segment - max(0.005, half_a_frame)
        due = False
        while self._cuts and sample.dts >= self._cuts[0]:
            due = self._cuts.popleft() > opened or due
        return due

    def _open_segment(self, sample: Sample) -> None:
        self._open = Segment(
            msn=self._next_msn,
            wall=self._wall((sample.dts + sample.cts) / self._scale),
            init=self._init,
            independent=sample.keyframe,
            discontinuity=self._discontinuity,
        )
        self._open_at = sample.dts
        self._next_msn += 1
        self._discontinuity = False
        self.version += 1

    def _end_of_samples(self) -> int:
        if self._samples:
            return self._samples[-1].dts + self._samples[-1].duration
        return (self.last_dts or 0) + (self._cadence.frame if self._cadence else 0)

    def _close_part(self) -> None:
        samples, self._samples = self._samples, []
        if self._open is None or not samples:
            return
        duration = (samples[-1].dts + samples[-1].duration - samples[0].dts) / self._scale
        produced = None
        if self._shape.producer_time and self.track.codec.is_video:
            produced = self._wall((samples[0].dts + samples[0].cts) / self._scale).timestamp()
        self._parts_made += 1
        body = cmaf.part(self.track, self._parts_made, samples, produced=produced)
        independent = any(sample.keyframe for sample in samples)
        self._open.parts.append(Part(body, duration, independent))
        self._part_target = max(self._part_target, duration)
        self.version += 1

    def _close_segment(self, until: int) -> None:
        self._close_part()
        if self._open is None:
            return
        segment, self._open = self._open, None
        segment.duration = max(1, until - self._open_at) / self._scale
        self._target_duration = max(self._target_duration, hls.ceil_seconds(segment.duration))
        self._closed.append(segment)
        self._forget()
        self.version += 1

    def _forget(self) -> None:
        kept = sum(segment.size() for segment in self._closed)
        total = sum(segment.duration or 0.0 for segment in self._closed)
        limit = self._shape.window + self._shape.kept
        while len(self._closed) > 1 and (
            total - (self._closed[0].duration or 0) >= limit or kept > self._shape.largest
        ):
            gone = self._closed.popleft()
            total -= gone.duration or 0.0
            kept -= gone.size()
            self._forgotten_discontinuities += gone.discontinuity
        self._listed, length = len(self._closed), 0.0
        while self._listed > 0 and length < self._shape.window:
            self._listed -= 1
            length += self._closed[self._listed].duration or 0.0

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if self.reached(waiter.msn, waiter.part):
                waiter.wake()
            else:
                self._waiters.append(waiter)

    # --- reading ---

    @property
    def is_playable(self) -> bool:
        """Whether there is a whole segment to start from."""
        return bool(self._closed)

    @property
    def position(self) -> tuple[int, int]:
        """(segment being made, parts it has)."""
        return (self._next_msn, 0) if self._open is None else (self._open.msn, len(self._open.parts))

    @property
    def waiting(self) -> int:
        """How many players wait for the next part."""
        return len(self._waiters)

    @property
    def part_target(self) -> float:
        """Seconds no part exceeds."""
        return self._part_target

    @property
    def target_duration(self) -> int:
        """Seconds no segment rounds above."""
        return self._target_duration

    @property
    def span(self) -> tuple[float, float]:
        """Stream seconds of the oldest kept and the newest frame."""
        newest = (self.last_dts or 0) / self._scale
        kept = sum(segment.duration or 0.0 for segment in self._closed)
        opened = self._open_at / self._scale if self._open is not None else newest
        return opened - kept, newest

    def held(self) -> tuple[int, int]:
        """(bytes, segments) in memory, the open segment's parts among them."""
        segments = [*self._closed, self._open] if self._open is not None else list(self._closed)
        inits = sum(map(len, self._inits.values()))
        return inits + sum(segment.size() for segment in segments), len(self._inits) + len(segments)

    def bitrate(self) -> tuple[int, int]:
        """(peak, average) bits per second over the kept segments."""
        rates = [8 * s.size() / s.duration for s in self._closed if s.duration and s.duration > 0.5]
        return (round(max(rates)), round(sum(rates) / len(rates))) if rates else (0, 0)

    def reached(self, msn: int, part: int | None) -> bool:
        """Whether segment `msn` is whole, or its part `part` exists, or will never exist."""
        current, parts = self.position
        return self.ended or msn < current or (part is not None and msn == current and part < parts)

    def lists(self, msn: int, part: int | None) -> bool:
        """Whether the playlist answers a blocking request; past a last part comes the next first."""
        if (
            part is not None
            and (whole := self.segment(msn))
            and whole.duration is not None
            and part >= len(whole.parts)
        ):
            return self.reached(msn + 1, 0)
        return self.reached(msn, part)

    def wait(self, msn: int, part: int | None, wake: Callable[[], None]) -> Waiter:
        """Call `wake` once, when `reached` turns true; give the waiter to `leave` to stop waiting."""
        waiter = Waiter(msn, part, wake)
        self._waiters.append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Stop waiting."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def init(self, number: int) -> bytes | None:
        """An init segment by its number, which is that of the first segment that needs it."""
        return self._inits.get(number)

    def segment(self, msn: int) -> Segment | None:
        """A kept or open segment."""
        if self._open is not None and msn == self._open.msn:
            return self._open
        if not self._closed or not 0 <= msn - self._closed[0].msn < len(self._closed):
            return None
        return self._closed[msn - self._closed[0].msn]

    def playlist(self, *, delta: bool = False) -> bytes:
        """The media playlist, rendered once per version."""
        cached = self._rendered.get(delta)
        if cached is None or cached[0] != self.version:
            cached = (self.version, hls.media(self._view(), delta=delta))
            self._rendered[delta] = cached
        return cached[1]

    def _view(self) -> hls.MediaView:
        unlisted = [self._closed[index] for index in range(self._listed)]
        listed = [self._closed[index] for index in range(self._listed, len(self._closed))]
        if self._open is not None:
            listed.append(self._open)
        gone = self._forgotten_discontinuities + sum(segment.discontinuity for segment in unlisted)
        return hls.MediaView(
            segments=listed,
            target_duration=self._target_duration,
            part_target=self._part_target,
            discontinuity_sequence=gone,
            ended=self.ended,
            reports=self.reports(),
        )
