"""A stream's whole life as the triggers it fires, byte for byte; run this file to write the fixtures anew."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fixtures_mist import AUDIO, VIDEO, media

from frameworks.kit.clock import FakeClock
from frameworks.media.mist.domain import Frame
from frameworks.media.mist.hub.audience import Audience
from frameworks.media.mist.hub.doorway import Doorway, Offline, Visit
from frameworks.media.mist.hub.rendition import Shape
from frameworks.media.mist.hub.streams import Hub, StreamConfig
from frameworks.media.mist.protocols.trigger import Firing, Verdict, read_answer
from frameworks.media.mist.servers.admission import Admission
from frameworks.media.mist.servers.publishing import Connection, Ending, Ingest

FIXTURES = Path(__file__).parents[3] / "fixtures" / "mist_triggers"
KEY = "sk_" + "k3y0" * 8
INTERNAL = "q7w8e9r0t1y2u3i4o5p6a7s8d9f0g1h2"
NAME = f"live+{INTERNAL}"
PLAYBACK = "pb0123456789abcd"
HANDLER = "http://127.0.0.1:18007/webhooks/mist/"
ANSWERS = {
    "PUSH_REWRITE": ("value", NAME),
    "PLAY_REWRITE": ("value", NAME),
    "DEFAULT_STREAM": ("deny", ""),
    "STREAM_SOURCE": ("use-configured", ""),
    "USER_NEW": ("value", "true"),
}
VIEWER = Visit(
    PLAYBACK,
    "192.0.2.7",
    "CMAF",
    f"http://127.0.0.1:8080/cmaf/{PLAYBACK}/index.m3u8?fwcid=c0ffee",
    "viewertoken12345",
    "TestViewer/1.0",
)


@dataclass
class WireHerald:
    """Writes each firing down as the request it is on the wire, and answers as Helmsman would."""

    clock: FakeClock
    exchanges: dict[str, dict[str, Any]] = field(default_factory=dict)
    fired: int = 0

    async def ask(
        self, trigger: str, stream: str, lines: Sequence[str], *, pid: int | None = None
    ) -> Verdict | None:
        """Write down and answer."""
        action, body = ANSWERS[trigger]
        name = f"{trigger}_RECHECK" if trigger == "USER_NEW" and len(lines) == 6 else trigger
        self._write(name, trigger, lines, pid)["answer"] = {
            "status": 200,
            "headers": {"X-Mist-Trigger-Action": action},
            "body": body,
        }
        return read_answer(trigger, action, "", body)

    def tell(self, trigger: str, stream: str, lines: Sequence[str], *, pid: int | None = None) -> None:
        """Write down."""
        self._write(f"{trigger}_{lines[1]}" if trigger == "STREAM_BUFFER" else trigger, trigger, lines, pid)

    def _write(self, name: str, trigger: str, lines: Sequence[str], pid: int | None) -> dict[str, Any]:
        self.fired += 1
        uuid = f"5e688da3-304a-499d-800f-{self.fired:012x}"
        now = self.clock.now()
        firing = Firing(trigger, lines, uuid, now, pid or 3844, "pWUihmCLVw`z{Yab", "node-1", "0.1.0")
        head, _, body = firing.request(HANDLER + trigger.lower(), 1, now).decode().partition("\r\n\r\n")
        first, *rest = head.split("\r\n")
        exchange = {
            "request": {
                "line": first,
                "headers": dict(line.split(": ", 1) for line in rest),
                "body": body,
            }
        }
        self.exchanges.setdefault(name.lower(), exchange)
        return exchange


class Story:
    """The parts of a node that fire triggers, under a fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.herald = WireHerald(self.clock)
        self.hub = Hub(self.clock, self.herald, Shape(), grace=10, most=10)
        self.audience = Audience(self.clock, self.herald, self.hub.watched, idle=8, most=10)
        self.doorway = Doorway(self.clock, self.herald, self.hub, self.audience, remembered=15)
        self.admission = Admission(self.hub, self.herald, self)

    def stream_config(self, name: str) -> StreamConfig | None:
        """Every stream takes pushes."""
        return StreamConfig("live", "push://")

    async def wait(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            await self.clock.advance(1.0)
            self.hub.tick()
            self.doorway.tick()
            self.audience.tick()

    async def send(self, ingest: Ingest, frames: list[Frame]) -> None:
        """Send a second of frames, then let it pass, and so on."""
        scale = {1: 90_000, 2: 48_000}
        for start in range(0, len(frames), 72):
            for frame in frames[start : start + 72]:
                received = self.clock.monotonic() + frame.dts / scale[frame.track] % 1
                ingest.frame(replace(frame, received=received))
            await self.wait(1)

    async def tell(self) -> dict[str, dict[str, Any]]:
        """From a viewer too early to the end of the stream."""
        try:
            await self.doorway.enter(VIEWER)
        except Offline:
            await self.wait(5)
        url = f"rtmp://127.0.0.1:1935/live/{KEY}"
        assert await self.admission.admit(url, "198.51.100.4", KEY) == NAME
        connection = Connection(
            "RTMP", "198.51.100.4", 5, "live", "OBS", secure=False, kick=lambda reason: None
        )
        ingest = self.admission.attach(NAME, connection)
        ingest.tracks([VIDEO, AUDIO])
        await self.send(ingest, media(5.0))
        _, session = await self.doorway.enter(VIEWER)
        session.sent, session.received = 6_528_195, 5_012
        self.doorway.invalidate(lambda stream: stream == NAME)
        await self.wait(4)
        assert self.doorway.known(VIEWER) is not None
        await self.wait(2)
        await self.send(ingest, media(20.0, start=11.0))
        ingest.closed(Ending("CLEAN_EOF", "The publisher ended the stream."))
        await self.wait(12)
        return self.herald.exchanges


def text(exchange: dict[str, Any]) -> str:
    """A fixture file's text."""
    return json.dumps(exchange, indent=2) + "\n"


if __name__ == "__main__":
    for fixture, told in asyncio.run(Story().tell()).items():
        (FIXTURES / f"{fixture}.json").write_text(text(told))
