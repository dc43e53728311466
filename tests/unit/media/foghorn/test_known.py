"""Known streams: one question at a time, stale answers while Commodore is away, misses remembered briefly."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from foghorn_fakes import PLAYBACK, STREAM, Commodore, Memory

from frameworks.kit.clock import FakeClock, micros
from frameworks.kit.errors import NotFound, Unavailable
from frameworks.media.foghorn.service.known import KnownStreams
from frameworks.media.foghorn.store import KnownFile

HOUR = 3600


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def commodore() -> Commodore:
    return Commodore()


@pytest.fixture
def memory() -> Memory:
    return Memory()


def streams(commodore: Commodore, memory: Memory, clock: FakeClock) -> KnownStreams:
    return KnownStreams(commodore, memory, clock, fresh=timedelta(seconds=10), stale=timedelta(hours=24))


async def test_a_fresh_answer_is_not_asked_for_again(
    commodore: Commodore, memory: Memory, clock: FakeClock
) -> None:
    known = streams(commodore, memory, clock)
    first = await known.resolve(PLAYBACK)
    await clock.advance(9)
    assert await known.resolve(PLAYBACK) == first
    assert (commodore.asked, first.resolved_at) == (1, micros(clock.now()) - 9_000_000)
    await clock.advance(2)
    await known.resolve(PLAYBACK)
    assert commodore.asked == 2


async def test_a_crowd_asks_one_question(commodore: Commodore, memory: Memory, clock: FakeClock) -> None:
    known, commodore.gate = streams(commodore, memory, clock), asyncio.Event()
    crowd = [asyncio.create_task(known.resolve(PLAYBACK)) for _ in range(100)]
    await clock.advance(0)
    commodore.gate.set()
    answers = await asyncio.gather(*crowd)
    assert {answer.internal_name for answer in answers} == {STREAM.internal_name}
    assert commodore.asked == 1


async def test_a_viewer_that_gives_up_does_not_take_the_answer_from_the_others(
    commodore: Commodore, memory: Memory, clock: FakeClock
) -> None:
    known, commodore.gate = streams(commodore, memory, clock), asyncio.Event()
    impatient, patient = (asyncio.create_task(known.resolve(PLAYBACK)) for _ in range(2))
    await clock.advance(0)
    impatient.cancel()
    commodore.gate.set()
    assert (await patient).stream_id == STREAM.stream_id
    assert impatient.cancelled()


async def test_a_stale_answer_serves_a_day_while_commodore_is_away(
    commodore: Commodore, memory: Memory, clock: FakeClock
) -> None:
    known = streams(commodore, memory, clock)
    await known.resolve(PLAYBACK)
    commodore.away = True
    await clock.advance(23 * HOUR)
    assert (await known.resolve(PLAYBACK)).stream_id == STREAM.stream_id
    await clock.advance(2 * HOUR)
    with pytest.raises(Unavailable):
        await known.resolve(PLAYBACK)


async def test_a_stream_never_seen_can_not_be_served_while_commodore_is_away(
    commodore: Commodore, memory: Memory, clock: FakeClock
) -> None:
    commodore.away = True
    with pytest.raises(Unavailable):
        await streams(commodore, memory, clock).resolve(PLAYBACK)


async def test_a_miss_is_remembered_for_two_seconds(
    commodore: Commodore, memory: Memory, clock: FakeClock
) -> None:
    known = streams(commodore, memory, clock)
    commodore.streams.clear()
    for _ in range(50):
        with pytest.raises(NotFound):
            await known.resolve(PLAYBACK)
    assert commodore.asked == 1
    commodore.streams[PLAYBACK] = STREAM
    await clock.advance(3)
    assert (await known.resolve(PLAYBACK)).stream_id == STREAM.stream_id


async def test_a_deleted_stream_is_forgotten_for_good(
    commodore: Commodore, memory: Memory, clock: FakeClock
) -> None:
    known = streams(commodore, memory, clock)
    await known.resolve(PLAYBACK)
    commodore.streams.clear()
    await clock.advance(11)
    with pytest.raises(NotFound):
        await known.resolve(PLAYBACK)
    commodore.away = True
    await clock.advance(11)
    with pytest.raises(Unavailable):
        await known.resolve(PLAYBACK)
    known.save()
    assert memory.kept == []


async def test_what_is_known_survives_a_restart(
    commodore: Commodore, clock: FakeClock, tmp_path: Path
) -> None:
    file = KnownFile(tmp_path / "known.bin")
    known = KnownStreams(commodore, file, clock, fresh=timedelta(seconds=10), stale=timedelta(hours=24))
    await known.resolve(PLAYBACK)
    known.save()
    commodore.away = True
    await clock.advance(60)
    again = KnownStreams(commodore, file, clock, fresh=timedelta(seconds=10), stale=timedelta(hours=24))
    assert (await again.resolve(PLAYBACK)).title == STREAM.title


async def test_nothing_is_written_when_nothing_changed(
    commodore: Commodore, memory: Memory, clock: FakeClock
) -> None:
    known = streams(commodore, memory, clock)
    known.save()
    await known.resolve(PLAYBACK)
    known.save()
    known.save()
    assert memory.writes == 1


def test_a_file_that_is_no_memory_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "known.bin").write_bytes(b"\xc1 not msgpack")
    assert KnownFile(tmp_path / "known.bin").read() == []
