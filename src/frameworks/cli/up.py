"""`frameworks up`: a small supervisor of the engines, the platform, the media node and the demo stream.

It imports no gRPC and no service; whatever it needs to ask the platform it asks by a child process or over HTTP.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from frameworks.assembly import SERVICES
from frameworks.cli.layout import Layout
from frameworks.engines.clickhouse import ClickHouse
from frameworks.engines.nats import Nats
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.engines.process import Command, Process
from frameworks.kit.errors import Unavailable
from frameworks.kit.identity import register_service

T = TypeVar("T")
APP_WITHIN = 60.0
STOP = (signal.SIGINT, signal.SIGTERM)


class Engine(Protocol):
    """What is started before the platform."""

    async def start(self) -> None:
        """Run it until `stop`."""

    async def stop(self) -> None:
        """Stop it."""


class BootstrapFailed(Unavailable):
    """The platform runs, but its first tenant and node could not be set up."""

    code = "up.bootstrap_failed"


class Supervisor:
    """Starts everything in order, keeps it running, stops it in reverse."""

    def __init__(self, layout: Layout, console: Console) -> None:
        self._layout = layout
        self._console = console
        self._stopping = asyncio.Event()
        self._logs = layout.data / "logs"

    async def run(self) -> None:
        """Start, tell what is where, wait for a signal, stop."""
        loop = asyncio.get_running_loop()
        for number in STOP:
            loop.add_signal_handler(number, self._stopping.set)
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(self._start(stack))
            stopped = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            else:
                self._tell(starting.result())
            await stopped
            self._console.print("Stopping …")

    async def _start(self, stack: AsyncExitStack) -> dict[str, str]:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            env = await self._engines(stack, progress)
            for service in SERVICES:
                register_service(self._layout.data / "keys", service)
            await self._step(progress, "Control, data and support planes", self._app(stack, env))
            facts = await self._step(progress, "First tenant and node", self._bootstrap(env))
            if self._layout.demo:
                await self._step(progress, "Demo stream", self._publish(stack, env, facts))
        return facts

    @staticmethod
    async def _step(progress: Progress, name: str, work: Awaitable[T]) -> T:
        task = progress.add_task(name, total=None)
        result = await work
        progress.update(task, description=f"{name} ✓", completed=1, total=1)
        return result

    async def _engines(self, stack: AsyncExitStack, progress: Progress) -> dict[str, str]:
        data = self._layout.data
        postgres = EmbeddedPostgres(data)
        clickhouse = ClickHouse(data / "clickhouse")
        engines: list[tuple[str, Engine]] = [("PostgreSQL", postgres), ("ClickHouse engine", clickhouse)]
        eventlog = os.environ.get("FRAMEWORKS_EVENTLOG", "")
        if not eventlog:
            nats = Nats(data / "nats")
            engines.append(("NATS JetStream", nats))
            eventlog = nats.url
        for _, engine in engines:
            stack.push_async_callback(engine.stop)
        await asyncio.gather(*(self._step(progress, name, engine.start()) for name, engine in engines))
        return self._layout.environment(database=postgres.url, eventlog=eventlog, analytics=clickhouse.url)

    async def _app(self, stack: AsyncExitStack, env: Mapping[str, str]) -> None:
        ports = self._layout.ports
        app = self._process(
            "app", ("run", "demo-app" if self._layout.demo else "app"), env, ports["app_admin"]
        )
        mist = self._process("mist", ("run", "mist"), env, ports["mist_admin"])
        for process in (app, mist):
            stack.push_async_callback(process.stop)
        await asyncio.gather(
            app.start(_probe(ports["app_admin"], "/ready"), within=APP_WITHIN),
            mist.start(_probe(ports["mist_admin"], "/ready"), within=APP_WITHIN),
        )

    def _process(self, name: str, arguments: tuple[str, ...], env: Mapping[str, str], admin: int) -> Process:
        return Process(
            Command(
                name=name,
                argv=(sys.executable, "-m", "frameworks", *arguments),
                env=dict(env) | {"FRAMEWORKS_ADMIN_PORT": str(admin)},
            ),
            self._logs,
        )

    async def _bootstrap(self, env: Mapping[str, str]) -> dict[str, str]:
        """Tenant, user, demo stream and the node's token, made by a child that speaks gRPC; safe to repeat."""
        arguments = ["--demo"] if self._layout.demo else []
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "frameworks", "admin", "bootstrap", *arguments),
            env=dict(env),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaints = await child.communicate()
        if child.returncode != 0:
            raise BootstrapFailed(f"Setting up failed: {complaints.decode(errors='replace').strip()[-1500:]}")
        made: dict[str, str] = json.loads(output)
        layout = self._layout
        facts = {
            "console_url": layout.url("front"),
            **made,
            "rtmp_url": layout.rtmp_url,
            "graphql_url": f"{layout.url('front')}/graphql",
        }
        if "playback_id" in made:
            facts["watch_url"] = f"{layout.url('front')}/watch/{made['playback_id']}"
            _write_private(layout.data / "demo.json", json.dumps(facts, indent=2))
        return facts

    async def _publish(self, stack: AsyncExitStack, env: Mapping[str, str], facts: Mapping[str, str]) -> None:
        """Start the demo publisher and wait until its stream can be watched."""
        rtmp = f"rtmp://127.0.0.1:{self._layout.ports['rtmp']}/live/{facts['stream_key']}"
        argv = (sys.executable, "-m", "frameworks.media.demo", "--cache", str(self._layout.data / "demo"))
        publisher = Process(
            Command(name="demo", argv=argv, env=dict(env) | {"FRAMEWORKS_DEMO_URL": rtmp}), self._logs
        )
        stack.push_async_callback(publisher.stop)
        live = _probe(self._layout.ports["foghorn"], f"/play/{facts['playback_id']}", b'"state":"live"')
        await publisher.start(live, within=90.0)

    def _tell(self, facts: Mapping[str, str]) -> None:
        table = Table(title="FrameWorks is up", show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        table.add_row("Console", facts["console_url"])
        if "password" in facts:
            table.add_row("Sign in", f"{facts['email']}  /  {facts['password']}")
        if "stream_key" in facts:
            table.add_row("Push to", f"{facts['rtmp_url']}/{facts['stream_key']}")
            table.add_row("Watch", facts["watch_url"])
            table.add_row("Mail", f"{facts['console_url']}/mail")
        table.add_row("GraphQL", facts["graphql_url"])
        self._console.print(table)
        if self._layout.listen != "127.0.0.1":
            ports = self._layout.ports
            reachable = ", ".join(f"{name} {ports[name]}" for name in ("front", "rtmp", "media"))
            self._console.print(f"Reachable from outside on {self._layout.listen}: {reachable}.")
        self._console.print(f"Data: {self._layout.data}   Logs: `frameworks logs`   Stop: Ctrl-C")


def _probe(port: int, path: str, expected: bytes = b"") -> Callable[[], Awaitable[bool]]:
    """Whether `GET path` on loopback answers 200 with `expected` in it."""
    headers = "Host: 127.0.0.1\r\nAccept: application/json\r\nConnection: close"
    request = f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode()

    async def ask() -> bool:
        try:
            async with asyncio.timeout(2.0):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(request)
                    answer = await reader.read(65_536)
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
        return answer.split(b"\r\n", 1)[0].endswith(b"200 OK") and expected in answer.replace(b" ", b"")

    return ask


def _write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read."""
    scratch = path.with_suffix(".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    scratch.replace(path)
