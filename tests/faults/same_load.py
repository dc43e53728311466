"""One load, told by a seed: every event type, with ids and times of its own, in the order its senders send it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from fixtures_events import fill

from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.topics import EVENT_TYPES, SCHEMA_VERSION, WRITERS, Role

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
CLUSTER = "default"
NODES = ("node-0", "node-1")
OUT_OF_ORDER = 10 * MINUTE
"""How much later than it happened an event may be sent."""
TWICE = 0.05
"""Share of events whose sender missed the acknowledgement and sends them again."""
AT_ONCE = 60
CELLS, NEXT_CELL = (599686042433355775, 599418031502065663, 599506666418380799), 1 << 30
TIERS, CODECS, PLACES = ("1080p", "720p"), ("H264", "AV1"), ("BE", "NL", "JP")
SAMPLED = {
    "stream-metrics": 20,
    "client-sample": 20,
    "player-session": 15,
    "stream-view": 8,
    "player-boot": 8,
    "load-balancing": 8,
    "stream-metrics-detailed": 5,
    "stream-buffer": 4,
    "api-requests": 4,
    "service": 3,
    "recording-lifecycle": 3,
    "storage-sample": 3,
    "node-lifecycle": 3,
    "track-list": 2,
    "push-lifecycle": 2,
}
"""Event type → how many one claim has, besides its lifecycle and its viewers."""
WITHOUT_STREAM = {"node-lifecycle", "api-requests", "service"}


@dataclass(frozen=True, slots=True)
class Word:
    """What Commodore is to say so that a node may write an event."""

    tenant: UUID
    stream: UUID
    node: str
    role: Role
    epoch: int


@dataclass(frozen=True, slots=True)
class Sent:
    """An event, who sends it, and the word it needs."""

    sender: str
    event: ev.Event
    word: Word | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A stream that was on air, from when until when; one that still is ends after the load."""

    tenant: UUID
    stream: UUID
    node: str
    epoch: int
    start: int
    end: int
    goes_on: bool


class Load:
    """Days of a few tenants that ended yesterday, and one stream of each that is live `now` (microseconds)."""

    def __init__(self, seed: int, now: int, *, tenants: int, claims: int, viewers: int) -> None:
        self._random = Random(seed)
        self._viewers = viewers
        self.since, self.until = now // DAY * DAY - 4 * DAY, now
        self.over = self.since + 3 * DAY
        self.tenants = [self._id() for _ in range(tenants)]
        self.claims = [claim for tenant in self.tenants for claim in self._claims(tenant, claims)]
        self.sent = [sent for claim in self.claims for sent in self._told(claim)]
        self.events = len(self.sent)

    @property
    def streams(self) -> dict[UUID, list[UUID]]:
        """By tenant."""
        found: dict[UUID, dict[UUID, None]] = {tenant: {} for tenant in self.tenants}
        for claim in self.claims:
            found[claim.tenant][claim.stream] = None
        return {tenant: list(streams) for tenant, streams in found.items()}

    def requests(self, sender: str) -> list[Sequence[Sent]]:
        """What a sender sends, in its order: a little late, and now and then once more."""
        random = Random(sender)
        mine = [
            (one.event.occurred_at + random.randrange(OUT_OF_ORDER), number, one)
            for number, one in enumerate(self.sent)
            if one.sender == sender
        ]
        mine += [(at + HOUR, number, one) for at, number, one in mine if random.random() < TWICE]
        ordered = [one for _, _, one in sorted(mine, key=lambda entry: entry[:2])]
        return [ordered[start : start + AT_ONCE] for start in range(0, len(ordered), AT_ONCE)]

    @property
    def senders(self) -> list[str]:
        """Nodes and services."""
        return sorted({one.sender for one in self.sent})

    def _id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128))

    def _claims(self, tenant: UUID, count: int) -> Iterator[Claim]:
        for number in range(2):
            stream, node = self._id(), NODES[number % len(NODES)]
            for epoch in range(1, count + 1):
                start = self.since + (epoch - 1) * 2 * DAY // count + self._random.randrange(6 * HOUR)
                yield Claim(tenant, stream, node, epoch, start, start + self._random.randrange(HOUR), False)
        yield Claim(tenant, self._id(), NODES[0], 1, self.until - 20 * MINUTE, self.until, True)

    def _told(self, claim: Claim) -> Iterator[Sent]:
        yield self._sent(claim, "stream-ingest", claim.start)
        yield self._state(claim, "started", claim.start + SECOND)
        yield self._state(claim, "live", claim.start + 2 * SECOND)
        for kind, count in SAMPLED.items():
            for _ in range(count):
                yield self._sent(claim, kind, self._moment(claim))
        for number in range(self._viewers):
            yield from self._watched(claim, number)
        if not claim.goes_on:
            yield self._state(claim, "ended", claim.end)

    def _moment(self, claim: Claim) -> int:
        return self._random.randrange(claim.start, claim.end + 1)

    def _state(self, claim: Claim, state: str, at: int) -> Sent:
        body = ev.StreamLifecycle(state=state, reason="CLEAN_REMOTE_CLOSE")
        if state == "ended":
            body.duration_ms = (claim.end - claim.start) // 1000
            body.up_bytes, body.down_bytes = self._random.randrange(10**9), self._random.randrange(10**9)
        return self._sent(claim, "stream-lifecycle", at, stream_lifecycle=body)

    def _watched(self, claim: Claim, number: int) -> Iterator[Sent]:
        opened, seconds = self._moment(claim), self._random.randrange(1, 900)
        session = f"{self._random.getrandbits(64):016x}"
        more: dict[str, Any] = {"session_id": session, "connector": "HLS", "place": self._place()}
        more["viewer_hash"] = f"{self._random.randrange(20):016x}"
        connect = ev.UserConnection(action="connect", **more)
        yield self._sent(claim, "user-connection", opened, user_connection=connect)
        if not claim.goes_on or number % 2:
            up, down = self._random.randrange(10**8), self._random.randrange(10**5)
            left = ev.UserConnection(
                action="disconnect", seconds=seconds, up_bytes=up, down_bytes=down, **more
            )
            at = min(opened + seconds * SECOND, self.until)
            yield self._sent(claim, "user-connection", at, user_connection=left)

    def _sent(self, claim: Claim, kind: str, at: int, **body: Any) -> Sent:
        sender = next((name for name, kinds in WRITERS.items() if kind in kinds), claim.node)
        event = ev.Event(
            event_id=self._id().bytes,
            type=kind,
            occurred_at=at,
            schema_version=SCHEMA_VERSION,
            tenant_id=(self.tenants[0] if kind == "node-lifecycle" else claim.tenant).bytes,
            stream_id=b"" if kind in WITHOUT_STREAM else claim.stream.bytes,
            node_id=claim.node,
            cluster_id=CLUSTER,
            region="local",
            source="helmsman" if sender == claim.node else sender,
            claim_epoch=claim.epoch,
            **(body or {EVENT_TYPES[kind].field: self._body(kind)}),
        )
        roles = EVENT_TYPES[kind].roles & {Role.INGEST, Role.VIEW}
        role = next((role for role in (Role.INGEST, Role.VIEW) if role in roles), None)
        word = Word(claim.tenant, claim.stream, claim.node, role, claim.epoch) if role else None
        return Sent(sender, event, word)

    def _body(self, kind: str) -> Any:
        """Every field said, and those by which answers are told apart said sensibly."""
        body = getattr(ev.Event(), EVENT_TYPES[kind].field).__class__()
        fill(body, self._random.randrange(1, 50))
        choose = self._random.choice
        chosen: dict[str, Sequence[Any]] = {
            "quality_tier": TIERS,
            "codec": CODECS,
            "health_score": range(101),
            "session_id": [f"player-{number}" for number in range(12)],
            "artifact": ("", "a1", "a2"),
            "failed": (True, False),
            "final": (True, False),
            "left_before_start": (True, False),
        }
        chosen |= STATES.get(kind, {})
        for name in (field.name for field in body.DESCRIPTOR.fields):
            if name in chosen:
                setattr(body, name, choose(chosen[name]))
            elif name in ("place", "client"):
                getattr(body, name).CopyFrom(self._place())
        return body

    def _place(self) -> ev.Place:
        """A city has several cells, and each cell its own centre."""
        number, cell = self._random.randrange(len(PLACES)), self._random.randrange(3)
        return ev.Place(
            country=PLACES[number],
            city=f"City {number}",
            h3_cell=CELLS[number] + cell * NEXT_CELL,
            latitude=50.25 + number,
            longitude=3.5 + cell,
        )


STATES: dict[str, dict[str, Sequence[Any]]] = {
    "stream-buffer": {"state": ("FULL", "DRY", "RECOVER", "EMPTY")},
    "node-lifecycle": {"state": ("up", "degraded")},
    "push-lifecycle": {"state": ("started", "ended", "failed")},
    "recording-lifecycle": {"state": ("started", "progress", "ready"), "kind": ("recording", "clip")},
    "storage-sample": {"scope": ("hot", "cold")},
    "load-balancing": {"status": ("success", "redirect", "failed"), "purpose": ("viewer", "ingest")},
    "player-boot": {"outcome": ("playing", "failed", "left")},
    "player-session": {"artifact_kind": ("recording", "clip")},
    "api-requests": {"auth_kind": ("user", "api_token"), "operation_kind": ("query", "mutation")},
}
