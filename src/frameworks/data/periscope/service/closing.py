"""Sessions that nobody ended: closed at their last sign of life once they have been silent for hours.

The row of a session is a function of its facts and the time now, so closing is nothing but computing it again when it
has been silent long enough, and once more when a sign of life arrives late. Current state is then told of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from frameworks.data.periscope.domain import Mark
from frameworks.data.periscope.service.roll_up import Marks, RollUp


@dataclass(frozen=True, slots=True)
class SilentSession:
    """A viewer session taken for closed at `ended_at` (microseconds); None when it turned out to be open."""

    tenant: UUID
    stream: UUID
    node: str
    session: str
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class SilentClaim:
    """A publisher's claim taken for ended at `ended_at`; None when it turned out to be live."""

    tenant: UUID
    stream: UUID
    epoch: int
    ended_at: int | None


class Sessions(Protocol):
    """Rows of sessions."""

    async def silent(self) -> tuple[Sequence[Mark], int]:
        """Marks of sessions to look at again (silent for too long, or heard of after their presumed end); the time."""

    async def presumed(self, since: int) -> tuple[Sequence[SilentSession], Sequence[SilentClaim]]:
        """What rows written since then say of ends that nobody told."""


class State(Protocol):
    """Current state."""

    async def presume(self, sessions: Sequence[SilentSession], claims: Sequence[SilentClaim]) -> None:
        """Take these for closed, or for open again."""


class Closer:
    """Closes what has fallen silent."""

    def __init__(self, sessions: Sessions, marks: Marks, roll_up: RollUp, state: State) -> None:
        self._sessions = sessions
        self._marks = marks
        self._roll_up = roll_up
        self._state = state
        self._since = 0

    async def run(self) -> int:
        """Close what is silent now; the number of sessions looked at."""
        marks, began = await self._sessions.silent()
        await self._marks.mark(marks)
        await self._roll_up.run()
        viewers, claims = await self._sessions.presumed(self._since)
        if viewers or claims:
            await self._state.presume(viewers, claims)
        self._since = began
        return len(marks)
