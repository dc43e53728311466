"""The deadlines of many calls under few timers."""

import asyncio
import contextvars
from typing import Protocol

TICK = 0.01
"""Seconds by which a call may end late: calls due within one tick share a timer, which costs more than a call."""


class Timed(Protocol):
    """What has a deadline."""

    def expire(self) -> None:
        """The deadline has come."""


class Deadlines:
    """Whose time is up when, on one event loop."""

    def __init__(self) -> None:
        self._due: dict[int, set[Timed]] = {}

    def add(self, timed: Timed, when: float) -> set[Timed]:
        """Expire `timed` at the loop's time `when`, unless it is taken out of the set returned before."""
        tick = int(when / TICK) + 1
        due = self._due.get(tick)
        if due is None:
            due = self._due[tick] = set()
            loop = asyncio.get_running_loop()
            loop.call_at(tick * TICK, self._expire, tick, context=contextvars.Context())
        due.add(timed)
        return due

    def _expire(self, tick: int) -> None:
        for timed in list(self._due.pop(tick)):
            timed.expire()
