"""chDB connections, each used by one request at a time, on threads; a request's settings end with it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

import chdb

from frameworks.engines.clickhouse_server.allowed import literal
from frameworks.engines.clickhouse_server.problems import (
    NOT_ENOUGH_SPACE,
    TOO_MANY_QUERIES,
    from_engine,
    problem,
)
from frameworks.engines.clickhouse_server.requests import Work
from frameworks.kit.clickhouse_sql import insert_from

T = TypeVar("T")
FIRST_PART = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `body` is everything, unless `more` gives further parts."""

    body: bytes
    rows_read: int = 0
    rows_written: int = 0
    more: Callable[[], bytes] | None = None
    cancel: Callable[[], None] | None = None


class Connection:
    """One chDB connection and what is set on it at the moment."""

    def __init__(self, address: str) -> None:
        self._chdb: Any = chdb.connect(address)
        self.applied: dict[str, str] = {}
        self.database = "default"

    def close(self) -> None:
        """Close it; running statements end."""
        self._chdb.close()

    def run(self, work: Work) -> Answer:
        """Do the work; raises Problem."""
        try:
            self._prepare(work)
            if work.input_format:
                return self._insert(work)
            if work.streams:
                return self._stream(work)
            result = self._chdb.query(work.sql, work.output_format, params=dict(work.parameters))
            return Answer(result.bytes(), result.storage_rows_read(), result.rows_written())
        except RuntimeError as error:
            raise from_engine(str(error)) from error

    def _prepare(self, work: Work) -> None:
        """Set what differs from the request before, so that a client repeating itself pays nothing."""
        if self.database != work.database:
            self._chdb.query("USE " + _name(work.database), "Null")
            self.database = work.database
        for name in [name for name in self.applied if name not in work.settings]:
            self._chdb.query(f"SET {name} = DEFAULT", "Null")
            del self.applied[name]
        for name, value in work.settings.items():
            if self.applied.get(name) != value:
                self._chdb.query(f"SET {name} = {literal(value)}", "Null")
                self.applied[name] = value

    def _insert(self, work: Work) -> Answer:
        """Rows go in as a file in memory: chDB's stream of rows says nothing of a disk that was full."""
        with _as_file(work.rows) as path:
            sql = f"{insert_from(work.sql, path)} FORMAT {work.input_format}"
            return Answer(b"", rows_written=self._chdb.query(sql, "Null").rows_written())

    def _stream(self, work: Work) -> Answer:
        """The first part of the answer, which is all of most answers."""
        stream = self._chdb.send_query(work.sql, work.output_format, params=dict(work.parameters))

        def more() -> bytes:
            try:
                part = stream.fetch()
            except RuntimeError as error:
                raise from_engine(str(error)) from error
            return b"" if part is None else bytes(part.bytes())

        parts: list[bytes] = []
        size = 0
        while size < FIRST_PART:
            part = more()
            if not part:
                return Answer(b"".join(parts))
            parts.append(part)
            size += len(part)
        return Answer(b"".join(parts), more=more, cancel=stream.cancel)


class Pool:
    """A fixed number of connections; who asks for one waits in a bounded queue."""

    def __init__(self, address: str, size: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="chdb")
        self._address = address
        self._size = size
        self._may_wait = waiting
        self._waiting = 0
        self._free: list[Connection] = []
        self._slots = asyncio.Semaphore(size)

    async def open(self) -> None:
        """Open every connection, so that a damaged store shows at start."""
        self._free = [await self.on_thread(lambda: Connection(self._address)) for _ in range(self._size)]

    async def close(self) -> None:
        """Close what is idle and end the threads once their work is done."""
        for connection in self._free:
            await self.on_thread(connection.close)
        self._threads.shutdown()

    async def on_thread(self, call: Callable[[], T]) -> T:
        """Run a blocking call on one of the pool's threads, to its end even when nobody waits any more."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise

    @asynccontextmanager
    async def connection(self, work: Work) -> AsyncIterator[Connection]:
        """A connection, if there is one with this request's settings on it; Problem when too many wait."""
        if self._waiting >= self._may_wait:
            raise problem(TOO_MANY_QUERIES, "Too many simultaneous queries.", "TOO_MANY_SIMULTANEOUS_QUERIES")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        likely = [c for c in self._free if c.applied == work.settings and c.database == work.database]
        connection = likely[-1] if likely else self._free[-1]
        self._free.remove(connection)
        try:
            yield connection
        finally:
            self._free.append(connection)
            self._slots.release()


def _new_file() -> IO[bytes]:
    if sys.platform == "linux":
        return open(os.memfd_create("rows"), "w+b", buffering=0)
    return TemporaryFile(buffering=0)


@contextmanager
def _as_file(rows: bytes) -> Iterator[str]:
    """The path of a file with these bytes; it is in memory where the system can do that."""
    with _new_file() as file:
        try:
            left = memoryview(rows)
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise problem(
                NOT_ENOUGH_SPACE, f"No room for the rows: {error.strerror}.", "NOT_ENOUGH_SPACE"
            ) from error
        yield f"/dev/fd/{file.fileno()}"


def address(store: Path, config: Path) -> str:
    """What chDB opens."""
    return f"{store}?config-file={config}"


def _name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
