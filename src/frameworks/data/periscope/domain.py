"""Events as Periscope counts them: frames of a record, buckets they change, state they reduce to. Pure rules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from frameworks.kit.errors import Refusal

SECOND = 1_000_000
BUCKET = 300 * SECOND
LONGEST_SESSION = 7 * 86_400 * SECOND
"""A session that claims to have lasted longer counts for this long."""

MAX_TEXT = 500


class BadFrames(Refusal):
    """Bytes the analytics engine can not read as events, or that are no batch at all."""

    code = "periscope.bad_frames"


class Kind(Enum):
    """The roll-ups, by the facts they are made of."""

    HEALTH = "health"
    LIFECYCLE = "lifecycle"
    VIEWERS = "viewers"
    NODES = "nodes"


_KINDS: Mapping[str, Kind] = {
    "stream-metrics": Kind.HEALTH,
    "stream-lifecycle": Kind.LIFECYCLE,
    "stream-buffer": Kind.LIFECYCLE,
    "stream-view": Kind.LIFECYCLE,
    "user-connection": Kind.VIEWERS,
    "node-lifecycle": Kind.NODES,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A bucket (its start, microseconds) whose facts changed since it was last computed."""

    tenant: UUID
    kind: Kind
    subject: str
    bucket: int


@dataclass(frozen=True, slots=True)
class Fact:
    """What an event changes: its subject (stream id or node id) from `occurred_at - lasted` to `occurred_at`."""

    tenant: UUID
    type: str
    subject: str
    occurred_at: int
    lasted: int = 0


@dataclass(frozen=True, slots=True)
class StreamChange:
    """A stream's state as of one event of one claim."""

    tenant: UUID
    stream: UUID
    epoch: int
    state: str
    at: int
    event: UUID
    node: str
    cluster: str
    reason: str
    detail: str
    up_bytes: int
    down_bytes: int

    @property
    def version(self) -> tuple[int, int, UUID]:
        """The newest claim wins, in it the newest event; ties are broken the same way everywhere."""
        return self.epoch, self.at, self.event


@dataclass(frozen=True, slots=True)
class SessionChange:
    """A viewer session that opened or closed."""

    tenant: UUID
    stream: UUID
    node: str
    session: str
    opened: bool
    at: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """One log record, read: `frames` can be stored, `bad` can not."""

    frames: Sequence[bytes]
    bad: Sequence[bytes]
    facts: Sequence[Fact]
    streams: Sequence[StreamChange]
    sessions: Sequence[SessionChange]


def marks(facts: Iterable[Fact]) -> set[Mark]:
    """Every bucket whose roll-up these facts can change."""
    found: set[Mark] = set()
    for fact in facts:
        kind = _KINDS.get(fact.type)
        if kind is None:
            continue
        last = fact.occurred_at // BUCKET
        first = (fact.occurred_at - min(fact.lasted, LONGEST_SESSION)) // BUCKET
        found.update(Mark(fact.tenant, kind, fact.subject, n * BUCKET) for n in range(first, last + 1))
    return found


def newest(changes: Iterable[StreamChange]) -> list[StreamChange]:
    """Per stream, in order of version: what the database has to be told of."""
    return sorted(set(changes), key=lambda change: (change.tenant, change.stream, change.version))


def plain(text: str) -> str:
    """Text as PostgreSQL can hold it, at most `MAX_TEXT` characters."""
    return text.replace("\0", "")[:MAX_TEXT]


class BadRange(Refusal):
    """A range that ends before it begins, or asks for too much at once."""

    code = "periscope.bad_range"


class BadSubject(Refusal):
    """A stream id that is none."""

    code = "periscope.bad_stream_id"


DAY = 86_400 * SECOND
LONGEST_RANGE = 400 * DAY


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller wants of history: from (inclusive) until (exclusive), of one stream, node or cluster."""

    from_at: int
    until_at: int
    stream: UUID | None = None
    node: str | None = None
    cluster: str | None = None


def asked(
    from_at: int,
    until_at: int,
    now: int,
    *,
    stream: str = "",
    node: str = "",
    cluster: str = "",
    usual: int = DAY,
) -> Asked:
    """Check and complete a request: without a range, the `usual` time until now. Raises BadRange, BadSubject."""
    end = until_at or now
    begin = from_at or end - usual
    if not 0 <= begin < end < 1 << 62:
        raise BadRange("The range ends before it begins.")
    if end - begin > LONGEST_RANGE:
        raise BadRange("A range has at most 400 days.", days=400)
    return Asked(begin, end, stream_id(stream) if stream else None, node or None, cluster or None)


def stream_id(text: str) -> UUID:
    """A stream's id; raises BadSubject."""
    try:
        return UUID(text)
    except ValueError as error:
        raise BadSubject("A stream id is a UUID.") from error
