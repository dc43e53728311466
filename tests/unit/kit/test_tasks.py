"""Background work is bounded, watched and ended."""

import asyncio
import gc
import io
import json

import pytest

from frameworks.kit import log
from frameworks.kit.tasks import Busy, Tasks, end


async def test_leaving_the_block_cancels_what_runs() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Tasks("mist", limit=2) as tasks:
        await tasks.start(work(), name="forever")
        await asyncio.sleep(0)
    assert ended.is_set()
    assert len(tasks) == 0


async def test_a_task_that_lost_its_cancellation_is_cancelled_again() -> None:
    async def deaf(times: int) -> None:
        for _ in range(times):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(deaf(times)) for times in range(3)]
    await asyncio.sleep(0)
    await asyncio.wait_for(end(tasks, again=0.01), 60)
    assert all(task.cancelled() for task in tasks)
    await end(tasks)


async def test_nobody_complains_of_a_failure_that_was_to_end_anyway() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said["message"]))

    async def fails(at_once: bool) -> None:
        try:
            await asyncio.sleep(0 if at_once else 3600)
        finally:
            raise OSError("the peer is gone")

    tasks = [asyncio.create_task(fails(at_once)) for at_once in (True, False)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await end(tasks)
    del tasks
    gc.collect()
    assert complaints == []


async def test_there_is_no_room_beyond_the_limit() -> None:
    async with Tasks("mist", limit=1) as tasks:
        tasks.start_now(asyncio.Event().wait(), name="first")  # type: ignore[arg-type]
        with pytest.raises(Busy):
            tasks.start_now(asyncio.Event().wait(), name="second")  # type: ignore[arg-type]


async def test_start_waits_for_room() -> None:
    gate, order = asyncio.Event(), []

    async def first() -> None:
        await gate.wait()
        order.append("first")

    async def second() -> None:
        order.append("second")

    async with Tasks("mist", limit=1) as tasks:
        await tasks.start(first(), name="first")
        waiting = asyncio.create_task(tasks.start(second(), name="second"))
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        await (await waiting)
    assert order == ["first", "second"]


async def test_one_that_fails_is_logged_and_leaves_the_others_alone() -> None:
    stream = io.StringIO()
    log.setup(stream=stream)
    other = asyncio.Event()

    async def broken() -> None:
        raise LookupError("x")

    async def fine() -> None:
        other.set()

    async with Tasks("mist", limit=2) as tasks:
        failed = tasks.start_now(broken(), name="broken one")
        await tasks.start_now(fine(), name="fine")
        await asyncio.wait({failed})
        await asyncio.sleep(0)
    assert other.is_set()
    line = json.loads(stream.getvalue())
    assert (line["event"], line["task"]) == ("task.failed", "broken one")


async def test_a_closed_group_takes_no_work() -> None:
    async with Tasks("mist", limit=1) as tasks:
        pass
    with pytest.raises(Busy):
        tasks.start_now(asyncio.Event().wait(), name="late")  # type: ignore[arg-type]
