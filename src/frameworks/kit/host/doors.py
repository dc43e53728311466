"""Listeners whose protocol is the module's own: the socket is bound by us, the module makes a server of it."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from frameworks.kit.host.listeners import bound_socket
from frameworks.kit.module import Serve
from frameworks.kit.tls import TlsFiles


@dataclass(slots=True)
class Door:
    """One server on one port."""

    serve: Serve
    service: str
    address: str
    port: int
    setting: str
    tls: TlsFiles | None = None
    _socket: socket.socket | None = None
    _server: asyncio.Server | None = None
    _task: asyncio.Task[None] | None = None

    def bind(self) -> None:
        """Take the port; raises AddressTaken, and BadSetting when the TLS files are no certificate and key."""
        if self.tls is not None:
            self.tls.context()
        self._socket = bound_socket(self.address, self.port, self.setting)
        self.port = self._socket.getsockname()[1]

    def start(self, _: float, failed: Callable[[str], None]) -> None:
        """Serve; `failed` is told if it can not."""
        self._task = asyncio.get_running_loop().create_task(self._serve(), name=f"{self.service}: sockets")
        self._task.add_done_callback(lambda task: self._started(task, failed))

    async def stop(self) -> None:
        """Take no more connections; those that are open are the module's to end."""
        if self._task is not None:
            await asyncio.wait({self._task})
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()

    async def _serve(self) -> None:
        assert self._socket is not None
        self._server = await self.serve(self._socket, self.tls.context() if self.tls else None)

    def _started(self, task: asyncio.Task[None], failed: Callable[[str], None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            failed(f"the listener of {self.service} did not start: {error!r}")
