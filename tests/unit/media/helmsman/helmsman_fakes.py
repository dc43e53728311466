"""Everyone around Helmsman as fakes: Commodore, the write-ahead log, Foghorn, the media node; and its triggers."""

from dataclasses import dataclass, field

import msgspec

from frameworks.kit.errors import NotFound, Unavailable
from frameworks.media.helmsman.domain import Fact, Trigger
from frameworks.media.helmsman.service.measuring import ClaimKept, LiveStream, NodeReading
from frameworks.media.helmsman.service.publishers import Admitted, Overrun, Publisher, Refused
from frameworks.media.helmsman.service.reporting import Seat
from frameworks.media.helmsman.service.viewing import Viewable

KEY = "sk_0123456789abcdef0123456789abcdef"
INTERNAL = "a" * 32
RUNTIME = f"live+{INTERNAL}"
TENANT = "018f0000-0000-7000-8000-000000000001"
STREAM = "018f0000-0000-7000-8000-000000000002"
FAR = 1 << 60
ADMITTED = Admitted(INTERNAL, STREAM, TENANT, STREAM, 1, "attr-ingest", FAR)
VIEWABLE = Viewable(INTERNAL, STREAM, TENANT, "p" * 16, "attr-view", FAR, max_viewers=2)


@dataclass
class Platform:
    """Commodore, the write-ahead log, Foghorn and the media node in one."""

    answer: Admitted | Refused | None = ADMITTED
    viewable: Viewable | None = VIEWABLE
    away: bool = False
    facts: list[Fact] = field(default_factory=list)
    released: list[tuple[str, int, str]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    held: bool = True
    renewed: list[tuple[str, bool]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    newest_ms: int = 0
    advances: bool = False
    received: int = 2000
    packets: tuple[int, int, int] = (0, 0, 0)
    overruns: list[Overrun] = field(default_factory=list)
    foghorn_away: bool = False
    refuses: str = ""
    watching: int = 0
    invalidated: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=list)

    async def admit(
        self, stream_key: str, *, protocol: str, boot: str, connection: str, trigger: str, live: list[str]
    ) -> Admitted | Refused:
        self.live = live
        if self.away or self.answer is None:
            raise Unavailable("away")
        return self.answer

    async def release(
        self, stream_id: str, epoch: int, connection: str, *, overrun: Overrun | None = None
    ) -> None:
        self.released.append((stream_id, epoch, connection))
        if overrun is not None:
            self.overruns.append(overrun)

    async def last_ms(self, name: str) -> int | None:
        if self.away:
            raise Unavailable("away")
        self.newest_ms += 40 * self.advances
        return self.newest_ms

    async def seat(self, stream: str, session: str, correlation: str) -> Seat:
        if self.foghorn_away:
            raise Unavailable("away")
        if self.refuses:
            return Seat(False, self.refuses, self.watching)
        self.watching += 1
        return Seat(True, "", self.watching)

    async def invalidate(self, name: str) -> None:
        if self.away:
            raise Unavailable("away")
        self.invalidated.append(name)

    async def resolve(self, *, playback_id: str = "", internal: str = "") -> Viewable:
        if self.away:
            raise Unavailable("away")
        if self.viewable is None:
            raise NotFound("none")
        return self.viewable

    async def record(self, *facts: Fact, noted: msgspec.Struct | None = None) -> None:
        self.facts.extend(facts)

    def viewer_opened(self, stream: str, session: str, correlation: str, connector: str) -> None:
        self.opened.append(correlation)

    def viewer_closed(self, session: str) -> None:
        self.closed.append(session)
        self.watching -= 1

    def changed(self) -> None:
        pass

    async def renew(self, boot: str, publishers: list[tuple[Publisher, bool, bool]]) -> list[ClaimKept]:
        self.renewed += [(p.admitted.stream_id, flows) for p, flows, _ in publishers]
        return [ClaimKept(p.admitted.stream_id, self.held, "SUPERSEDED") for p, _, _ in publishers]

    async def live_streams(self) -> list[LiveStream]:
        if self.away:
            raise Unavailable("away")
        return [LiveStream(RUNTIME, 1, 1, 1000, self.received, self.newest_ms, {}, *self.packets)]

    async def reading(self) -> NodeReading:
        return NodeReading(100, 10, 5, 0, 0, 1000, 2000, {})

    async def stop(self, name: str) -> None:
        if self.away:
            raise Unavailable("away")
        self.stopped.append(name)

    def kinds(self) -> list[str]:
        return [fact.kind for fact in self.facts]


def trigger(name: str, *lines: str, uuid: str = "u-1", pid: str = "7") -> Trigger:
    return Trigger(name, lines, uuid, 1_795_425_272_490, "boot", pid)


def push(uuid: str = "u-1", pid: str = "7", key: str = KEY) -> Trigger:
    return trigger("PUSH_REWRITE", f"rtmp://h:1935/live/{key}", "198.51.100.7", key, uuid=uuid, pid=pid)


def user_new(session: str, connector: str = "CMAF") -> Trigger:
    url = "http://n/cmaf/p/index.m3u8?fwcid=c1"
    return trigger("USER_NEW", RUNTIME, "198.51.100.7", "tok", connector, url, session, "false")


def user_end(session: str) -> Trigger:
    return trigger(
        "USER_END", "tok", RUNTIME, "CMAF", "h", "62", "6528", "50", "[UA:Test/1]", "1", "1", "1", session
    )
