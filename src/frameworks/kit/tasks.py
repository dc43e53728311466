"""Background work that is bounded, watched and ended: how to start a task that outlives its caller."""

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self

from frameworks.kit import log
from frameworks.kit.errors import Limited

AGAIN_SECONDS = 10.0
"""Longer than anything takes to clean up behind itself."""


class Busy(Limited):
    """Too much background work is under way."""

    code = "tasks.busy"


async def end(tasks: Iterable[asyncio.Task[Any]], *, again: float = AGAIN_SECONDS) -> None:
    """Cancel tasks and wait until all have ended, however.

    Libraries lose a cancellation now and then (`asyncio.wait_for` before Python 3.12 is one): whatever still runs after
    `again` seconds is cancelled once more, so that a process that stops does stop.
    """
    all_of_them = set(tasks)
    left = {task for task in all_of_them if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again)
    for task in all_of_them:
        if not task.cancelled():
            task.exception()  # asked for, so that asyncio does not log it: these were to end anyway


class Tasks:
    """At most `limit` tasks; one that fails is logged and leaves the others alone; leaving ends them."""

    def __init__(self, name: str, *, limit: int) -> None:
        self._log = log.get(name)
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Event()
        self._free.set()
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        await end(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    async def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run `work` in the background, waiting until there is room."""
        try:
            while len(self._tasks) >= self._limit:
                self._free.clear()
                await self._free.wait()
        except asyncio.CancelledError:
            work.close()
            raise
        return self.start_now(work, name=name)

    def start_now(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run `work` in the background; raises Busy when there is no room."""
        if not self._open or len(self._tasks) >= self._limit:
            work.close()
            raise Busy("Too much is under way already.", limit=self._limit)
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.set()
        if not task.cancelled() and task.exception() is not None:
            self._log.error("task.failed", task=task.get_name(), exc_info=task.exception())
