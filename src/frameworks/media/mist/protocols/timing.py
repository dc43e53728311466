"""RTMP's 32-bit millisecond timestamps into frame times: wraps, jumps, and audio counted in samples."""

from dataclasses import dataclass, field

_WRAP = 1 << 32
_HALF = 1 << 31

JUMP_BACK_MS = 1_000
JUMP_FORWARD_MS = 30_000
"""A larger step than these is a new clock at the encoder, not a gap in its media."""
STEP_MS = 20
"""How far media moves on across a jump."""

VIDEO_RATE = 90_000
RESYNC_MS = 100
"""How far counted samples may drift from the timestamps before they are set again."""


@dataclass(slots=True)
class Timeline:
    """One publisher's clock, shared by its tracks, so that a jump moves all of them by the same amount.

    Packets of the old clock may still be interleaved after a jump: the offset before it stays valid too.
    """

    _raw: int | None = None
    _offset: int = 0
    _previous: int = 0
    _reached: dict[int, int] = field(default_factory=dict)
    jumps: int = 0

    def at(self, track: int, timestamp: int) -> int:
        """Continuous milliseconds for a raw 32-bit `timestamp` of `track`; never less than 0."""
        raw = self._unwrapped(timestamp)
        reached = self._reached.get(track)
        if reached is None:
            reached = max(self._reached.values(), default=None)
        moment = raw + self._offset
        if reached is not None and not _near(moment, reached):
            moment = self._across_jump(raw, reached)
        moment = max(0, moment)
        self._reached[track] = max(moment, self._reached.get(track, 0))
        return moment

    def _unwrapped(self, timestamp: int) -> int:
        if self._raw is None:
            self._raw = timestamp
            return timestamp
        step = (timestamp - self._raw) % _WRAP
        self._raw += step if step < _HALF else step - _WRAP
        return self._raw

    def _across_jump(self, raw: int, reached: int) -> int:
        earlier = raw + self._previous
        if self._previous != self._offset and _near(earlier, reached):
            return earlier
        self.jumps += 1
        self._previous = self._offset
        self._offset = reached + STEP_MS - raw
        return reached + STEP_MS


def _near(moment: int, reached: int) -> bool:
    return -JUMP_BACK_MS <= moment - reached <= JUMP_FORWARD_MS


@dataclass(slots=True)
class VideoClock:
    """Decode times of video on 90 kHz, strictly rising."""

    _last: int = -1

    def dts(self, milliseconds: int) -> int:
        """Ticks for a frame stamped `milliseconds`."""
        self._last = max(milliseconds * (VIDEO_RATE // 1000), self._last + 1)
        return self._last


@dataclass(slots=True)
class AudioClock:
    """Decode times of audio by counting samples, set again when they drift from the stamps; always rising."""

    rate: int
    _next: int | None = None
    _last: int = -1
    resyncs: int = 0

    def dts(self, milliseconds: int, samples: int) -> int:
        """Ticks for a frame of `samples` stamped `milliseconds`."""
        stamped = milliseconds * self.rate // 1000
        moment = stamped if self._next is None else self._next
        if abs(moment - stamped) * 1000 > RESYNC_MS * self.rate:
            self.resyncs += 1
            moment = stamped
        moment = max(moment, self._last + 1)
        self._last = moment
        self._next = moment + samples
        return moment
