"""What viewing comes to, the same for every player: reports hold sums, and every ratio is made here, from sums.

The glossary says each of these in words. A player that reports more often, or fails half-way, weighs no more or less
for it; a figure nobody reported is 0, never guessed.
"""

from dataclasses import dataclass

HOUR_MS = 3_600_000
WATCHED_BUCKET = 10
"""Seconds of an artifact that are counted together in a report's `watched`."""
LONGEST_ARTIFACT = 86_400
"""Seconds of an artifact that retention looks at."""
LONGEST_MS = 86_400_000
"""Milliseconds that one report may tell of."""
HIGHEST_KBPS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """Sums over sessions. `bitrate_ms` is bitrate in kbit/s times the milliseconds played at it."""

    sessions: int = 0
    played_ms: int = 0
    stalled_ms: int = 0
    stalls: int = 0
    frames_decoded: int = 0
    frames_dropped: int = 0
    bitrate_ms: int = 0
    switches: int = 0
    latency_ms_sum: int = 0
    latency_samples: int = 0
    failed: int = 0
    left_before_start: int = 0

    @property
    def played_hours(self) -> float:
        """Hours of media shown."""
        return self.played_ms / HOUR_MS

    @property
    def rebuffer_ratio(self) -> float:
        """Time stalled after the first frame, of the time playing or stalled."""
        return share(self.stalled_ms, self.played_ms + self.stalled_ms)

    @property
    def stalls_per_hour(self) -> float:
        """Stalls in an hour of media shown."""
        return share(self.stalls * HOUR_MS, self.played_ms)

    @property
    def stall_ms(self) -> float:
        """How long a stall lasts."""
        return share(self.stalled_ms, self.stalls)

    @property
    def drop_ratio(self) -> float:
        """Frames dropped, of the frames there were."""
        return share(self.frames_dropped, self.frames_decoded + self.frames_dropped)

    @property
    def failure_rate(self) -> float:
        """Sessions that an error ended, of all."""
        return share(self.failed, self.sessions)

    @property
    def exits_before_start(self) -> float:
        """Sessions whose viewer left before the first frame, and which no error ended, of all."""
        return share(self.left_before_start, self.sessions)

    @property
    def bitrate_bps(self) -> float:
        """Bitrate of the media shown, by time."""
        return share(self.bitrate_ms * 1000, self.played_ms)

    @property
    def switches_per_hour(self) -> float:
        """Changes of rendition in an hour of media shown."""
        return share(self.switches * HOUR_MS, self.played_ms)

    @property
    def latency_ms(self) -> float:
        """How far behind the live edge viewers were."""
        return share(self.latency_ms_sum, self.latency_samples)


def share(part: float, whole: float) -> float:
    """A ratio; 0 of nothing."""
    return part / whole if whole else 0.0


def first_frame_ms(wished_at: float, shown_at: float) -> int:
    """Time to first frame: from the viewer's wish, a click or autoplay, to the first frame drawn; 0 when unknown."""
    return max(1, round(shown_at - wished_at)) if 0 < wished_at < shown_at else 0


def left_before_start(*, final: bool, wished: bool, shown: bool, failed: bool) -> bool:
    """Whether a session ended before its first frame by its viewer's choice."""
    return final and wished and not shown and not failed


def watched(width: int, parts: dict[int, float]) -> list[int]:
    """Seconds watched in each `WATCHED_BUCKET`, from seconds watched in buckets of `width` seconds.

    Seconds are spread evenly over a wider bucket; fractions are carried on, so that the sum holds to a second.
    """
    found: dict[int, float] = {}
    for index, seconds in parts.items():
        begin, end = index * width, (index + 1) * width
        for bucket in range(begin // WATCHED_BUCKET, (end - 1) // WATCHED_BUCKET + 1):
            low, high = max(begin, bucket * WATCHED_BUCKET), min(end, (bucket + 1) * WATCHED_BUCKET)
            found[bucket] = found.get(bucket, 0.0) + seconds * (high - low) / width
    whole, carried = [0] * (max(found, default=-1) + 1), 0.0
    for bucket in sorted(found):
        exact = found[bucket] + carried
        whole[bucket] = round(exact)
        carried = exact - whole[bucket]
    return whole
