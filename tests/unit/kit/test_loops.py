"""Loops come back after a failure, tell that they fail, and give up in the end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.host.loops import Loops
from frameworks.kit.module import InvariantViolated


class Watched:
    """A loop that fails as told, and what became of it."""

    def __init__(self, error: Exception, *, times: int = 10_000) -> None:
        self.clock = FakeClock()
        self.runs = 0
        self.fatal: list[str] = []
        self.error = error
        self.times = times
        self.loops = Loops(self.clock, failures=3, window=300, fatal=self.fatal.append)

    async def work(self) -> None:
        """Fail the first `times` times, then run for ever."""
        self.runs += 1
        if self.runs <= self.times:
            raise self.error
        await asyncio.Event().wait()

    async def run(self, seconds: float, work: Callable[[], Awaitable[None]] | None = None) -> None:
        """Run for a while."""
        self.loops.add("outbox", work or self.work, "commodore")
        self.loops.start()
        await self.clock.advance(seconds)


async def test_a_loop_that_fails_is_restarted_and_its_module_unready_until_it_settles() -> None:
    watched = Watched(LookupError("row 7"), times=1)
    await watched.run(0.6)
    assert watched.runs == 2
    assert watched.loops.failing() == {"commodore": ["outbox"]}
    await watched.clock.advance(6)
    assert watched.loops.failing() == {}
    await watched.loops.stop()
    assert watched.fatal == []


async def test_a_loop_with_a_bug_ends_the_process_after_a_few_tries() -> None:
    watched = Watched(LookupError("row 7"))
    await watched.run(60)
    await watched.loops.stop()
    assert watched.runs == 3
    assert len(watched.fatal) == 1
    assert "row 7" in watched.fatal[0]


@pytest.mark.parametrize("error", [Unavailable("The database is away."), ConnectionRefusedError()])
async def test_a_dependency_that_is_away_is_tried_for_ever_and_ever_more_seldom(error: Exception) -> None:
    watched = Watched(error)
    await watched.run(3600)
    await watched.loops.stop()
    assert 100 < watched.runs < 400
    assert watched.fatal == []
    assert watched.loops.failing() == {"commodore": ["outbox"]}


async def test_a_loop_whose_cancellation_turned_into_a_failure_is_not_begun_again() -> None:
    watched = Watched(Unavailable("away"))
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unavailable("The connection broke meanwhile.") from None

    await watched.run(1, work)
    await asyncio.wait_for(watched.loops.stop(), 60)
    assert begun == 1


async def test_a_violated_invariant_ends_the_process_at_once() -> None:
    watched = Watched(InvariantViolated("the ledger does not balance"))
    await watched.run(60)
    await watched.loops.stop()
    assert watched.runs == 1
    assert "does not balance" in watched.fatal[0]


async def test_bugs_far_apart_do_not_end_the_process() -> None:
    watched = Watched(LookupError("x"))

    async def seldom() -> None:
        await watched.clock.sleep(200)
        await watched.work()

    await watched.run(3600, seldom)
    await watched.loops.stop()
    assert watched.runs > 10
    assert watched.fatal == []


async def test_a_loop_that_returns_is_done() -> None:
    watched = Watched(LookupError("x"), times=0)

    async def once() -> None:
        watched.runs += 1

    await watched.run(60, once)
    await watched.loops.stop()
    assert watched.runs == 1


async def test_loops_wait_for_the_start() -> None:
    watched = Watched(LookupError("x"), times=0)
    watched.loops.add("early", watched.work, "commodore")
    await watched.clock.advance(1)
    assert watched.runs == 0
    watched.loops.start()
    watched.loops.add("late", watched.work, "commodore")
    await watched.clock.advance(1)
    await watched.loops.stop()
    assert watched.runs == 2
