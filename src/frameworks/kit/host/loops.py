"""Loops that run as long as their module: restarted with back-off, unready while failing, at last fatal."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from frameworks.kit import log, metrics
from frameworks.kit.clock import Clock, jitter
from frameworks.kit.errors import Unavailable
from frameworks.kit.module import InvariantViolated
from frameworks.kit.tasks import end

_FAILURES = metrics.counter(
    "frameworks_loop_failures_total",
    "Times a background loop failed and was restarted; look for loop.failed in the log.",
    ("service", "loop"),
)
_FIRST = 0.5
_LONGEST = 30.0
_WORDS = 300
_SETTLED = 5.0
"""Seconds a restarted loop has to run before its module counts as ready again."""


@dataclass(slots=True)
class Loop:
    """One loop of one module."""

    name: str
    module: str
    work: Callable[[], Awaitable[None]]
    failing: bool = False
    ended: bool = False
    attempts: int = 0
    restarts: int = 0
    last_error: str = ""
    failures: deque[float] = field(default_factory=deque)


class Loops:
    """The loops of a process; they start together, once every module has started."""

    def __init__(self, clock: Clock, *, failures: int, window: float, fatal: Callable[[str], None]) -> None:
        self._clock = clock
        self._limit = failures
        self._window = window
        self._fatal = fatal
        self._loops: list[Loop] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._running = False

    def add(self, name: str, work: Callable[[], Awaitable[None]], module: str) -> None:
        """Run `work` as a loop of `module`."""
        loop = Loop(name, module, work)
        self._loops.append(loop)
        if self._running:
            self._start(loop)

    def start(self) -> None:
        """Start what was added, and from now on what is added."""
        self._running = True
        for loop in self._loops:
            self._start(loop)

    async def stop(self) -> None:
        """Cancel every loop and wait for its end."""
        self._running = False
        await end(self._tasks)

    def failing(self) -> dict[str, list[str]]:
        """Modules with loops that fail at the moment."""
        found: dict[str, list[str]] = {}
        for loop in self._loops:
            if loop.failing:
                found.setdefault(loop.module, []).append(loop.name)
        return found

    def states(self) -> list[dict[str, object]]:
        """Every loop: its state, how often it was restarted, and why the last time."""
        return [
            {
                "module": loop.module,
                "loop": loop.name,
                "state": "failing" if loop.failing else ("ended" if loop.ended else "running"),
                "restarts": loop.restarts,
                "last_error": loop.last_error,
            }
            for loop in self._loops
        ]

    def _start(self, loop: Loop) -> None:
        name = f"{loop.module}: {loop.name}"
        self._tasks.append(asyncio.get_running_loop().create_task(self._supervise(loop), name=name))

    async def _supervise(self, loop: Loop) -> None:
        logger = log.get(loop.module, loop=loop.name)
        while True:
            try:
                await self._run(loop)
                return
            except InvariantViolated as error:
                logger.error("invariant.violated", exc_info=error)
                loop.last_error = _words(error)
                self._fatal(f"{loop.module}: {loop.name}: {error}")
                return
            except (Unavailable, OSError) as error:
                logger.warning("loop.failed", reason=str(error))
                loop.last_error = _words(error)
            except Exception as error:
                logger.error("loop.failed", exc_info=error)
                loop.last_error = _words(error)
                if self._exhausted(loop):
                    self._fatal(f"{loop.module}: {loop.name} failed {self._limit} times: {error!r}")
                    return
            if not self._running:  # what failed while it was being cancelled is not begun again
                return
            _FAILURES.labels(loop.module, loop.name).inc()
            loop.failing = True
            loop.attempts += 1
            loop.restarts += 1
            await self._clock.sleep(jitter(min(_LONGEST, _FIRST * 2 ** min(loop.attempts - 1, 10))))

    async def _run(self, loop: Loop) -> None:
        """Run the work until it ends; once it has run for a while, its module is well again."""
        settled = asyncio.ensure_future(self._settle(loop))
        try:
            await loop.work()
            loop.failing, loop.ended = False, True
        finally:
            settled.cancel()

    async def _settle(self, loop: Loop) -> None:
        await self._clock.sleep(_SETTLED)
        loop.failing = False
        loop.attempts = 0

    def _exhausted(self, loop: Loop) -> bool:
        """Whether bugs (not dependencies that are away) have used up the loop's budget."""
        now = self._clock.monotonic()
        loop.failures.append(now)
        while loop.failures[0] < now - self._window:
            loop.failures.popleft()
        return len(loop.failures) >= self._limit


def _words(error: Exception) -> str:
    """What went wrong, in one short line; of a bug only its kind, since its text may hold anything."""
    if isinstance(error, Unavailable | OSError):
        return str(error)[:_WORDS]
    return f"A bug ({type(error).__name__}): look for loop.failed in the log."
