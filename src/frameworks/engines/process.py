"""A supervised child process: dies with us, is restarted if it dies, stops when told; its log is bounded."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, Protocol, cast

from frameworks.kit import log
from frameworks.kit.clock import Clock, SystemClock, jitter
from frameworks.kit.errors import Unavailable

Probe = Callable[[], Awaitable[bool]]

PROBE_EVERY = 0.02
DEATHS_WHILE_STARTING = 4
BACKOFF_FIRST, BACKOFF_LAST = 0.1, 10.0
LIVED_LONG = 60.0
TAIL = 1_500


class ProcessFailed(Unavailable):
    """A child that could not be started or did not become ready; the message quotes the end of its log."""

    code = "process.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run, and how to end it: each of `stop_signals` gets `grace` seconds, then SIGKILL."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: tuple[int, int] | None = None
    """(uid, gid) to run as; None is our own."""
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    grace: float = 10.0


class BoundedLog:
    """A log file and one older generation of it, each at most `limit` bytes."""

    def __init__(self, path: Path, limit: int = 8 * 1024 * 1024) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._limit = limit
        self._file = self._open()

    def write(self, chunk: bytes) -> None:
        """Append, moving the file aside first when it would grow past the limit; a full disk loses the lines."""
        with suppress(OSError):
            if self._file.tell() + len(chunk) > self._limit:
                self._turn_over()
            self._file.write(chunk[-self._limit :])

    def _turn_over(self) -> None:
        if self.path.exists():
            self.path.replace(self.path.with_suffix(".log.1"))
        fresh = self._open()
        self._file.close()
        self._file = fresh

    def _open(self) -> FileIO:
        return FileIO(self.path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))

    def tail(self) -> str:
        """The last lines, for an error message."""
        text = self.path.read_bytes()[-TAIL:] if self.path.exists() else b""
        return text.decode(errors="replace").strip()

    def close(self) -> None:
        """Close the file; a later write is a bug."""
        self._file.close()


class _Output(asyncio.Protocol):
    """Copies what the child prints to its log."""

    def __init__(self, file: BoundedLog) -> None:
        self._file = file
        self._transport: asyncio.BaseTransport | None = None
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._file.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def close(self) -> None:
        """Stop reading, even when a grandchild still holds the pipe."""
        if self._transport is not None:
            self._transport.close()


class Child(Protocol):
    """What this module uses of an asyncio subprocess."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def returncode(self) -> int | None:
        """The exit status once it has ended and was waited for."""

    async def wait(self) -> int:
        """The exit status, negative for a signal."""


def _prepare_child(command: Command) -> Callable[[], None]:
    """What the child does between fork and exec: take its account, ask Linux to signal it when we die."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent, ending, account = os.getpid(), int(command.stop_signals[0]), command.account

    def prepare() -> None:
        if account is not None:
            os.setgroups([])
            os.setgid(account[1])
            os.setuid(account[0])
        if libc is not None:
            # PR_SET_PDEATHSIG: sent when the thread that forked ends; last, for setuid would have cleared it.
            libc.prctl(1, ending, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


class Guard:
    """A shell that waits for our end of a pipe to close, then signals the child: where there is no prctl."""

    def __init__(self, pid: int, ending: signal.Signals) -> None:
        script = 'read -r _; kill -s "$2" "$1" 2>/dev/null'
        arguments = ["/bin/sh", "-c", script, "guard", str(pid), ending.name.removeprefix("SIG")]
        self._shell = subprocess.Popen(arguments, stdin=subprocess.PIPE, start_new_session=True)

    def close(self) -> None:
        """The child is gone: end the guard before its pid can mean anything else."""
        self._shell.kill()
        self._shell.wait()
        cast(IO[bytes], self._shell.stdin).close()


class Process:
    """A child process kept running: start it once, and it is restarted with back-off until `stop`."""

    def __init__(
        self,
        command: Command,
        logs: Path,
        *,
        clock: Clock | None = None,
        log_limit: int = 8 * 1024 * 1024,
        guarded: bool = sys.platform != "linux",
    ) -> None:
        self.command = command
        self.deaths = 0
        self._clock: Clock = clock or SystemClock()
        self._log = log.get("supervisor", process=command.name)
        self._output_path = logs / f"{command.name}.log"
        self._log_limit = log_limit
        self._guarded = guarded
        self._child: Child | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._died = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def start(self, ready: Probe | None = None, *, within: float = 30.0) -> None:
        """Spawn and wait for `ready`; a child that does not get there is stopped and ProcessFailed raised."""
        if self._keeper is not None:
            raise RuntimeError(f"{self.command.name} is started already")
        self._output = BoundedLog(self._output_path, self._log_limit)
        spawned: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(spawned), name=f"keep-{self.command.name}")
        try:
            await spawned
            if ready is not None:
                await self.wait_ready(ready, within=within)
        except BaseException:
            await self.stop()
            raise

    async def wait_ready(self, probe: Probe, *, within: float = 30.0) -> None:
        """Return when `probe` says true; ProcessFailed after `within` seconds or if the child keeps dying."""
        before = self.deaths
        try:
            async with asyncio.timeout(within):
                while not (self.pid is not None and await probe()):
                    if self.deaths - before >= DEATHS_WHILE_STARTING:
                        raise self._failed("keeps dying while it starts")
                    await self._clock.sleep(PROBE_EVERY)
        except TimeoutError as error:
            raise self._failed(f"was not ready within {within:g} s") from error

    async def died(self) -> None:
        """Return at the child's next death."""
        await self._died.wait()

    async def stop(self) -> None:
        """Ask politely, then less so; afterwards the child is gone. Stopping twice is fine."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        await asyncio.wait({keeper})
        self._output.close()
        self._log.info("process.stopped", deaths=self.deaths)

    def _failed(self, what: str) -> ProcessFailed:
        said = self._output.tail()
        return ProcessFailed(
            f"{self.command.name} {what}. It said: {said or 'nothing'}", process=self.command.name
        )

    async def _keep(self, spawned: asyncio.Future[None]) -> None:
        """Run the child again and again; cancelling this task is how it is told to stop."""
        backoff = BACKOFF_FIRST
        while True:
            began = self._clock.monotonic()
            try:
                status = await self._run(spawned)
            except OSError as error:
                failure = ProcessFailed(
                    f"{self.command.name} can not be run: {error}.", process=self.command.name
                )
                if not spawned.done():
                    spawned.set_exception(failure)
                    return
                status = 127
            self.deaths += 1
            self._died.set()
            self._died = asyncio.Event()
            backoff = BACKOFF_FIRST if self._clock.monotonic() - began > LIVED_LONG else backoff
            self._log.warning("process.died", status=status, deaths=self.deaths, restart_in=backoff)
            await self._clock.sleep(jitter(backoff))
            backoff = min(backoff * 2, BACKOFF_LAST)

    async def _run(self, spawned: asyncio.Future[None]) -> int:
        """One life of the child; when cancelled, end it before returning."""
        reading, writing = os.pipe()
        try:
            child = await self._spawn(writing)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._child = child
        output = _Output(self._output)
        guard = Guard(child.pid, self.command.stop_signals[0]) if self._guarded else None
        pipe = os.fdopen(reading, "rb", buffering=0)
        try:
            await asyncio.get_running_loop().connect_read_pipe(lambda: output, pipe)
            self._log.info("process.started", pid=child.pid)
            if not spawned.done():
                spawned.set_result(None)
            return await child.wait()
        finally:
            await self._end(child)
            if guard is not None:
                guard.close()
            await _settled(output.ended.wait(), 0.5)
            output.close()

    async def _spawn(self, output: int) -> Child:
        command = self.command
        return await asyncio.create_subprocess_exec(
            *command.argv,
            env=command.env,
            cwd=command.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_prepare_child(command),
        )

    async def _end(self, child: Child) -> None:
        """Signal until it is gone; the last word is SIGKILL to its whole session."""
        for ending in self.command.stop_signals:
            if child.returncode is not None:
                return
            with suppress(ProcessLookupError):
                os.kill(child.pid, ending)
            if await _settled(child.wait(), self.command.grace):
                return
        if child.returncode is None:
            self._log.warning("process.killed", pid=child.pid)
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()


async def _settled(waiting: Awaitable[object], within: float) -> bool:
    """Whether `waiting` finished in time."""
    try:
        async with asyncio.timeout(within):
            await waiting
    except TimeoutError:
        return False
    return True
