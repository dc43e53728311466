"""The last known answer of a peer."""

import asyncio

import pytest

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import NotFound, Unavailable
from frameworks.kit.stale import Ages, StaleCache


class Source:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None

    async def answer(self, key: str) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return self.asked


def _cache(size: int = 10) -> tuple[StaleCache[str, int], Source, FakeClock]:
    source, clock = Source(), FakeClock()
    return StaleCache(source.answer, clock, Ages(fresh=5, stale=60), size=size), source, clock


async def test_a_fresh_answer_is_not_asked_for_again() -> None:
    cache, source, clock = _cache()
    assert [await cache.get("a"), await cache.get("a")] == [1, 1]
    await clock.advance(6)
    assert await cache.get("a") == 2
    cache.drop("a")
    assert await cache.get("a") == 3
    assert source.asked == 3


async def test_many_who_ask_at_once_cause_one_question() -> None:
    cache, source, _ = _cache()
    assert await asyncio.gather(*(cache.get("a") for _ in range(20))) == [1] * 20
    assert source.asked == 1
    assert not cache._loading


async def test_a_stale_answer_serves_while_its_source_is_away() -> None:
    cache, source, clock = _cache()
    await cache.get("a")
    source.fault = Unavailable("away")
    await clock.advance(60)
    assert await cache.get("a") == 1
    await clock.advance(1)
    with pytest.raises(Unavailable):
        await cache.get("a")
    assert await cache.get("a", stale=100) == 1


async def test_a_refusal_is_passed_on() -> None:
    cache, source, clock = _cache()
    await cache.get("a")
    source.fault = NotFound("gone")
    await clock.advance(6)
    with pytest.raises(NotFound):
        await cache.get("a")


async def test_only_so_many_answers_are_kept() -> None:
    cache, source, _ = _cache(size=2)
    for key in ("a", "b", "c", "a"):
        await cache.get(key)
    assert source.asked == 4


async def test_an_answer_asked_for_before_a_drop_is_not_kept() -> None:
    answers, clock = [1, 2], FakeClock()
    gate = asyncio.Event()

    async def load(key: str) -> int:
        found = answers.pop(0)
        if found == 1:
            await gate.wait()
        return found

    cache: StaleCache[str, int] = StaleCache(load, clock, Ages(fresh=5, stale=60))
    early = asyncio.ensure_future(cache.get("a"))
    await asyncio.sleep(0)
    cache.drop("a")
    gate.set()
    assert await early == 1
    assert await cache.get("a") == 2
