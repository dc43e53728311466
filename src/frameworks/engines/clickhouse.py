"""The embedded analytics engine: a supervised process that owns chDB and speaks ClickHouse over HTTP."""

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

from frameworks.engines import remembered
from frameworks.engines.clickhouse_server.config import layout
from frameworks.engines.process import Command, Process
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Precondition

PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
START_WITHIN = 60.0


class NoEngine(Precondition):
    """chDB is not installed."""

    code = "clickhouse.no_engine"


class ClickHouse:
    """The supervised engine; everything it needs is in one directory."""

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        options: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        if find_spec("chdb") is None:
            raise NoEngine(
                "No embedded ClickHouse: install the `embedded` extra, or set the analytics URL to a server."
            )
        places = layout(data)
        self.schemas = places.schemas
        self.port = port or remembered.loopback_port(data / "port")
        self._password = remembered.secret(places.password)
        argv = (
            *(sys.executable, "-m", "frameworks.engines.clickhouse_server"),
            *("--data", str(data), "--port", str(self.port)),
            *options,
        )
        self.process = Process(Command(name="clickhouse", argv=argv), data / "logs", clock=clock)

    @property
    def url(self) -> str:
        """What clients connect to; it carries the password."""
        return f"clickhouse://default:{self._password}@127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Run the engine until `stop`; returns when it answers."""
        await self.process.start(self._ready, within=START_WITHIN)

    async def stop(self) -> None:
        """Stop the engine and wait until it is gone."""
        await self.process.stop()

    async def ready(self, within: float = START_WITHIN) -> None:
        """Return when the engine answers, for example after it was restarted."""
        await self.process.wait_ready(self._ready, within=within)

    async def _ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(PING)
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
        finally:
            writer.close()
