"""A write-ahead log on disk: append durably, read oldest first, forget on acknowledgement.

Records live in numbered segment files, each record framed as length, CRC-32, payload; a torn tail (a crash in the
middle of a write) is dropped when the log is opened, because it was never acknowledged. The position up to which
everything is acknowledged is kept beside the segments; it may lag after a crash, then records are sent again.

Who derives state from its own records keeps a snapshot and says with `checkpoint` which records it holds: the others
stay, acknowledged or not, and `since_checkpoint` reads them after a restart.
"""

import asyncio
import io
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.files import Disk, Files

_HEADER = struct.Struct("<II")
MAX_RECORD = 1 << 20
_READ = 256 << 10
"""Bytes read at once; a record that is longer is read whole."""


class LogFull(Unavailable):
    """The log holds as much as it may; its reader has been away too long."""

    code = "wal.full"


class RecordTooLarge(Refusal):
    """One record over MAX_RECORD: sending it again will not help."""

    code = "wal.record_too_large"


class Position(NamedTuple):
    """Where a record ends: segment number and byte offset."""

    segment: int
    offset: int


@dataclass(slots=True)
class _Append:
    frames: bytes
    done: "asyncio.Future[None]"


class WriteAheadLog:
    """One writer, one reader, one directory."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = 256 << 20,
        segment_bytes: int = 4 << 20,
        files: Files | None = None,
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._files = files or Disk()
        self._waiting: deque[_Append] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.arrived = asyncio.Event()
        """Set when a record was appended; the reader clears it."""
        directory.mkdir(parents=True, exist_ok=True)
        self._acknowledged = self._read_cursor("acknowledged")
        self._checkpoint = self._read_cursor("checkpoint") if self._has("checkpoint") else None
        self._sizes = {int(p.stem): self._sound_size(p) for p in sorted(directory.glob("*.wal"))}
        self._drop_unneeded()

    @property
    def end(self) -> Position:
        """Where the newest durable record ends."""
        newest = max(self._sizes, default=self._acknowledged.segment)
        return max(self._acknowledged, Position(newest, self._sizes.get(newest, 0)))

    @property
    def bytes_pending(self) -> int:
        """Bytes on disk that are not acknowledged yet."""
        return self.bytes_behind(self._acknowledged)

    def bytes_behind(self, position: Position | None) -> int:
        """Bytes on disk behind `position`, or not acknowledged yet."""
        segment, offset = position or self._acknowledged
        total = sum(size for number, size in self._sizes.items() if number >= segment)
        return max(0, total - offset) if segment in self._sizes else total

    async def append(self, payloads: Sequence[bytes]) -> None:
        """Make `payloads` durable, in order; concurrent appends share one fsync.

        Raises LogFull and DiskRefused (later it may work), RecordTooLarge (it never will).
        """
        if any(len(payload) > MAX_RECORD for payload in payloads):
            raise RecordTooLarge("A record is larger than the write-ahead log takes.", limit=MAX_RECORD)
        frames = b"".join(_HEADER.pack(len(p), zlib.crc32(p)) + p for p in payloads)
        entry = _Append(frames, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await entry.done

    async def _write(self) -> None:
        """Write what waits until nothing does; a task of its own, because whoever waits may be cancelled."""
        while self._waiting:
            entries = list(self._waiting)
            self._waiting.clear()
            content = b"".join([entry.frames for entry in entries])
            if self.bytes_pending + len(content) > self._max_bytes:
                _tell(entries, LogFull("The write-ahead log is full: its reader has been away too long."))
                continue
            number = self._current_segment()
            loop = asyncio.get_running_loop()
            writing = loop.run_in_executor(None, self._files.append, self._path(number), content)
            await asyncio.wait({writing})
            failure = writing.exception()
            if failure is None:
                self._sizes[number] = self._sizes.get(number, 0) + len(content)
                self.arrived.set()
            _tell(entries, failure)

    def pending(
        self, *, max_records: int, max_bytes: int = 1 << 20, after: Position | None = None
    ) -> list[tuple[Position, bytes]]:
        """The oldest unacknowledged records, or the oldest behind `after`, with the position that acknowledges each."""
        found: list[tuple[Position, bytes]] = []
        room = max_bytes
        for position, payload in self._records(after or self._acknowledged):
            if len(found) == max_records or (found and len(payload) > room):
                break
            found.append((position, payload))
            room -= len(payload)
        return found

    async def acknowledge(self, position: Position) -> None:
        """Everything up to and including `position` is durable elsewhere; forget it. Raises DiskRefused."""
        if position <= self._acknowledged:
            return
        cursor = f"{position.segment} {position.offset}".encode()
        await asyncio.to_thread(self._files.replace, self._directory / "acknowledged", cursor)
        self._acknowledged = position
        self._drop_unneeded()

    async def checkpoint(self, position: Position) -> None:
        """A snapshot elsewhere holds every record up to `position`. Raises DiskRefused."""
        if self._checkpoint is not None and position <= self._checkpoint:
            return
        cursor = f"{position.segment} {position.offset}".encode()
        await asyncio.to_thread(self._files.replace, self._directory / "checkpoint", cursor)
        self._checkpoint = position
        self._drop_unneeded()

    def since_checkpoint(self) -> Iterator[bytes]:
        """The records no snapshot holds, oldest first, acknowledged or not."""
        return (payload for _, payload in self._records(self._checkpoint or Position(0, 0)))

    def quarantine(self, payload: bytes, *, limit: int = 16 << 20) -> None:
        """Keep a record its receiver will never take, for a person to look at; bounded by dropping the oldest file."""
        path = self._directory / "refused.bin"
        if path.exists() and path.stat().st_size > limit:
            path.replace(self._directory / "refused.old.bin")
        self._files.append(path, _HEADER.pack(len(payload), zlib.crc32(payload)) + payload)

    def _records(self, after: Position) -> Iterator[tuple[Position, bytes]]:
        for number in sorted(self._sizes):
            if number < after.segment:
                continue
            at = after.offset if number == after.segment else 0
            with self._path(number).open("rb", buffering=0) as file:
                while at < self._sizes[number]:
                    start = at
                    for at, payload in _whole(_read(file, start, self._sizes[number]), start):
                        yield Position(number, at), payload

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:012d}.wal"

    def _current_segment(self) -> int:
        newest = max(self._sizes, default=self._acknowledged.segment)
        full = self._sizes.get(newest, 0) >= self._segment_bytes
        return newest + 1 if full else newest

    def _drop_unneeded(self) -> None:
        oldest = min(self._acknowledged, self._checkpoint or self._acknowledged)
        for number in [n for n in self._sizes if n < oldest.segment]:
            self._path(number).unlink(missing_ok=True)
            del self._sizes[number]

    def _has(self, cursor: str) -> bool:
        return (self._directory / cursor).exists()

    def _read_cursor(self, name: str) -> Position:
        if not self._has(name):
            return Position(0, 0)
        segment, offset = (self._directory / name).read_bytes().split()
        return Position(int(segment), int(offset))

    @staticmethod
    def _sound_size(path: Path) -> int:
        """Bytes of whole, intact records; the torn rest is cut off so that appends follow sound records."""
        sound = 0
        with path.open("r+b") as file:
            while len(header := file.read(_HEADER.size)) == _HEADER.size:
                length, checksum = _HEADER.unpack(header)
                payload = file.read(length) if length <= MAX_RECORD else b""
                if len(payload) != length or zlib.crc32(payload) != checksum:
                    break
                sound = file.tell()
            file.truncate(sound)
        return sound


def _read(file: io.FileIO, start: int, end: int) -> bytes:
    """Bytes from `start` on that hold a record at least, because records lie between `start` and `end`."""
    file.seek(start)
    content = file.read(min(_READ, end - start))
    length, _ = _HEADER.unpack_from(content)
    whole = _HEADER.size + length
    if len(content) < whole:
        content += file.read(whole - len(content))
    if len(content) < whole:
        raise EOFError(f"{file.name!r} is shorter than what was written.")
    return content


def _whole(content: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """The whole records in bytes that begin at `start` of a segment, each with the offset where it ends."""
    body, size = _HEADER.size, len(content)
    while body <= size:
        length, _ = _HEADER.unpack_from(content, body - _HEADER.size)
        end = body + length
        if end > size:
            return
        yield start + end, content[body:end]
        body = end + _HEADER.size


def _tell(entries: Sequence[_Append], failure: BaseException | None) -> None:
    """Every waiter of one write learns how it ended."""
    for entry in entries:
        if entry.done.done():
            continue
        if failure is None:
            entry.done.set_result(None)
        else:
            entry.done.set_exception(failure)
            entry.done.exception()  # a waiter that was cancelled never looks
