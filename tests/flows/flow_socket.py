"""A client of the GraphQL subscription socket, kept deliberately plain."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fixtures_platform import Tenant
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")


@dataclass
class Pushed:
    """What the socket has pushed, by the id of its operation."""

    rows: dict[str, list[Any]] = field(default_factory=dict)
    errors: list[Any] = field(default_factory=list)

    def of(self, name: str) -> list[Any]:
        """The results of one subscription, oldest first."""
        return self.rows.get(name, [])


@asynccontextmanager
async def subscribed(tenant: Tenant, **documents: str) -> AsyncIterator[Pushed]:
    """Each document as one operation on one socket, until the block ends."""
    url = tenant.graphql_url.replace("http", "ws", 1) + "/ws"
    pushed = Pushed()
    async with connect(url, subprotocols=[PROTOCOL], proxy=None) as socket:
        await _say(socket, type="connection_init", payload={"Authorization": f"Bearer {tenant.api_token}"})
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        for name, document in documents.items():
            await _say(socket, id=name, type="subscribe", payload={"query": document})
        reading = asyncio.create_task(_read(socket, pushed))
        try:
            yield pushed
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def _read(socket: ClientConnection, pushed: Pushed) -> None:
    async for text in socket:
        message = json.loads(text)
        match message["type"]:
            case "ping":
                await _say(socket, type="pong")
            case "next" if "errors" not in message["payload"]:
                (row,) = message["payload"]["data"].values()
                pushed.rows.setdefault(message["id"], []).append(row)
            case _:
                pushed.errors.append(message)
