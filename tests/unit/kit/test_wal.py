"""The write-ahead log keeps what it acknowledged, in order, through crashes and full disks."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameworks.kit.files import Disk, DiskRefused
from frameworks.kit.wal import MAX_RECORD, LogFull, WriteAheadLog


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


async def test_records_a_snapshot_does_not_hold_survive_their_acknowledgement(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, segment_bytes=64)
    await log.append([b"held"])
    await log.checkpoint(log.end)
    for number in range(10):
        await log.append([b"%d" % number])
        await log.acknowledge(log.pending(max_records=1)[0][0])
    while pending := log.pending(max_records=5):
        await log.acknowledge(pending[-1][0])
    again = WriteAheadLog(tmp_path, segment_bytes=64)
    assert list(again.since_checkpoint()) == [b"%d" % number for number in range(10)]
    assert again.pending(max_records=5) == []
    assert again.bytes_pending == 0


async def test_a_checkpoint_lets_go_of_what_is_acknowledged_and_never_goes_back(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, segment_bytes=1)
    await log.checkpoint(log.end)
    await log.append([b"one"])
    first = log.end
    await log.append([b"two"])
    await log.acknowledge(log.end)
    assert len(list(tmp_path.glob("*.wal"))) == 2
    await log.checkpoint(log.end)
    await log.checkpoint(first)
    assert list(log.since_checkpoint()) == []
    assert len(list(tmp_path.glob("*.wal"))) == 1


class CountingDisk(Disk):
    """A disk that counts its durable writes."""

    def __init__(self) -> None:
        self.writes = 0

    def append(self, path: Path, content: bytes) -> None:
        self.writes += 1
        super().append(path, content)


async def test_concurrent_appends_share_their_syncs(tmp_path: Path) -> None:
    disk = CountingDisk()
    log = WriteAheadLog(tmp_path, files=disk)
    await asyncio.gather(*(log.append([b"%d" % n]) for n in range(200)))
    assert len(payloads(log)) == 200
    assert disk.writes == 1


async def test_records_of_any_size_are_read_whole(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    records = [bytes([number]) * size for number, size in enumerate([1, MAX_RECORD, 0, 300_000, 5, 200_000])]
    await log.append(records)
    assert payloads(log) == records
    assert list(log.since_checkpoint()) == records
    behind_two = log.pending(max_records=2, max_bytes=1 << 30)[-1][0]
    assert log.bytes_behind(behind_two) == sum(len(record) + 8 for record in records[2:])
    assert log.pending(max_records=1, after=behind_two)[0][1] == records[2]


async def test_a_segment_that_somebody_shortened_is_told(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    await log.append([bytes(100)])
    segment = next(tmp_path.glob("*.wal"))
    segment.write_bytes(segment.read_bytes()[:50])
    with pytest.raises(EOFError):
        log.pending(max_records=1)


async def test_refused_records_are_kept_beside_the_log_within_bounds(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    for n in range(100):
        log.quarantine(b"%03d" % n + bytes(1000), limit=10_000)
    kept = [(tmp_path / name).read_bytes() for name in ("refused.old.bin", "refused.bin")]
    assert b"099" in kept[1]
    assert all(len(part) <= 12_000 for part in kept)
    assert payloads(WriteAheadLog(tmp_path)) == []


async def test_an_acknowledgement_that_was_not_kept_only_sends_again(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    await log.append([b"a", b"b"])
    cursor = tmp_path / "acknowledged"
    await log.acknowledge(log.pending(max_records=1)[0][0])
    before = cursor.read_bytes()
    await log.acknowledge(log.pending(max_records=1)[0][0])
    cursor.write_bytes(before)
    assert payloads(WriteAheadLog(tmp_path)) == [b"b"]
