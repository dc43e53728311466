"""Deadlines: late by a tick at most, never for what was taken out."""

import asyncio

from frameworks.kit.rpc.deadlines import TICK, Deadlines


class Waiting:
    """Notes when its deadline came."""

    def __init__(self) -> None:
        self.expired: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def expire(self) -> None:
        self.expired.set_result(asyncio.get_running_loop().time())


async def test_what_is_due_in_one_tick_expires_together_and_not_before_its_time() -> None:
    deadlines, first, second = Deadlines(), Waiting(), Waiting()
    when = asyncio.get_running_loop().time() + TICK
    assert deadlines.add(first, when) is deadlines.add(second, when)
    assert min(await first.expired, await second.expired) >= when


async def test_what_was_taken_out_does_not_expire() -> None:
    deadlines, left, last = Deadlines(), Waiting(), Waiting()
    when = asyncio.get_running_loop().time() + TICK
    deadlines.add(left, when).discard(left)
    deadlines.add(last, when)
    await last.expired
    assert not left.expired.done()
