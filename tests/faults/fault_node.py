"""A media node made of numbers: MistServer's API and triggers towards Helmsman, and no media.

It keeps what a node keeps (configuration, streams, sessions), fires triggers as MistServer does (one UUID each,
the same on every attempt), and tries again until Helmsman has taken them: what was answered is what Helmsman promised.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from frameworks.kit.clock import random_text
from frameworks.media.mist.protocols.trigger import as_json_line

AGAIN = 0.1
ANSWER_WITHIN = 6.0

HEALTH = {
    "buffer": 2000,
    "jitter": 12,
    "video_H264_1280x720_25fps_1": {
        "codec": "H264",
        "type": "video",
        "kbits": 2400,
        "width": 1280,
        "height": 720,
        "fpks": 25_000,
        "jitter": 10,
        "buffer": 2000,
        "keys": {"ms_min": 2000, "ms_max": 2000},
    },
    "audio_AAC_2ch_48000hz_2": {
        "codec": "AAC",
        "type": "audio",
        "kbits": 128,
        "rate": 48_000,
        "channels": 2,
        "jitter": 12,
        "buffer": 2000,
    },
}


@dataclass
class OnAir:
    """A stream the node has."""

    viewers: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


class FaultNode:
    """One boot of the node; `streams` by runtime name, `sessions` by id."""

    def __init__(self, port: int) -> None:
        self.boot = random_text(16)
        self.port = port
        self.streams: dict[str, OnAir] = {}
        self.sessions: dict[str, tuple[str, str]] = {}
        self._config: dict[str, Any] = {}
        self._client = httpx.AsyncClient(trust_env=False, timeout=ANSWER_WITHIN)
        routes = [Route("/api2", self._api, methods=["POST"]), Route("/{secret}.json", self._counters)]
        self._server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=routes), "127.0.0.1", port, log_level="critical", lifespan="off")
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answer the API until `stop`."""
        self._serving = asyncio.create_task(self._server.serve())

    async def stop(self) -> None:
        """Stop answering."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        await self._client.aclose()

    @property
    def configured(self) -> bool:
        """Whether Helmsman has made the node its own."""
        return bool(self._config.get("triggers"))

    async def _api(self, request: Request) -> Response:
        commands: Mapping[str, Any] = await request.json()
        answer: dict[str, Any] = {"authorize": {"status": "OK"}}
        if isinstance(commands.get("config"), dict):
            self._config |= commands["config"]
        if "config" in commands:
            answer["config"] = self._config | {"iid": self.boot}
        if "streams" in commands:
            answer["streams"] = {"live": {"name": "live", "source": "push://"}}
        if "active_streams" in commands:
            answer["active_streams"] = {name: self._counted(on_air) for name, on_air in self.streams.items()}
        if "clients" in commands:
            data = [[session, *where] for session, where in self.sessions.items()]
            answer["clients"] = {"fields": ["sessid", "stream", "protocol"], "data": data}
        if (stopped := commands.get("stop_sessions")) in self.streams:
            self.streams[stopped].stopped.set()
        return JSONResponse(answer)

    @staticmethod
    def _counted(on_air: OnAir) -> dict[str, Any]:
        return {
            "viewers": on_air.viewers,
            "inputs": 1,
            "upbytes": 0,
            "downbytes": 0,
            "lastms": time.monotonic_ns() // 1_000_000,
            "health": HEALTH,
            "packsent": 0,
            "packloss": 0,
            "packretrans": 0,
        }

    async def _counters(self, request: Request) -> Response:
        memory = {"mem_total": 1 << 20, "mem_used": 1 << 18, "shm_total": 1 << 20, "shm_used": 1 << 10}
        return JSONResponse({"cpu": 100, "bw": [0, 0], "outputs": {"HLS": "/hls/"}} | memory)

    async def fire(self, trigger: str, *lines: str) -> "Fired":
        """Tell Helmsman until it has taken it; what it answered, and when the trigger happened."""
        at, uuid = time.time_ns() // 1_000_000, random_text(32)
        headers = {
            "x-trigger": trigger,
            "x-trigger-uuid": uuid,
            "x-trigger-unixmillis": str(at),
            "x-instance": self.boot,
            "x-pid": "1",
        }
        handler = self._config["triggers"][trigger][0]["handler"]
        while True:
            try:
                answer = await self._client.post(handler, content="\n".join(lines), headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(AGAIN)
                continue
            if answer.status_code == 200:
                return Fired(at, uuid, answer.headers.get("x-mist-trigger-action", ""), answer.text)
            assert answer.status_code in (404, 503), (trigger, answer.status_code, answer.text)
            await asyncio.sleep(AGAIN)


@dataclass(frozen=True)
class Fired:
    """A trigger that Helmsman has taken."""

    at: int
    """Milliseconds since the epoch."""
    uuid: str
    action: str
    body: str


def health_line() -> str:
    """The health object of a stream that is well."""
    return as_json_line(HEALTH)
