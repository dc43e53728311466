"""Batches grow by themselves while the one before is being stored; one is stored at a time, and then committed."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from frameworks.data.periscope.consumers import Batching, Consumer
from frameworks.data.periscope.service.ingest import Arrived, Taken
from frameworks.kit.clock import FakeClock
from frameworks.kit.eventlog import EventLog, Record


@dataclass
class Log:
    """One topic with one partition, which always answers at once."""

    waiting: list[Record] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)
    partitions = frozenset({0})

    def append(self, *offsets: int) -> None:
        """Records of one event each."""
        self.waiting += [Record("t", 0, offset, b"", {}, 0) for offset in offsets]

    @asynccontextmanager
    async def subscribe(self, topic: str, *, group: str) -> AsyncIterator["Log"]:
        """The one reader."""
        yield self

    async def fetch(self, most: int, timeout: float) -> list[Record]:
        """What is there."""
        await asyncio.sleep(0)
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    async def commit(self, records: Sequence[Record]) -> None:
        """Remember what was committed together."""
        self.committed.append(records[-1].offset)

    async def lags(self) -> Mapping[int, int]:
        """Nothing waits."""
        return {}


@dataclass
class Sink:
    """Stores a batch when it is told to."""

    batches: list[list[str]] = field(default_factory=list)
    storing: int = 0
    may: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def store_of(self, headers: Mapping[str, str]) -> str:
        """There is one."""
        return ""

    async def take(self, batch: Sequence[Arrived]) -> Taken:
        """One batch at a time."""
        assert not self.storing
        self.storing += 1
        sources = [source for arrived in batch for source in arrived.sources]
        self.batches.append([source.origin.rpartition("/")[2] for source in sources])
        await self.may.acquire()
        self.storing -= 1
        return Taken(len(sources), 0)


@asynccontextmanager
async def consuming(log: Log, sink: Sink, batching: Batching) -> AsyncIterator[None]:
    """A consumer at work."""
    consumer = Consumer(cast(EventLog, log), sink, FakeClock(), batching)
    running = asyncio.create_task(consumer.run())
    await settle()
    yield
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})


async def settle() -> None:
    """Let everything that can run do so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_what_comes_while_a_batch_is_being_stored_is_one_batch() -> None:
    log, sink = Log(), Sink()
    async with consuming(log, sink, Batching()):
        for offset in range(1, 5):
            log.append(offset)
            await settle()
        assert (sink.batches, log.committed) == ([["1"]], [])
        sink.may.release()
        await settle()
        assert (sink.batches, log.committed) == ([["1"], ["2", "3", "4"]], [1])
        sink.may.release()
        await settle()
        assert log.committed == [1, 4]


async def test_a_batch_that_waits_grows_no_further_than_its_bound() -> None:
    log, sink = Log(), Sink()
    async with consuming(log, sink, Batching(records=2)):
        log.append(1)
        await settle()
        log.append(2, 3, 4, 5, 6)
        await settle()
        assert [record.offset for record in log.waiting] == [4, 5, 6]
        for _ in range(3):
            sink.may.release()
            await settle()
        assert sink.batches == [["1"], ["2", "3"], ["4", "5"], ["6"]]
        assert log.committed == [1, 3, 5]


async def test_an_idle_reader_stores_what_comes_at_once() -> None:
    log, sink = Log(), Sink()
    sink.may.release()
    async with consuming(log, sink, Batching()):
        log.append(1)
        await settle()
        assert (sink.batches, log.committed) == ([["1"]], [1])
        log.append(2)
        await settle()
        assert sink.batches == [["1"], ["2"]]
