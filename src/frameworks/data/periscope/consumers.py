"""Inbound events of Periscope: records of `analytics_events`, taken in batches, committed after the sinks."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from frameworks.contracts.framing import frame
from frameworks.contracts.metrics import periscope as metrics
from frameworks.contracts.pb.events_v1_pb2 import Event, EventFrames
from frameworks.contracts.topics import ANALYTICS_EVENTS, EVENT_TYPES
from frameworks.data.periscope.domain import (
    BUCKET,
    MARKING,
    SECOND,
    Decoded,
    Fact,
    NodeHeard,
    SessionChange,
    StreamChange,
    Touched,
    known_id,
    known_text,
    plain,
)
from frameworks.data.periscope.service.by_store import Takes
from frameworks.data.periscope.service.ingest import Arrived
from frameworks.data.periscope.service.usage_windows import Heard
from frameworks.kit.clock import Clock, jitter, micros
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.eventlog import EventLog, Record, Subscription, UnknownTopic
from frameworks.kit.log import get

GROUP = "periscope-ingest"
READING, STORING = "reading", "storing"
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
PEEK = 0.05
"""Seconds that a wait for more records goes on after the batch before it was stored."""
MOST_NODES = 10_000
"""Nodes remembered between two times someone asks for them."""

T = TypeVar("T")

log = get("periscope-ingest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How many records and bytes are gathered, and for how long (seconds) before and after the first."""

    records: int = 4000
    size: int = 32 * 1024**2
    wait: float = 1.0
    linger: float = 0.0


@dataclass(slots=True)
class Gathered:
    """Records that will be stored together, each with what is in it."""

    records: list[Record] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    size: int = 0

    async def add(self, records: Sequence[Record]) -> None:
        """Read these too; others get their turn now and then."""
        self.records += records
        for number, record in enumerate(records, start=1):
            self.size += len(record.value)
            origin = f"{record.topic}/{record.partition}/{record.offset}"
            self.arrived.append(Arrived(decode(record.value), record.headers, origin))
            if number % 32 == 0:
                await asyncio.sleep(0)


class Consumer:
    """Reads one topic of the log as one member of the group `periscope-ingest`."""

    def __init__(
        self,
        eventlog: EventLog,
        ingest: Takes,
        clock: Clock,
        batching: Batching,
        topic: str = ANALYTICS_EVENTS,
    ) -> None:
        self._eventlog = eventlog
        self._ingest = ingest
        self._clock = clock
        self._batching = batching
        self._subscription: Subscription | None = None
        self._stored: dict[int, int] = {}
        self._heard: dict[tuple[str, str], Heard] = {}
        self._unclaimed = self._taken = 0
        self._lags: Mapping[int, int] = {}
        self.topic = topic
        self._awaited: dict[str, Refusal | Unavailable] = {}
        """What each kind of work waits for; storing says more than reading on."""

    async def run(self) -> None:
        """Consume for ever; while a sink is away the batch waits, nothing is skipped."""
        async with AsyncExitStack() as stack:
            subscription = await self._patiently(
                READING, lambda: stack.enter_async_context(self._eventlog.subscribe(self.topic, group=GROUP))
            )
            self._subscription = subscription
            storing: asyncio.Task[None] | None = None
            try:
                while True:
                    batch = await self._gather(subscription, storing)
                    if storing is not None and (batch.records or storing.done()):
                        await storing
                    if batch.records:
                        storing = asyncio.create_task(self._store(subscription, batch))
            finally:
                if storing is not None:
                    storing.cancel()

    async def step(self, subscription: Subscription) -> int:
        """Take one batch and commit it; the number of records."""
        batch = await self._gather(subscription)
        if batch.records:
            await self._store(subscription, batch)
        return len(batch.records)

    async def _gather(
        self, subscription: Subscription, storing: "asyncio.Task[None] | None" = None
    ) -> Gathered:
        """The next records, more than a few when more are there: all that come while others are being stored."""
        batching, batch = self._batching, Gathered()
        await batch.add(
            await self._patiently(READING, lambda: subscription.fetch(batching.records, batching.wait))
        )
        until = self._clock.monotonic() + batching.linger
        while batch.records and len(batch.records) < batching.records and batch.size < batching.size:
            left = until - self._clock.monotonic()
            if left <= 0:
                if storing is None or storing.done():
                    break
                left = PEEK
            try:
                await batch.add(await subscription.fetch(batching.records - len(batch.records), left))
            except Unavailable:
                break
        return batch

    async def _store(self, subscription: Subscription, batch: Gathered) -> None:
        """Store a batch, then commit it."""
        taken = await self._patiently(STORING, lambda: self._ingest.take(batch.arrived))
        await self._patiently(STORING, lambda: subscription.commit(batch.records))
        self._remember(batch.records, batch.arrived)
        self._unclaimed += taken.unclaimed
        self._taken += taken.stored
        metrics.STORED.inc(taken.stored)
        metrics.BURIED.inc(taken.buried)
        metrics.UNCLAIMED.inc(taken.unclaimed)
        metrics.BATCHES.observe(taken.stored)
        if taken.buried:
            log.error("events.buried", count=taken.buried)

    @property
    def last_error(self) -> str:
        """The code of what is waited for; empty when nothing is."""
        away = self._away()
        return away.code if away else ""

    def facts(self) -> dict[str, object]:
        """What `/health` says of this reader."""
        awaited = self._away()
        worst = max(self._lags, key=lambda number: self._lags[number], default=0)
        return {
            self.topic: {
                "group": GROUP,
                "last_error": self.last_error,
                "reason": awaited.message if awaited else "",
                "unclaimed": self._unclaimed,
                "stored": self._taken,
                "lag": sum(self._lags.values()),
                "worst_lag": self._lags.get(worst, 0),
                "worst_partition": worst,
                "partitions": len(self._lags),
            }
        }

    async def measure(self) -> None:
        """Look how far behind it is; while the log is away it is as far as it was."""
        if self._subscription is not None:
            try:
                self._lags = dict(await self._subscription.lags())
            except Unavailable as away:
                log.warning("lag.unknown", code=away.code)

    async def reached(self) -> Mapping[int, int]:
        """By partition it has: until when (microseconds) everything appended is stored and marked."""
        if self._subscription is None:
            return {}
        before = micros(self._clock.now())
        lags = await self._subscription.lags()
        return {number: before if lag == 0 else self._stored.get(number, 0) for number, lag in lags.items()}

    def heard(self) -> list[Heard]:
        """The nodes heard of since it was asked last, each as it was last."""
        nodes, self._heard = self._heard, {}
        return list(nodes.values())

    def _remember(self, records: Sequence[Record], batch: Sequence[Arrived]) -> None:
        for record, arrived in zip(records, batch, strict=True):
            at = self._stored[record.partition] = max(
                self._stored.get(record.partition, 0), record.timestamp_us
            )
            for node in arrived.decoded.nodes:
                place = node.cluster, node.node
                if place in self._heard or len(self._heard) < MOST_NODES:
                    before = self._heard.get(place)
                    self._heard[place] = Heard(
                        node if before is None or node.at > before.node.at else before.node, at
                    )

    async def _patiently(self, kind: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do it until it succeeds; only a dependency that is away is waited for."""
        wait = FIRST_WAIT
        while True:
            try:
                done = await work()
            except (Unavailable, UnknownTopic) as away:
                self._awaited[kind] = away
                metrics.PAUSES.labels(away.code).inc()
                log.warning("batch.delayed", reason=away.message, code=away.code, seconds=wait)
                await self._clock.sleep(jitter(wait))
                wait = min(wait * 2, LONGEST_WAIT)
            else:
                self._awaited.pop(kind, None)
                return done

    def _away(self) -> Refusal | Unavailable | None:
        return self._awaited.get(STORING) or self._awaited.get(READING)


def decode(value: bytes) -> Decoded:
    """Sort a record's events by type, reading only what changes state or usage; no event is set apart."""
    try:
        frames = EventFrames.FromString(value)
    except DecodeError:
        return Decoded({}, (value,), (), (), ())
    if len(UnknownFieldSet(frames)):
        return Decoded({}, (value,), (), (), ())
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for body in frames.events:
        found[body[18 : 21 + body[19]] if body[:2] == _ID_HEAD and len(body) > _HEAD else b""].append(body)
    reading = Reading()
    for key, bodies in found.items():
        if key in _NAMES:
            reading.by_type[_NAMES[key]] = bodies
        else:
            for body in bodies:
                reading.odd(body)
    return reading.decoded()


_ID_HEAD, _HEAD = b"\n\x10", 19
_NAMES = {b"\x12%c%b\x19" % (len(name), name.encode()): name for name in EVENT_TYPES}
"""What follows the id in an event whose fields come in order: the type, and the tag of the time.

Everything up to the stream's id then lies at a known place. An event that is laid out otherwise is decoded whole.
"""
_READ = frozenset({"stream-lifecycle", "user-connection", "node-lifecycle", "api-requests"})
"""Types decoded whole: state or usage is made of them."""
_MARKED = MARKING - _READ


class Reading:
    """What a record is found to hold."""

    def __init__(self) -> None:
        self.by_type: dict[str, list[bytes]] = {}
        self._odd: dict[str, list[bytes]] = {}
        self._bad: list[bytes] = []
        self._facts: list[Fact] = []
        self._touched: set[Touched] = set()
        self._streams: list[StreamChange] = []
        self._sessions: list[SessionChange] = []
        self._nodes: list[NodeHeard] = []

    def odd(self, body: bytes) -> None:
        """An event whose fields lie elsewhere, or bytes that are none."""
        try:
            event = Event.FromString(body)
            self._read(event)
        except (DecodeError, ValueError):
            self._bad.append(frame(body))
        else:
            self._odd.setdefault(event.type, []).append(body)

    def decoded(self) -> Decoded:
        """Everything found."""
        for name in self.by_type.keys() & _READ:
            self.by_type[name] = [body for body in self.by_type[name] if self._is_read(body)]
        for name in self.by_type.keys() & _MARKED:
            self._touch(name, self.by_type[name])
        for name, bodies in self._odd.items():
            self.by_type.setdefault(name, []).extend(bodies)
        parts = {name: bodies for name, bodies in self.by_type.items() if bodies}
        return Decoded(
            parts, self._bad, self._facts, self._streams, self._sessions, self._nodes, self._touched
        )

    def _is_read(self, body: bytes) -> bool:
        try:
            self._read(Event.FromString(body))
        except (DecodeError, ValueError):
            self._bad.append(frame(body))
            return False
        return True

    def _read(self, event: Event) -> None:
        """Everything an event changes. Raises ValueError when an id is none."""
        fact = _fact(event)
        if event.type == "stream-lifecycle":
            self._streams.append(_stream_change(event))
        elif event.type == "user-connection":
            self._sessions.append(_session_change(event))
        elif event.type == "node-lifecycle":
            self._nodes.append(NodeHeard(plain(event.cluster_id), plain(event.node_id), event.occurred_at))
        self._facts.append(fact)

    def _touch(self, name: str, bodies: Sequence[bytes]) -> None:
        """Where events of a type fall: the upper bytes of the time, the version, the tenant's and the stream's id."""
        start = 24 + len(name)
        for key in {body[start : start + 43] for body in bodies}:
            if key[5:6] == b" " and key[7:9] == b"*\x10" and key[25:27] == b"2\x10" and key[6] < 128:
                self._touched.add(Touched(name, key[:5], key[9:25], key[27:43]))
            else:
                self._facts += [
                    _fact(Event.FromString(body)) for body in bodies if body[start : start + 43] == key
                ]


def _fact(event: Event) -> Fact:
    at, lasted = event.occurred_at // BUCKET * BUCKET, 0
    if event.type == "stream-lifecycle":
        at, lasted = event.occurred_at, event.stream_lifecycle.duration_ms * 1000
    elif event.type == "user-connection":
        at, lasted = event.occurred_at, event.user_connection.seconds * SECOND
    subject = known_text(event.stream_id) if event.stream_id else plain(event.node_id)
    return Fact(known_id(event.tenant_id), event.type, subject, at, lasted, plain(event.cluster_id))


def _stream_change(event: Event) -> StreamChange:
    found = event.stream_lifecycle
    return StreamChange(
        tenant=known_id(event.tenant_id),
        stream=known_id(event.stream_id),
        epoch=event.claim_epoch,
        state=plain(found.state),
        at=event.occurred_at,
        event=UUID(bytes=event.event_id),
        node=plain(event.node_id),
        cluster=plain(event.cluster_id),
        reason=plain(found.reason),
        detail=plain(found.detail),
        up_bytes=found.up_bytes,
        down_bytes=found.down_bytes,
    )


def _session_change(event: Event) -> SessionChange:
    found = event.user_connection
    return SessionChange(
        tenant=known_id(event.tenant_id),
        stream=known_id(event.stream_id),
        node=plain(event.node_id),
        session=plain(found.session_id),
        opened=found.action == "connect",
        at=event.occurred_at,
    )
