"""What garbage may do to a platform (nothing), how to send it, and where its refusal is counted."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from fixtures_http import http_client
from fixtures_platform import Platform, eventually
from flow_processes import children

PROCESSES = {"app": "app_admin", "mist": "mist_admin"}
GROWTH = 60 << 20
"""Bytes a process may grow by, all garbage of a session together."""
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_before: dict[Path, dict[str, int]] = {}


@dataclass
class Watch:
    """A platform under garbage."""

    platform: Platform
    counted: dict[str, str]

    async def moved(self, process: str, metric: str, by: int = 1, **labels: str) -> None:
        """Wait until a counter stands at least `by` higher than before the garbage."""
        before = _value(self.counted[process], metric, labels)

        async def has() -> bool:
            return _value(await _metrics(self.platform, process), metric, labels) >= before + by

        await eventually(has, within=10.0, what=f"{metric}{labels} counts {by} more")


@asynccontextmanager
async def unharmed(platform: Platform) -> AsyncIterator[Watch]:
    """Whatever the block sends: same processes, ready, no traceback logged, no memory kept."""
    pids = {name: children(platform)[name] for name in PROCESSES}
    _before.setdefault(platform.data, _resident(pids))
    logs = {name: platform.data / "logs" / f"{name}.log" for name in PROCESSES}
    read = {name: path.stat().st_size for name, path in logs.items()}
    yield Watch(platform, {name: await _metrics(platform, name) for name in PROCESSES})
    for name, port in PROCESSES.items():
        async with http_client() as client:
            answer = await client.get(f"{platform.url(port)}/ready")
        assert answer.status_code == 200, answer.text
        assert children(platform)[name] == pids[name], f"{name} was restarted"
        assert _complaints(logs[name], read[name]) == []
    grown = {name: size - _before[platform.data][name] for name, size in _resident(pids).items()}
    assert max(grown.values()) < GROWTH, grown


@dataclass
class Slow:
    """Clients that take their time, while a platform under garbage is watched."""

    watch: Watch
    answers: "asyncio.Future[list[Any]]"
    """What each was told in the end."""


@asynccontextmanager
async def meanwhile(platform: Platform, *clients: Awaitable[Any]) -> AsyncIterator[Slow]:
    """Begins with these clients now; a module waits for them in its last test, not in one of their own."""
    async with unharmed(platform) as watch:
        answers = asyncio.gather(*clients)
        try:
            yield Slow(watch, answers)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)


async def send(
    port: int, *pieces: bytes, within: float = 20.0, ends: bool = True, path: Path | None = None
) -> bytes:
    """Everything the peer says to these bytes until it hangs up, which it has to unless `ends` is false."""
    opening = asyncio.open_unix_connection(path) if path else asyncio.open_connection("127.0.0.1", port)
    reader, writer = await opening
    said = b""
    writing = asyncio.create_task(_write(writer, pieces))
    try:
        async with asyncio.timeout(within):
            while piece := await reader.read(65_536):
                said += piece
                if not ends:
                    break
    except ConnectionError:
        pass  # a refusal may come with a reset, when we still had more to say
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        writer.close()
    return said


async def trickle(port: int, opening: bytes, drop: bytes, *, within: float = 60.0) -> bytes:
    """What the peer says to one more drop every half second, until it has had enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(opening)
    said = asyncio.create_task(reader.read())
    try:
        async with asyncio.timeout(within):
            while not said.done():
                with suppress(ConnectionError):
                    writer.write(drop)
                    await writer.drain()
                await asyncio.wait({said}, timeout=0.5)
    finally:
        said.cancel()
        writer.close()
    return b"" if said.exception() else said.result()


async def ask(port: int, *lines: str, body: bytes = b"", method: str = "GET", path: str = "/") -> bytes:
    """The answer to one raw request that asks for the connection to be closed."""
    head = (f"{method} {path} HTTP/1.1", "Host: platform", "Connection: close", *lines)
    return await send(port, "\r\n".join((*head, "", "")).encode("latin-1") + body)


def status(answer: bytes) -> int:
    """The status of an HTTP answer; none of ours shows a traceback."""
    assert b"Traceback" not in answer
    assert b'File "/' not in answer
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


async def _write(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()


async def _metrics(platform: Platform, process: str) -> str:
    async with http_client() as client:
        return (await client.get(f"{platform.url(PROCESSES[process])}/metrics")).text


def _value(exposition: str, metric: str, labels: dict[str, str]) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(
        float(value)
        for name, found, value in _SAMPLE.findall(exposition)
        if name == metric and labels.items() <= dict(_LABEL.findall(found)).items()
    )


def _resident(pids: dict[str, int]) -> dict[str, int]:
    return {name: psutil.Process(pid).memory_info().rss for name, pid in pids.items()}


def _complaints(path: Path, offset: int) -> list[str]:
    """Lines of a log that say somebody has to look: errors, tracebacks, text that is no line of ours."""
    with path.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines if not _is_calm(line)]


def _is_calm(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return entry["level"] not in ("error", "critical") and "exception" not in entry
