"""Inbound events of Periscope: records of `analytics_events`, taken in batches, committed after the sinks."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError

from frameworks.contracts.framing import BrokenBatch, split, unframed
from frameworks.contracts.metrics import periscope as metrics
from frameworks.contracts.pb.events_v1_pb2 import Event, EventBatch
from frameworks.contracts.topics import ANALYTICS_EVENTS
from frameworks.data.periscope.domain import (
    BUCKET,
    SECOND,
    Decoded,
    Fact,
    SessionChange,
    StreamChange,
    plain,
)
from frameworks.data.periscope.service.ingest import Arrived, Ingest
from frameworks.kit.clock import Clock, jitter
from frameworks.kit.errors import Unavailable
from frameworks.kit.eventlog import EventLog, Record, Subscription
from frameworks.kit.log import get

GROUP = "periscope-ingest"
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0

T = TypeVar("T")

log = get("periscope-ingest")


class Consumer:
    """Reads the log as one member of the group `periscope-ingest`."""

    def __init__(
        self, eventlog: EventLog, ingest: Ingest, clock: Clock, *, records: int, wait: timedelta
    ) -> None:
        self._eventlog = eventlog
        self._ingest = ingest
        self._clock = clock
        self._records = records
        self._wait = wait.total_seconds()
        self._subscription: Subscription | None = None
        self.last_error = ""
        """Why the last batch had to wait; empty when it did not."""

    async def run(self) -> None:
        """Consume for ever; while a sink is away the batch waits, nothing is skipped."""
        async with self._eventlog.subscribe(ANALYTICS_EVENTS, group=GROUP) as subscription:
            self._subscription = subscription
            while True:
                await self.step(subscription)

    async def step(self, subscription: Subscription) -> int:
        """Take one batch and commit it; the number of records."""
        records = await self._patiently(lambda: subscription.fetch(self._records, self._wait))
        if not records:
            return 0
        batch = [_arrived(record) for record in records]
        taken = await self._patiently(lambda: self._ingest.take(batch))
        await self._patiently(lambda: subscription.commit(records))
        metrics.STORED.inc(taken.stored)
        metrics.BURIED.inc(taken.buried)
        metrics.BATCHES.observe(taken.stored)
        if taken.buried:
            log.error("events.buried", count=taken.buried)
        return len(records)

    async def lag(self) -> int:
        """Records waiting in the partitions this process has; 0 while it does not read."""
        return await self._subscription.lag() if self._subscription is not None else 0

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it until it succeeds; only a dependency that is away is waited for."""
        wait = FIRST_WAIT
        while True:
            try:
                done = await work()
            except Unavailable as away:
                self.last_error = away.code
                metrics.PAUSES.inc()
                log.warning("batch.delayed", reason=away.message, code=away.code, seconds=wait)
                await self._clock.sleep(jitter(wait))
                wait = min(wait * 2, LONGEST_WAIT)
            else:
                self.last_error = ""
                return done


def decode(value: bytes) -> Decoded:
    """Read a record's events; what is no event is set apart, byte for byte."""
    try:
        frames = split(value)
    except BrokenBatch:
        return Decoded((), (value,), (), (), ())
    try:
        events: Sequence[Event] = EventBatch.FromString(value).events
    except DecodeError:
        return _decode_singly(frames)
    return _decoded(frames, (), events)


def _decode_singly(frames: Sequence[bytes]) -> Decoded:
    good: list[bytes] = []
    bad: list[bytes] = []
    events: list[Event] = []
    for frame in frames:
        try:
            events.append(Event.FromString(unframed(frame)))
            good.append(frame)
        except DecodeError:
            bad.append(frame)
    return _decoded(good, bad, events)


def _decoded(frames: Sequence[bytes], bad: Sequence[bytes], events: Sequence[Event]) -> Decoded:
    touched: set[tuple[bytes, str, bytes | str, int, int]] = set()
    streams: list[StreamChange] = []
    sessions: list[SessionChange] = []
    for event in events:
        kind, at, lasted = event.type, event.occurred_at // BUCKET * BUCKET, 0
        if kind == "stream-lifecycle":
            streams.append(_stream_change(event))
            at, lasted = event.occurred_at, event.stream_lifecycle.duration_ms * 1000
        elif kind == "user-connection":
            sessions.append(_session_change(event))
            at, lasted = event.occurred_at, event.user_connection.seconds * SECOND
        touched.add((event.tenant_id, kind, event.stream_id or event.node_id, at, lasted))
    return Decoded(frames, bad, [_fact(*one) for one in touched], streams, sessions)


def _fact(tenant: bytes, kind: str, subject: bytes | str, at: int, lasted: int) -> Fact:
    name = subject if isinstance(subject, str) else str(UUID(bytes=subject))
    return Fact(UUID(bytes=tenant), kind, plain(name), at, lasted)


def _stream_change(event: Event) -> StreamChange:
    found = event.stream_lifecycle
    return StreamChange(
        tenant=UUID(bytes=event.tenant_id),
        stream=UUID(bytes=event.stream_id),
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
        tenant=UUID(bytes=event.tenant_id),
        stream=UUID(bytes=event.stream_id),
        node=plain(event.node_id),
        session=plain(found.session_id),
        opened=found.action == "connect",
        at=event.occurred_at,
    )


def _arrived(record: Record) -> Arrived:
    origin = f"{record.topic}/{record.partition}/{record.offset}"
    return Arrived(decode(record.value), record.headers, origin)
