"""Lanes: sockets that follow the same channels of a tenant and have all of it so far share every byte."""

from typing import Protocol

from frameworks.contracts.metrics import signalman as metrics
from frameworks.data.signalman.service.ring import Ring

AT_MOST = 256 * 1024
"""Bytes that wait for the end of the loop's turn; more is written at once."""


class Member(Protocol):
    """A socket in a lane."""

    def write(self, frames: bytes) -> None:
        """Send whole frames; may leave the lane while doing so."""

    def void(self) -> None:
        """What was followed is void: leave the lane, begin with a snapshot."""


class Lane:
    """What waits for its members is written to each of them in one piece, once in a turn of the loop."""

    def __init__(self, channels: frozenset[str], ring: Ring) -> None:
        self.channels = channels
        self.members: set[Member] = set()
        self._ring = ring
        self._pending: list[bytes] = []
        self._held = 0
        self._since = 0

    @property
    def sent(self) -> int:
        """The number of the first change its members do not have."""
        return self._since if self._pending else self._ring.next

    def add(self, frame: bytes, number: int) -> None:
        """Queue the frame of change `number`."""
        if not self._pending:
            self._since = number
        self._pending.append(frame)
        self._held += len(frame)
        if self._held > AT_MOST:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._pending:
            return
        frames, count = b"".join(self._pending), len(self._pending)
        self._pending.clear()
        self._held = 0
        metrics.DELIVERED.inc(count * len(self.members))
        for member in tuple(self.members):
            member.write(frames)

    def void(self) -> None:
        """What waits, and what was sent, is not to be relied upon."""
        self._pending.clear()
        self._held = 0
        for member in tuple(self.members):
            member.void()
