"""The processes of a platform: which they are, and a deployment that gives services processes of their own."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from fixtures_http import http_client
from fixtures_platform import Platform, free_offset

from frameworks.assembly import SERVICES
from frameworks.cli.layout import Layout
from frameworks.engines.clickhouse import ClickHouse
from frameworks.engines.kafka import Kafka
from frameworks.engines.nats import Nats
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.engines.process import Command, Process
from frameworks.kit.identity import register_service

everywhere = pytest.mark.parametrize("platform", ["together", "apart"], indirect=True, scope="session")
"""Run against both deployments."""
only_apart = pytest.mark.parametrize("platform", ["apart"], indirect=True, scope="session")

GROUPS: dict[str, tuple[str, ...]] = {
    "commodore": ("commodore",),
    "control": ("quartermaster", "purser"),
    "bridge": ("bridge",),
    "data": ("decklog", "periscope-ingest", "periscope-query", "signalman"),
    "foghorn": ("foghorn",),
    "helmsman": ("helmsman",),
    "front": ("console", "mailbox"),
    "mist": ("mist",),
}
"""Process → its modules, in the order of a first start."""

MARKS = {
    "app": " run demo-app",
    "mist": " run mist",
    "postgres": "/postgres -D",
    "nats": "nats-server",
    "clickhouse": "clickhouse_server",
    "demo": "frameworks.media.demo ",
}
"""What the command line of each child of `frameworks up` contains."""


def children(platform: Platform) -> dict[str, int]:
    """The supervised processes of `frameworks up`, by name."""
    assert platform.process is not None
    lines = {child.pid: _line(child) for child in psutil.Process(platform.process.pid).children()}
    return {name: pid for name, mark in MARKS.items() for pid, line in lines.items() if mark in line}


def _line(process: psutil.Process) -> str:
    """The command line; empty for one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill(platform: Platform, name: str) -> int:
    """End one process as a power cut would; the pid it had."""
    pid = children(platform)[name]
    os.kill(pid, signal.SIGKILL)
    return pid


@dataclass
class Apart(Platform):
    """Services in processes of their own, each of which can be stopped and started again."""

    engines: dict[str, EmbeddedPostgres | Nats | Kafka | ClickHouse] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    admin: dict[str, int] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def eventlog_url(self) -> str:
        """The event log of this deployment."""
        return self.settings["FRAMEWORKS_EVENTLOG"]

    async def stop_part(self, name: str) -> None:
        """Stop a process or an engine until `start_part`."""
        await (self.processes.get(name) or self.engines[name]).stop()

    async def start_part(self, name: str) -> None:
        """Start it again; returns when it is ready."""
        if name in self.processes:
            await self.processes[name].start(ready(self.admin[name]), within=90.0)
        else:
            await self.engines[name].start()


@asynccontextmanager
async def apart(
    data: Path,
    *,
    env: dict[str, str],
    groups: Mapping[str, tuple[str, ...]] = GROUPS,
    offset: int | None = None,
    log: type[Nats] | type[Kafka] = Nats,
) -> AsyncIterator[Apart]:
    """The platform with a process for every group; `env` wins over the layout's settings."""
    offset = free_offset() if offset is None else offset
    layout = Layout.of(data, offset=offset)
    postgres, eventlog, clickhouse = (
        EmbeddedPostgres(data),
        log(data / "log"),
        ClickHouse(data / "clickhouse"),
    )
    platform = Apart(data, offset, None, {}, env)
    platform.engines = {"postgres": postgres, "log": eventlog, "clickhouse": clickhouse}
    async with AsyncExitStack() as stack:
        stack.enter_context(layout.locked())
        for engine in platform.engines.values():
            stack.push_async_callback(engine.stop)
        await asyncio.gather(*(engine.start() for engine in platform.engines.values()))
        for service in SERVICES:
            register_service(data / "keys", service)
        settings = (
            layout.environment(database=postgres.url, eventlog=eventlog.url, analytics=clickhouse.url) | env
        )
        _prepare(platform, settings, groups)
        for process in platform.processes.values():
            stack.push_async_callback(process.stop)
        await asyncio.gather(*(platform.start_part(name) for name in groups))
        platform.facts = await _bootstrap(settings)
        yield platform


def _prepare(platform: Apart, settings: dict[str, str], groups: Mapping[str, tuple[str, ...]]) -> None:
    platform.settings = settings
    for name, modules in groups.items():
        port = platform.admin[name] = _free_port()
        command = Command(
            name=name,
            argv=(sys.executable, "-m", "frameworks", "run", *modules),
            env=settings | {"FRAMEWORKS_ADMIN_PORT": str(port)},
        )
        platform.processes[name] = Process(command, platform.data / "logs")


async def _bootstrap(settings: dict[str, str]) -> dict[str, str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "frameworks", "admin", "bootstrap", "--demo"),
        env=settings,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate()
    assert child.returncode == 0
    made: dict[str, str] = json.loads(output)
    return made


def ready(port: int) -> Callable[[], Awaitable[bool]]:
    """Whether the process with this admin port takes traffic."""

    async def ask() -> bool:
        try:
            async with http_client(timeout=2.0) as client:
                return (await client.get(f"http://127.0.0.1:{port}/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    return ask


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
