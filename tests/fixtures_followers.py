"""Sockets of two tenants at every path of Signalman's, and what each has heard."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from fixtures_platform import Platform, eventually
from fixtures_two_tenants import Victim, tell_again
from websockets.asyncio.client import ClientConnection, connect

from frameworks.data.signalman.api.handshake import PATHS


@dataclass
class Follower:
    """A socket of one tenant that has been told everything another would need to know of it."""

    owner: Victim
    other: Victim
    path: str
    position: str = ""
    heard: list[str] = field(default_factory=list)

    async def follow(self, platform: Platform) -> None:
        """Note everything that comes, for ever."""
        url = f"ws://127.0.0.1:{platform.port('signalman')}{self.path}"
        if self.path != "/ws" and self.position:
            url += f"?position={self.position}"
        headers = {"Authorization": f"Bearer {self.owner.tenant.api_token}"}
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            if self.path == "/ws":
                await socket.send(json.dumps(self._wish()))
            await self._listen(socket)

    def _wish(self) -> dict[str, Any]:
        names = {"tenant_id": self.other.tenant.tenant_id, "stream_id": self.other.stream.id}
        return {"action": "subscribe", "channels": ["all"], "position": self.position, **names}

    async def _listen(self, socket: ClientConnection) -> None:
        async for text in socket:
            self.heard.append(str(text))

    def last_position(self) -> str:
        """Where this tenant is in the log; empty before it was told."""
        told = [json.loads(text).get("position") for text in self.heard]
        return next((position for position in reversed(told) if position), "")

    def leaks(self) -> set[str]:
        """What it heard of the other tenant."""
        return self.other.leaks("\n".join(self.heard))

    def own(self) -> set[str]:
        """What it heard of its own."""
        return self.owner.leaks("\n".join(self.heard))


async def followed(platform: Platform, followers: list[Follower]) -> None:
    """Both tenants tell of themselves until every socket has heard news of its own."""
    tasks = [asyncio.create_task(follower.follow(platform)) for follower in followers]

    async def all_heard() -> bool:
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.gather(*map(tell_again, {id(f.owner): f.owner for f in followers}.values()))
        return all(follower.own() and follower.last_position() for follower in followers)

    try:
        await eventually(all_heard, within=60.0, every=0.5, what="every socket hears of its own tenant")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def both(a: Victim, b: Victim, positions: dict[str, str]) -> list[Follower]:
    """A socket of each at every path; `positions` by the mark of the one who hands it in."""
    return [
        Follower(owner, other, path, positions.get(owner.mark, ""))
        for owner, other in ((a, b), (b, a))
        for path in PATHS
    ]
