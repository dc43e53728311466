"""Questions with an end: one that hangs is left alone, and is not asked again until it is over."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Patience:
    """Asks by name; even a cancelled question may take its time, so nobody waits for its end."""

    def __init__(self) -> None:
        self._open: dict[str, asyncio.Task[Any]] = {}

    async def ask(self, name: str, question: Callable[[], Coroutine[Any, Any, T]], within: float) -> T:
        """The answer; raises TimeoutError when there is none within these seconds."""
        if name in self._open:
            raise TimeoutError
        task: asyncio.Task[T] = asyncio.create_task(question())
        self._open[name] = task
        task.add_done_callback(lambda done: self._over(name, done))
        await asyncio.wait({task}, timeout=within)
        if not task.done():
            task.cancel()
            raise TimeoutError
        return task.result()

    def _over(self, name: str, task: "asyncio.Task[Any]") -> None:
        del self._open[name]
        if not task.cancelled():
            task.exception()
