"""How long a track's frames last, measured from the first ones, and the part target that follows from it."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

TOLERANCE = 0.004
"""Encoders stamp in milliseconds, so a run of frames may be a few longer than its nominal length."""
FILLED = 0.87
"""A part holds at least this share of the part target; 0.85 is required (RFC 8216bis §4.4.4.9)."""


class Cadence:
    """Ticks per frame, ticks per part, and the PART-TARGET to announce."""

    def __init__(self, times: Sequence[int], timescale: int, wanted: float) -> None:
        steps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
        self.frame = max(1, round(median(steps))) if steps else max(1, round(timescale * wanted / 8))
        frame = self.frame / timescale
        filled = max(1, int((wanted + TOLERANCE) / frame)) * frame
        fits_wanted = wanted * FILLED <= filled and filled + TOLERANCE <= wanted
        self.part_target = wanted if fits_wanted else filled + TOLERANCE
        self.part = round(self.part_target * timescale)
        self._slack = max(round(0.002 * timescale), self.frame // 10)

    def is_steady(self, step: int) -> bool:
        """Whether a frame that lasted `step` ticks kept the beat."""
        return abs(step - self.frame) <= self._slack
