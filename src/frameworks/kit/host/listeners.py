"""HTTP listeners: sockets bound by us, served by uvicorn, which owns neither signals nor logs here."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from frameworks.kit.host.connection import Connection, connection_of
from frameworks.kit.module import ASGI
from frameworks.kit.rpc.server import not_listening
from frameworks.kit.tls import TlsFiles

_BACKLOG = 2048
_CONNECTIONS = 20_000
_WEBSOCKET_MESSAGE = 1 << 20
_TICKS = 10
"""How many of uvicorn's ticks make a second."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: the host alone ends the process; and with an eye on the clock."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        """Let every connection look at the clock once a second; whether to stop."""
        if counter % _TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        stop: bool = await super().on_tick(counter)
        return stop


def bound_socket(address: str, port: int, setting: str) -> socket.socket:
    """A socket that listens; raises AddressTaken, which names the setting."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise not_listening(address, port, setting, error) from error
    bound.setblocking(False)
    return bound


@dataclass(slots=True)
class Listener:
    """One application on one port."""

    app: ASGI
    service: str
    address: str
    port: int
    setting: str
    tls: TlsFiles | None = None
    _socket: socket.socket | None = None
    _server: Any = None
    _task: asyncio.Task[None] | None = None

    def bind(self) -> None:
        """Take the port; raises AddressTaken, and BadSetting when the TLS files are no certificate and key."""
        if self.tls is not None:
            self.tls.context()
        self._socket = bound_socket(self.address, self.port, self.setting)
        self.port = self._socket.getsockname()[1]

    def start(self, grace: float, failed: Callable[[str], None]) -> None:
        """Serve; requests under way get `grace` seconds at the stop; `failed` is told if it ends before."""
        config = uvicorn.Config(
            self.app,
            http=connection_of(self.service),
            ws="websockets-sansio",
            lifespan="auto",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            limit_concurrency=_CONNECTIONS,
            ws_max_size=_WEBSOCKET_MESSAGE,
            timeout_graceful_shutdown=max(1, round(grace)),
            ssl_certfile=self.tls.certificate if self.tls else None,
            ssl_keyfile=self.tls.key if self.tls else None,
        )
        self._server = _Server(config)
        self._task = asyncio.get_running_loop().create_task(self._serve(), name=f"{self.service}: http")
        self._task.add_done_callback(lambda task: self._ended(task, failed))

    async def stop(self) -> None:
        """Take no more connections, let requests under way end, close."""
        if self._task is not None:
            self._server.should_exit = True
            await asyncio.wait({self._task})
        elif self._socket is not None:
            self._socket.close()

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=[self._socket])
        except SystemExit as error:
            raise RuntimeError(f"the HTTP application of {self.service} did not start") from error

    def _ended(self, task: asyncio.Task[None], failed: Callable[[str], None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None or not self._server.should_exit:
            failed(f"the HTTP listener of {self.service} ended: {error!r}")
