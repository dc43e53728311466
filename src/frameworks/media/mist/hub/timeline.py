"""The stream's own time, which only moves forward while publishers come and go; and its wall time."""

from datetime import datetime, timedelta
from enum import Enum

LEAD = 1.0
"""Stream seconds at which the first frame is put, so that another track may start a little earlier."""
FORWARD_JUMP = 10.0
BACKWARD_JUMP = 2.0
SETTLING = 2.0
"""Seconds after a jump in which frames of the old time are dropped instead of making another jump."""
SLEW = 0.005
"""Seconds per segment by which the wall clock estimate follows the encoder's clock."""


class Fit(Enum):
    """What to do with a frame at a given time."""

    FOLLOWS = "follows"
    JUMPED = "jumped"
    STRAY = "stray"


class Timeline:
    """Maps a publisher's seconds to stream seconds and stream seconds to wall time."""

    def __init__(self) -> None:
        self.begun = False
        self.offset = 0.0
        self._anchor_media = 0.0
        self._anchor_wall: datetime | None = None
        self._settled_at = 0.0

    def begin(self, publisher_seconds: float, newest: float, wall: datetime, monotonic: float) -> None:
        """Put a publisher's first frame right after `newest`, the end of what the stream has."""
        start = max(LEAD, newest)
        self.begun = True
        self.offset = start - publisher_seconds
        self._anchor_media, self._anchor_wall = start, wall
        self._settled_at = monotonic + SETTLING

    def fit(self, stream_seconds: float, last: float | None, monotonic: float) -> Fit:
        """Whether a frame follows the last one of its track (None: it has none yet)."""
        reference = self._anchor_media if last is None else last
        step = stream_seconds - reference
        if -BACKWARD_JUMP <= step <= FORWARD_JUMP and stream_seconds >= 0:
            return Fit.FOLLOWS
        return Fit.STRAY if monotonic < self._settled_at else Fit.JUMPED

    def wall(self, stream_seconds: float) -> datetime:
        """The wall time a stream time stands for."""
        if self._anchor_wall is None:
            raise ValueError("the timeline has not begun")
        return self._anchor_wall + timedelta(seconds=stream_seconds - self._anchor_media)

    def follow(self, stream_seconds: float, now: datetime) -> None:
        """Move the wall time a little towards `now`, when a frame of that stream time arrived."""
        late = (now - self.wall(stream_seconds)).total_seconds()
        if self._anchor_wall is not None:
            self._anchor_wall += timedelta(seconds=max(-SLEW, min(SLEW, late)))
