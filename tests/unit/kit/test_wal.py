"""The write-ahead log keeps what it acknowledged, in order, through crashes and full disks."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameworks.kit.files import Disk, DiskRefused
from frameworks.kit.wal import LogFull, WriteAheadLog


def payloads(log: WriteAheadLog) -> list[bytes]:
    return [payload for _, payload in log.pending(max_records=10_000, max_bytes=1 << 30)]


class FullDisk(Disk):
    """A disk that takes `room` bytes and then no more; a refused append leaves nothing behind."""

    def __init__(self, room: int) -> None:
        self._room = room

    def append(self, path: Path, content: bytes) -> None:
        if len(content) > self._room:
            raise DiskRefused("full")
        self._room -= len(content)
        super().append(path, content)


async def test_records_are_read_oldest_first_and_forgotten_on_acknowledgement(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, segment_bytes=64)
    for n in range(20):
        await log.append([b"record %d" % n])
    middle = log.pending(max_records=12)[-1][0]
    await log.acknowledge(middle)
    expected = [b"record %d" % n for n in range(12, 20)]
    assert payloads(log) == expected
    assert payloads(WriteAheadLog(tmp_path, segment_bytes=64)) == expected


async def test_acknowledged_segments_leave_the_disk(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, segment_bytes=32)
    for _ in range(10):
        await log.append([bytes(32)])
    await log.acknowledge(log.pending(max_records=100)[-1][0])
    assert len(list(tmp_path.glob("*.wal"))) <= 1
    assert log.bytes_pending == 0


async def test_concurrent_appends_are_all_durable(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    await asyncio.gather(*(log.append([b"%d" % n]) for n in range(50)))
    assert sorted(payloads(WriteAheadLog(tmp_path)), key=int) == [b"%d" % n for n in range(50)]


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(1, 60), sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_a_torn_tail_costs_only_the_torn_record(
    tmp_path_factory: pytest.TempPathFactory, cut: int, sizes: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("wal")
    records = [bytes([n]) * size for n, size in enumerate(sizes)]

    async def write() -> None:
        log = WriteAheadLog(directory)
        for record in records:
            await log.append([record])

    asyncio.run(write())
    path = next(directory.glob("*.wal"))
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    survived = payloads(WriteAheadLog(directory))
    assert survived == records[: len(survived)]
    assert len(whole) - cut < sum(len(r) + 8 for r in records[: len(survived) + 1])


async def test_a_full_log_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, max_bytes=100)
    await log.append([bytes(60)])
    with pytest.raises(LogFull):
        await log.append([bytes(60)])
    assert payloads(log) == [bytes(60)]


async def test_a_full_disk_refuses_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, files=FullDisk(50))
    await log.append([b"kept"])
    with pytest.raises(DiskRefused):
        await log.append([bytes(60)])
    await log.append([b"also"])
    assert payloads(WriteAheadLog(tmp_path)) == [b"kept", b"also"]


async def test_a_cancelled_writer_does_not_leave_others_waiting(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    first = asyncio.create_task(log.append([b"first"]))
    second = asyncio.create_task(log.append([b"second"]))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    await asyncio.wait_for(log.append([b"third"]), 5)
    assert payloads(log)[-1] == b"third"
