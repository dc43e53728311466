"""The engines that the event log's contract is run against; tests may break them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest
from fixtures_kafka import REAL, Tansu, kafka

from frameworks.engines.nats import Nats
from frameworks.engines.process import Process


class Place(Protocol):
    """Somewhere an event log runs, that a test may break."""

    url: str

    async def crash(self) -> None:
        """Kill it without warning; returns when it serves again."""

    async def down(self) -> None:
        """Take it away."""

    async def up(self) -> None:
        """Bring it back."""


class Server(Protocol):
    """A supervised engine."""

    process: Process

    @property
    def url(self) -> str:
        """What clients connect to."""

    async def start(self) -> None:
        """Run it until `stop`."""

    async def stop(self) -> None:
        """Stop it."""

    async def ready(self) -> None:
        """Return when it answers."""


class Supervised:
    """An engine under our own supervisor."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url
        self.down, self.up = server.stop, server.start

    async def crash(self) -> None:
        """kill -9; the supervisor restarts it."""
        pid = self._server.process.pid
        assert pid is not None
        died = asyncio.create_task(self._server.process.died())
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        await died
        await self._server.ready()


PLACES: dict[str, Callable[[Path], Server]] = {
    "nats": Nats,
    "kafka" if REAL else "tansu": kafka if REAL else Tansu,
}
WHOLE = [name for name in PLACES if name != "tansu"]
"""Those that can do everything: Tansu has no disk here, misstates the end of a partition, and hands over badly."""

on_whole_engines = pytest.mark.parametrize("place", WHOLE, indirect=True, scope="session")


@pytest.fixture(scope="session", params=list(PLACES))
async def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    """The running engine of one adapter."""
    running = Supervised(PLACES[str(request.param)](tmp_path_factory.mktemp("eventlog")))
    await running.up()
    yield running
    await running.down()
