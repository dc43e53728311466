"""Inbound events of Periscope: records of `analytics_events`, taken in batches, committed after the sinks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from frameworks.contracts.metrics import periscope as metrics
from frameworks.contracts.topics import ANALYTICS_EVENTS
from frameworks.data.periscope.consumers.reading import Reading
from frameworks.data.periscope.domain import NodeHeard
from frameworks.data.periscope.service.by_store import Takes
from frameworks.data.periscope.service.ingest import Arrived, Source
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
AT_ONCE = 1024**2
"""Bytes of records read together; others get their turn in between."""
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
    """Records that will be stored together, and what is in them."""

    records: list[Record] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    nodes: list[tuple[Record, NodeHeard]] = field(default_factory=list)
    size: int = 0

    async def add(self, records: Sequence[Record], store_of: Callable[[Mapping[str, str]], str]) -> None:
        """Read these too; others get their turn in between."""
        self.records += records
        self.size += sum(len(record.value) for record in records)
        stores: dict[str, list[Record]] = {}
        for record in records:
            stores.setdefault(store_of(record.headers), []).append(record)
        for name, of_store in stores.items():
            for some in _pieces(of_store):
                await self._read(some, name)

    async def _read(self, records: Sequence[Record], store: str) -> None:
        await asyncio.sleep(0)
        reading = Reading([record.value for record in records])
        for _ in reading.steps():
            await asyncio.sleep(0)
        decoded = reading.decoded()
        sources = [Source(r.headers, f"{r.topic}/{r.partition}/{r.offset}") for r in records]
        self.arrived.append(Arrived(decoded, sources, store))
        self.nodes += [(records[number], node) for number, node in decoded.nodes]


def _pieces(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Records to be read together."""
    piece: list[Record] = []
    size = 0
    for record in records:
        piece.append(record)
        size += len(record.value)
        if size >= AT_ONCE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


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
        first = await self._patiently(READING, lambda: subscription.fetch(batching.records, batching.wait))
        await batch.add(first, self._ingest.store_of)
        until = self._clock.monotonic() + batching.linger
        while batch.records and len(batch.records) < batching.records and batch.size < batching.size:
            left = until - self._clock.monotonic()
            if left <= 0:
                if storing is None or storing.done():
                    break
                left = PEEK
            try:
                more = await subscription.fetch(batching.records - len(batch.records), left)
            except Unavailable:
                break
            await batch.add(more, self._ingest.store_of)
        return batch

    async def _store(self, subscription: Subscription, batch: Gathered) -> None:
        """Store a batch, then commit it."""
        taken = await self._patiently(STORING, lambda: self._ingest.take(batch.arrived))
        await self._patiently(STORING, lambda: subscription.commit(batch.records))
        self._remember(batch)
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

    def _remember(self, batch: Gathered) -> None:
        for record, node in batch.nodes:
            at = max(self._stored.get(record.partition, 0), record.timestamp_us)
            place = node.cluster, node.node
            before = self._heard.get(place)
            if before is not None:
                node, at = max(before.node, node, key=lambda heard: heard.at), max(before.seen_at, at)
            if before is not None or len(self._heard) < MOST_NODES:
                self._heard[place] = Heard(node, at)
        for record in batch.records:
            stored = self._stored.get(record.partition, 0)
            self._stored[record.partition] = max(stored, record.timestamp_us)

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
