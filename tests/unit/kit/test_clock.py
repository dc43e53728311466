"""Time moves only when told, ids are ordered by it."""

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.clock import (
    FakeClock,
    SystemClock,
    from_micros,
    jitter,
    micros,
    random_hex,
    random_text,
    uuid7,
)


def test_ids_made_later_sort_later() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [uuid7(start + timedelta(milliseconds=number)) for number in range(100)]
    assert ids == sorted(ids)
    assert {id.version for id in ids} == {7}
    assert {id.variant for id in ids} == {"specified in RFC 4122"}


def test_ids_of_one_instant_differ() -> None:
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    assert len({uuid7(instant) for _ in range(1000)}) == 1000


def test_an_id_made_now_holds_the_time_of_now() -> None:
    before = micros(SystemClock().now()) // 1000
    made = uuid7().int >> 80
    assert before <= made <= micros(SystemClock().now()) // 1000


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_microseconds_are_exact_both_ways(instant: datetime) -> None:
    assert from_micros(micros(instant)) == instant


async def test_sleepers_wake_in_order_of_their_instant() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper(name, s)) for name, s in (("late", 3), ("early", 1), ("never", 9))]
    await clock.advance(5)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert woken == [("early", 1.0), ("late", 3.0)]
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)


async def test_a_sleeper_that_sleeps_again_on_the_way_is_woken_again() -> None:
    clock, ticks = FakeClock(), 0

    async def ticker() -> None:
        nonlocal ticks
        while True:
            await clock.sleep(1)
            ticks += 1

    task = asyncio.create_task(ticker())
    await clock.advance(10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ticks == 10


async def test_a_cancelled_sleeper_does_no_harm() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await clock.advance(2)
    assert clock.monotonic() == 2


def test_jitter_only_shortens_and_never_by_more_than_its_share() -> None:
    drawn = [jitter(10, 0.5) for _ in range(1000)]
    assert min(drawn) >= 5
    assert max(drawn) <= 10
    assert len(set(drawn)) > 10


def test_random_text_uses_its_alphabet() -> None:
    assert set(random_text(500, "ab")) == {"a", "b"}
    assert len(random_text(32)) == 32


@given(st.integers(0, 100), st.integers(1, 256))
def test_random_text_has_the_length_that_was_asked_for(length: int, letters: int) -> None:
    alphabet = "".join(map(chr, range(letters)))
    text = random_text(length, alphabet)
    assert len(text) == length
    assert set(text) <= set(alphabet)


def test_random_text_favours_no_character() -> None:
    alphabet = "".join(map(chr, range(200)))
    drawn = random_text(100_000, alphabet)
    first = sum(ord(character) < 56 for character in drawn)
    assert 0.26 < first / len(drawn) < 0.3, "56 of 200; bytes taken as they come would give 112 of 256"


@given(st.integers(1, 40))
def test_random_hex_has_the_digits_that_were_asked_for(digits: int) -> None:
    drawn = random_hex(digits)
    assert len(drawn) == digits
    assert 0 <= int(drawn, 16) < 16**digits
