"""What a live stream is like, measured from its frames and told in MistServer's words."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from frameworks.media.mist.domain import Frame, Track

WINDOW = 5
"""Seconds over which rates and jitter are measured."""
GOPS = 8
HIGH_JITTER_MS = 2000
LONG_KEYFRAME_MS = 10_000


@dataclass(slots=True)
class _Second:
    at: int
    first: float
    last: float
    slowest: float
    fastest: float
    smallest_offset: int
    largest_offset: int
    frames: int = 0
    size: int = 0


@dataclass(slots=True)
class Meter:
    """Measures one track; one cheap step per frame."""

    timescale: int
    frames: int = 0
    bytes: int = 0
    first: float | None = None
    arrived: float = 0.0
    """Monotonic seconds of the latest frame."""
    _seconds: deque[_Second] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _gops: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=GOPS))
    _gop_frames: int = 0
    _gop_started: float | None = None

    def note(self, frame: Frame, dts: int, arrived: float) -> None:
        """Count a frame whose stream time is `dts` ticks."""
        seconds = dts / self.timescale
        if self.first is None:
            self.first = seconds
        transit = arrived - seconds
        self.arrived = arrived
        self.frames += 1
        self.bytes += len(frame.data)
        now = int(arrived)
        if not self._seconds or self._seconds[-1].at != now:
            self._seconds.append(_Second(now, seconds, seconds, transit, transit, frame.cts, frame.cts))
        second = self._seconds[-1]
        second.last = seconds
        second.slowest = max(second.slowest, transit)
        second.fastest = min(second.fastest, transit)
        second.smallest_offset = min(second.smallest_offset, frame.cts)
        second.largest_offset = max(second.largest_offset, frame.cts)
        second.frames += 1
        second.size += len(frame.data)
        if frame.keyframe:
            if self._gop_started is not None and self._gop_frames:
                self._gops.append((self._gop_frames, seconds - self._gop_started))
            self._gop_frames, self._gop_started = 0, seconds
        self._gop_frames += 1

    def restart(self) -> None:
        """Forget rates and jitter of an earlier publisher; totals stay."""
        self._seconds.clear()
        self._gops.clear()
        self._gop_frames, self._gop_started = 0, None

    @property
    def jitter_ms(self) -> int:
        """How much later the latest frame came than the earliest, against their own times."""
        if not self._seconds:
            return 0
        slowest = max(second.slowest for second in self._seconds)
        return max(0, round(1000 * (slowest - min(second.fastest for second in self._seconds))))

    @property
    def has_b_frames(self) -> bool:
        """Whether decode and presentation order differ."""
        return any(second.smallest_offset != second.largest_offset for second in self._seconds)

    def _span(self) -> float:
        return self._seconds[-1].last - self._seconds[0].first if self._seconds else 0.0

    @property
    def bits_per_second(self) -> int:
        """Over the measured window."""
        span = self._span()
        return round(8 * sum(second.size for second in self._seconds) / span) if span > 0.2 else 0

    @property
    def fps(self) -> float:
        """Frames per second over the measured window."""
        span = self._span()
        return (sum(second.frames for second in self._seconds) - 1) / span if span > 0.2 else 0.0

    def keys(self) -> dict[str, int]:
        """Longest and shortest run between keyframes; empty while unknown."""
        if not self._gops:
            return {}
        per_frame = [round(1000 * length / frames) for frames, length in self._gops]
        return {
            "frames_max": max(frames for frames, _ in self._gops),
            "frames_min": min(frames for frames, _ in self._gops),
            "ms_max": round(1000 * max(length for _, length in self._gops)),
            "ms_min": round(1000 * min(length for _, length in self._gops)),
            "frame_ms_max": max(per_frame),
            "frame_ms_min": min(per_frame),
        }


def declared_fpks(track: Track) -> int:
    """Frames per 1000 seconds as the encoder declared them, else 0."""
    return round(1000 * track.fps) if track.fps else 0


def track_name(track: Track) -> str:
    """MistServer's name of a track, such as `video_H264_640x360_0fps_1`."""
    if track.codec.is_video:
        fps = declared_fpks(track) // 1000
        return f"video_{track.codec.value}_{track.width}x{track.height}_{fps}fps_{track.id}"
    return f"audio_{track.codec.value}_{track.channels}ch_{track.rate}hz_{track.id}"


def track_health(track: Track, meter: Meter, buffered: float) -> dict[str, Any]:
    """One track's entry in the health object of STREAM_BUFFER and `active_streams`."""
    entry: dict[str, Any] = {
        "buffer": round(1000 * buffered),
        "codec": track.codec.value,
        "id": track.id,
        "idx": track.id,
        "jitter": meter.jitter_ms,
        "kbits": meter.bits_per_second // 1000,
    }
    if not track.codec.is_video:
        return entry | {"channels": track.channels, "rate": track.rate}
    return entry | {
        "bframes": meter.has_b_frames,
        "efpks": round(1000 * meter.fps),
        "efps": round(meter.fps),
        "fpks": declared_fpks(track),
        "fps": declared_fpks(track) // 1000,
        "height": track.height,
        "width": track.width,
        "keys": meter.keys(),
    }


def track_description(track: Track, meter: Meter, span: tuple[float, float]) -> dict[str, Any]:
    """One track's entry in LIVE_TRACK_LIST and in `json_<stream>.js`."""
    entry: dict[str, Any] = {
        "bps": meter.bits_per_second // 8,
        "maxbps": meter.bits_per_second // 8,
        "codec": track.codec.value,
        "codecstring": track.codec_string,
        "firstms": round(1000 * span[0]),
        "lastms": round(1000 * span[1]),
        "nowms": round(1000 * span[1]),
        "idx": track.id,
        "trackid": track.id,
        "jitter": meter.jitter_ms,
        "type": "video" if track.codec.is_video else "audio",
        "init": track.init.decode("latin-1"),
    }
    if not track.codec.is_video:
        return entry | {"channels": track.channels, "rate": track.rate, "size": 16}
    return entry | {
        "fpks": declared_fpks(track),
        "efpks": round(1000 * meter.fps),
        "width": track.width,
        "height": track.height,
    }


def issues(meters: list[tuple[Track, Meter]], silent_for: float, dry_after: float) -> str:
    """What is wrong, in MistServer's style; empty when nothing is."""
    found = ""
    if silent_for > dry_after:
        found += f"No media ({round(1000 * silent_for)}ms)! "
    jitter = max((meter.jitter_ms for _, meter in meters), default=0)
    if jitter > HIGH_JITTER_MS:
        found += f"High jitter ({jitter}ms)! "
    return found


def remarks(meters: list[tuple[Track, Meter]]) -> str:
    """What a publisher should know though the stream plays: B-frames stop WebRTC, long GOPs slow starts."""
    found = ""
    for track, meter in meters:
        if track.codec.is_video and meter.has_b_frames:
            found += "B-frames! "
        if track.codec.is_video and meter.keys().get("ms_max", 0) > LONG_KEYFRAME_MS:
            found += f"Long keyframe interval ({meter.keys()['ms_max']}ms)! "
    return found
