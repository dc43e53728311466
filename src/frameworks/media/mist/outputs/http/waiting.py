"""Requests held until a part exists."""

import asyncio
from collections.abc import Callable

from frameworks.media.mist.hub.rendition import Rendition, Waiter
from frameworks.media.mist.outputs.http.connection import Exchange

LONGEST_TARGETS = 3.0
"""Target durations after which a request for a whole segment is answered with what there is."""
PATIENCE_TARGETS, PATIENCE_PARTS = 0.7, 2.5
"""The same for a part, in target durations and part targets, the longer of both; hls.js gives up at 0.8 and 3."""

Due = Callable[[int, int | None], bool]


def hold(
    exchange: Exchange,
    rendition: Rendition,
    msn: int,
    part: int | None,
    *,
    due: Due,
    answer: Callable[[], None],
) -> None:
    """Call `answer` when `due(msn, part)`, now or later, unless the viewer leaves first.

    A segment may end before the part asked for; its first successor is then waited for, if `due` wants that.
    """
    if due(msn, part):
        answer()
        return
    _Held(exchange, rendition, msn, part, due, answer)


class _Held:
    def __init__(
        self,
        exchange: Exchange,
        rendition: Rendition,
        msn: int,
        part: int | None,
        due: Due,
        answer: Callable[[], None],
    ) -> None:
        self._rendition = rendition
        self._wanted = (msn, part)
        self._due = due
        self._answer = answer
        exchange.on_gone = self._leave
        longest = LONGEST_TARGETS * rendition.target_duration
        if part is not None:
            longest = max(
                PATIENCE_TARGETS * rendition.target_duration, PATIENCE_PARTS * rendition.part_target
            )
        self._timer = asyncio.get_running_loop().call_later(longest, self._expire)
        self._waiter: Waiter | None = rendition.wait(msn, part, self._wake)

    def _wake(self) -> None:
        self._waiter = None
        if self._due(*self._wanted):
            self._timer.cancel()
            self._answer()
        else:
            self._waiter = self._rendition.wait(self._wanted[0] + 1, 0, self._wake)

    def _expire(self) -> None:
        self._leave()
        self._answer()

    def _leave(self) -> None:
        self._timer.cancel()
        if self._waiter is not None:
            self._rendition.leave(self._waiter)
            self._waiter = None
