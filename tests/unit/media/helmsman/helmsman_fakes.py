"""Everyone around Helmsman as fakes: Commodore, the write-ahead log, Foghorn, the media node; and its triggers."""

from dataclasses import dataclass, field

from frameworks.kit.errors import NotFound, Unavailable
from frameworks.media.helmsman.domain import Fact, Trigger
from frameworks.media.helmsman.service.measuring import ClaimKept, LiveStream, NodeReading
from frameworks.media.helmsman.service.publishing import Admitted, Publisher, Refused
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
    last_ms: int = 0

    async def admit(
        self, stream_key: str, *, protocol: str, boot: str, connection: str, trigger: str
    ) -> Admitted | Refused:
        if self.away or self.answer is None:
            raise Unavailable("away")
        return self.answer

    async def release(self, stream_id: str, epoch: int, connection: str) -> None:
        self.released.append((stream_id, epoch, connection))

    async def resolve(self, *, playback_id: str = "", internal: str = "") -> Viewable:
        if self.away:
            raise Unavailable("away")
        if self.viewable is None:
            raise NotFound("none")
        return self.viewable

    async def record(self, fact: Fact) -> None:
        self.facts.append(fact)

    def viewer_opened(self, stream: str, session: str, correlation: str, connector: str) -> None:
        self.opened.append(correlation)

    def viewer_closed(self, session: str) -> None:
        self.closed.append(session)

    def changed(self) -> None:
        pass

    async def renew(self, boot: str, publishers: list[tuple[Publisher, bool, bool]]) -> list[ClaimKept]:
        self.renewed += [(p.admitted.stream_id, flows) for p, flows, _ in publishers]
        return [ClaimKept(p.admitted.stream_id, self.held, "SUPERSEDED") for p, _, _ in publishers]

    async def live_streams(self) -> list[LiveStream]:
        if self.away:
            raise Unavailable("away")
        return [LiveStream(RUNTIME, 1, 1, 1000, 2000, self.last_ms, {})]

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
