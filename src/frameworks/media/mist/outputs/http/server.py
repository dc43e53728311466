"""The viewers' listener: room for connections, one sweep over their clocks, requests to the router."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable

from frameworks.kit.clock import Clock
from frameworks.media.mist.outputs.http.connection import Connection, Exchange

SWEEP = 1.0


class HttpServer:
    """Serves `route` to so many connections at most; `exempt` addresses, proxies, have no own limit.

    `refused` is told of each refusal: a status, or what ran out.
    """

    def __init__(
        self,
        route: Callable[[Exchange], None],
        clock: Clock,
        *,
        most: int,
        most_per_address: int,
        exempt: frozenset[str],
        refused: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._route = route
        self._refused = refused
        self._clock = clock
        self._most = most
        self._most_per_address = most_per_address
        self._exempt = exempt
        self._connections: set[Connection] = set()
        self._addresses: Counter[str] = Counter()
        self._listener: asyncio.Server | None = None

    async def listen(self, address: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Serve; returns the port bound."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Connection(self, secure=tls is not None), address, port, ssl=tls, backlog=1024
        )
        return int(self._listener.sockets[0].getsockname()[1])

    def admits(self, connection: Connection, address: str) -> bool:
        """Make room for a connection, or say that there is none."""
        crowded = self._addresses[address] >= self._most_per_address and address not in self._exempt
        if crowded or len(self._connections) >= self._most:
            self._refused("connections_per_address" if crowded else "connections")
            return False
        self._connections.add(connection)
        self._addresses[address] += 1
        return True

    def left(self, connection: Connection) -> None:
        """Give a connection's room back."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._addresses[connection.address] -= 1
            if not self._addresses[connection.address]:
                del self._addresses[connection.address]

    def refused(self, reason: str) -> None:
        """Count a refusal."""
        self._refused(reason)

    def handle(self, exchange: Exchange) -> None:
        """Pass a request on."""
        self._route(exchange)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    @property
    def connections(self) -> int:
        """Connections now."""
        return len(self._connections)

    def sweep(self) -> None:
        """Once a second: let every connection look at the clock."""
        now = self._clock.monotonic()
        for connection in list(self._connections):
            connection.check(now)

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.close()
        if self._listener is not None:
            await self._listener.wait_closed()
