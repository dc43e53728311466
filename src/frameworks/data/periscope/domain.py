"""Events as Periscope counts them: frames of a record, buckets they change, state they reduce to. Pure rules."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from frameworks.kit.errors import Refusal

SECOND = 1_000_000
BUCKET = 300 * SECOND
LONGEST_SESSION = 7 * 86_400 * SECOND
"""A session that claims to have lasted longer counts for this long."""

MAX_TEXT = 500


class BadFrames(Refusal):
    """Bytes the analytics engine can not read as events, or that are no batch at all."""

    code = "periscope.bad_frames"


HOUR = 12 * BUCKET
DAY = 24 * HOUR


class Kind(Enum):
    """What is recomputed: five-minute buckets by the facts they are made of, their hours and days, and sessions."""

    HEALTH = "health"
    LIFECYCLE = "lifecycle"
    VIEWERS = "viewers"
    NODES = "nodes"
    SESSIONS = "sessions"
    """Viewer sessions with a fact in the bucket."""
    CLAIMS = "claims"
    """Publishers' claims with a fact in the bucket."""
    HEALTH_1H = "health_1h"
    LIFECYCLE_1H = "lifecycle_1h"
    VIEWERS_1H = "viewers_1h"
    NODES_1H = "nodes_1h"
    HEALTH_1D = "health_1d"
    LIFECYCLE_1D = "lifecycle_1d"
    VIEWERS_1D = "viewers_1d"
    NODES_1D = "nodes_1d"


COARSER: Mapping[Kind, Kind] = {
    Kind(f"{name}{fine}"): Kind(f"{name}{coarse}")
    for name in ("health", "lifecycle", "viewers", "nodes")
    for fine, coarse in (("", "_1h"), ("_1h", "_1d"))
}
"""A bucket makes its hour dirty, an hour its day."""
HOURS_AND_DAYS = frozenset(COARSER.values())
FROM_FACTS = frozenset(Kind) - HOURS_AND_DAYS
NODE_KINDS = frozenset({Kind.NODES, Kind.NODES_1H, Kind.NODES_1D})
WIDTH: Mapping[Kind, int] = {kind: {"_1h": HOUR, "_1d": DAY}.get(kind.value[-3:], BUCKET) for kind in Kind}
"""How long a bucket of each kind is, in microseconds."""

_KINDS: Mapping[str, Kind] = {
    "stream-metrics": Kind.HEALTH,
    "stream-lifecycle": Kind.LIFECYCLE,
    "stream-buffer": Kind.LIFECYCLE,
    "stream-view": Kind.LIFECYCLE,
    "user-connection": Kind.VIEWERS,
    "node-lifecycle": Kind.NODES,
}
_WHOLE: Mapping[str, Kind] = {"user-connection": Kind.SESSIONS, "stream-lifecycle": Kind.CLAIMS}
"""What is recomputed as a whole, found by any of its facts."""
MARKING = frozenset(_KINDS)
"""The event types that change a roll-up."""


class Mark(NamedTuple):
    """A bucket (its start, microseconds) whose facts changed since it was last computed."""

    tenant: UUID
    kind: Kind
    subject: str
    bucket: int


class Fact(NamedTuple):
    """What an event changes: its subject (stream id or node id) from `occurred_at - lasted` to `occurred_at`."""

    tenant: UUID
    type: str
    subject: str
    occurred_at: int
    lasted: int = 0
    cluster: str = ""


@lru_cache(8192)
def known_id(raw: bytes) -> UUID:
    """The id these bytes are; streams and tenants recur. Raises ValueError when they are none."""
    return UUID(bytes=raw)


@lru_cache(8192)
def known_text(raw: bytes) -> str:
    """The same as text."""
    return str(UUID(bytes=raw))


Span = tuple[str, bytes, str, str, int, int]
"""What an event changes, as few things that many events share: type, tenant's id, subject, cluster, and the first and
the last bucket by number."""


def facts_of(spans: Iterable[Span]) -> list[Fact]:
    """What was changed."""
    return [
        Fact(known_id(tenant), name, subject, last * BUCKET, (last - first) * BUCKET, cluster)
        for name, tenant, subject, cluster, first, last in spans
    ]


class UsageKey(NamedTuple):
    """What a tenant used on a cluster in the bucket from `at` (microseconds); "" for what has no cluster."""

    tenant: UUID
    cluster: str
    at: int


class NodeHeard(NamedTuple):
    """A node that said how it is: what it recorded before has arrived, since a node's log is sent in order."""

    cluster: str
    node: str
    at: int


class StreamChange(NamedTuple):
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


class SessionChange(NamedTuple):
    """A viewer session that opened or closed."""

    tenant: UUID
    stream: UUID
    node: str
    session: str
    opened: bool
    at: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Events of one type, framed, and by number the record that each came in."""

    frames: memoryview
    records: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Log records, read: their events by type, which can be stored, and by record the frames that are no event."""

    parts: Mapping[str, Part]
    bad: Sequence[tuple[int, bytes]] = ()
    spans: Collection[Span] = ()
    streams: Sequence[StreamChange] = ()
    sessions: Sequence[SessionChange] = ()
    nodes: Sequence[tuple[int, NodeHeard]] = ()
    """By record too."""


_USED = frozenset({"stream-lifecycle", "user-connection", "api-requests"})
"""The facts that usage is made of."""


def usage_keys(facts: Iterable[Fact]) -> set[UsageKey]:
    """Every usage window these facts can change."""
    spans = {
        (fact.tenant, fact.cluster, *span(fact.occurred_at, fact.lasted))
        for fact in facts
        if fact.type in _USED
    }
    return {
        UsageKey(tenant, cluster, n * BUCKET)
        for tenant, cluster, first, last in spans
        for n in range(first, last + 1)
    }


def marks(facts: Iterable[Fact]) -> set[Mark]:
    """Every bucket whose roll-up these facts can change."""
    found: set[Mark] = set()
    for tenant, name, subject, occurred_at, lasted, _ in facts:
        if (kind := _KINDS.get(name)) is None:
            continue
        first, last = span(occurred_at, lasted)
        found.update(Mark(tenant, kind, subject, n * BUCKET) for n in range(first, last + 1))
        if name in _WHOLE:
            found.add(Mark(tenant, _WHOLE[name], subject, last * BUCKET))
    return found


def span(occurred_at: int, lasted: int) -> tuple[int, int]:
    """The first and the last bucket that lasted so long until then."""
    return (occurred_at - min(lasted, LONGEST_SESSION)) // BUCKET, occurred_at // BUCKET


def coarser(dirty: Iterable[Mark]) -> set[Mark]:
    """The hours of these buckets, the days of these hours."""
    return {
        Mark(mark.tenant, wider, mark.subject, mark.bucket // WIDTH[wider] * WIDTH[wider])
        for mark in dirty
        if (wider := COARSER.get(mark.kind)) is not None
    }


def newest(changes: Iterable[StreamChange]) -> list[StreamChange]:
    """Per stream, in order of version: what the database has to be told of."""
    return sorted(set(changes), key=lambda change: (change.tenant.int, change.stream.int, change.version))


def plain(text: str) -> str:
    """Text as PostgreSQL can hold it, at most `MAX_TEXT` characters."""
    return text.replace("\0", "")[:MAX_TEXT]


recurring = lru_cache(8192)(plain)
"""The same, for names of nodes and clusters."""


class BadRange(Refusal):
    """A range that ends before it begins, or asks for too much at once."""

    code = "periscope.bad_range"


class BadSubject(Refusal):
    """A stream id that is none, or no subject where one is needed."""

    code = "periscope.bad_stream_id"


LONGEST_RANGE = 400 * DAY


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller wants of history: from (inclusive) until (exclusive), narrowed by what is not None."""

    from_at: int
    until_at: int
    stream: UUID | None = None
    node: str | None = None
    cluster: str | None = None
    artifact: str | None = None
    state: str | None = None
    kind: str | None = None
    scope: str | None = None
    caller: str | None = None
    operation: str | None = None


def asked(
    from_at: int, until_at: int, now: int, *, stream: str = "", usual: int = DAY, **narrowed: str
) -> Asked:
    """Check and complete a request: without a range, the `usual` time until now. Raises BadRange, BadSubject."""
    end = until_at or now
    begin = from_at or end - usual
    if not 0 <= begin < end < 1 << 62:
        raise BadRange("The range ends before it begins.")
    if end - begin > LONGEST_RANGE:
        raise BadRange("A range has at most 400 days.", days=400)
    named = {name: text for name, text in narrowed.items() if text}
    return Asked(begin, end, stream_id(stream) if stream else None, **named)


def stream_id(text: str) -> UUID:
    """A stream's id; raises BadSubject."""
    try:
        return UUID(text)
    except ValueError as error:
        raise BadSubject("A stream id is a UUID.") from error


def reached(furthest: Mapping[int, int], buckets: int) -> list[int]:
    """How many sessions came at least as far as each bucket, from how many ended in which."""
    found, total = [0] * buckets, 0
    for bucket, sessions in furthest.items():
        found[min(bucket, buckets - 1)] += sessions
    for bucket in range(buckets - 1, -1, -1):
        total += found[bucket]
        found[bucket] = total
    return found
