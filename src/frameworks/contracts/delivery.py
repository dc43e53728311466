"""How an edge hands its events to Decklog: durable on its own disk first, forgotten only when durable there.

Helmsman and Foghorn share this; each has a log of its own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from google.protobuf.message import DecodeError

from frameworks.contracts.framing import join, parts
from frameworks.contracts.metrics import delivery as metrics
from frameworks.contracts.pb import decklog_v1_pb2 as pb
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, jitter
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.identity import NodeIdentity
from frameworks.kit.wal import Position, WriteAheadLog

if TYPE_CHECKING:
    from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceAsyncStub

BATCH, BATCH_BYTES = 1000, 192 << 10
"""Events in a batch, and about as many bytes of them."""
WINDOW = 8
"""Batches on their way; Decklog stores those that wait together."""
CURSOR_EVERY = 4
"""Acknowledged batches that are forgotten in one write. What is forgotten late is sent again after a crash."""


class _Group(msgspec.Struct, array_like=True, tag=2):
    """A record of the log: events that one attribution speaks for."""

    count: int
    attribution: str
    note: bytes
    events: bytes
    """Framed: `contracts.framing`."""


class _Stored(msgspec.Struct, array_like=True):
    """A record as it was written before there were groups: one event."""

    event: bytes
    attribution: str
    note: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode_group = msgspec.msgpack.Decoder(_Group).decode
_decode_stored = msgspec.msgpack.Decoder(_Stored).decode
_TAGGED = _encode(_Group(0, "", b"", b""))[:2]


class BrokenRecord(ValueError):
    """A record of the log that no build of ours wrote whole, or that a later one did."""


class Misunderstood(Unavailable):
    """Decklog answered less than it was asked, as one does that does not know groups yet: nothing is forgotten."""

    code = "delivery.misunderstood"


@dataclass(slots=True)
class _Sent:
    position: Position
    request: pb.PublishRequest
    events: int

    def event(self, index: int) -> tuple[bytes, str]:
        """One of the events, and the word it was sent under."""
        for group in self.request.groups:
            found = parts(group.events)
            if index < len(found):
                return found[index], self.request.attributions[
                    group.attribution - 1
                ] if group.attribution else ""
            index -= len(found)
        raise Misunderstood("Decklog refused an event that it was not sent.")


class EventDelivery:
    """Takes events, keeps them on disk, sends them oldest first until Decklog's durable acknowledgement."""

    def __init__(
        self,
        service: str,
        wal: WriteAheadLog,
        decklog: "DecklogServiceAsyncStub",
        clock: Clock,
        node: NodeIdentity | None = None,
    ) -> None:
        self._wal = wal
        self._decklog = decklog
        self._clock = clock
        self._node = node
        self._log = logs.get(service)
        self._service = service
        self._set_aside = Position(0, 0)
        """Broken records up to here are in quarantine already."""
        self._recorded = metrics.RECORDED.labels(service)

    async def record(self, event: events.Event, attribution: str = "") -> None:
        """Make one event durable here; it will reach Decklog, whatever happens to this process."""
        await self.record_all([event], attribution)

    async def record_all(
        self, several: Sequence[events.Event], attribution: str = "", *, note: bytes = b""
    ) -> None:
        """Make events durable in one write; the note goes with the last one.

        The note is as durable as the event: what this edge's own state became with it.
        """
        groups = _groups([event.SerializeToString() for event in several], attribution)
        if note:
            groups[-1].note = note
        await self._wal.append([_encode(group) for group in groups])
        self._recorded.inc(len(several))

    def notes(self) -> Iterator[bytes]:
        """The notes that came after the last snapshot, oldest first; a broken record has none."""
        for payload in self._wal.since_checkpoint():
            try:
                note = _decode(payload).note
            except BrokenRecord:
                continue
            if note:
                yield note

    def end(self) -> Position:
        """How far the log is durable."""
        return self._wal.end

    async def snapshot_holds(self, position: Position) -> None:
        """The notes up to `position` are in a snapshot. Raises DiskRefused."""
        await self._wal.checkpoint(position)

    def lag_bytes(self) -> int:
        """Bytes waiting for Decklog."""
        return self._wal.bytes_pending

    async def run(self) -> None:
        """Send for ever; a Decklog that is away, or that refuses us whole, is tried again: nothing is dropped."""
        wait = 0.2
        while True:
            try:
                await self._send_all()
                wait = 0.2
            except (Unavailable, Refusal) as away:
                metrics.RETRIES.labels(self._service).inc()
                self._log.warning(
                    "delivery.delayed", reason=away.message, pending_bytes=self._wal.bytes_pending
                )
                await self._clock.sleep(jitter(wait))
                wait = min(wait * 2, 10.0)

    async def _send_all(self) -> None:
        """One Publish stream, few batches ahead of their acknowledgements."""
        in_flight: deque[_Sent] = deque()
        room = asyncio.Semaphore(WINDOW)
        publish = self._decklog.Publish(self._batches(in_flight, room), metadata=self._credential())
        acknowledged = metrics.ACKNOWLEDGED.labels(self._service)
        reached: Position | None = None
        try:
            async for ack in publish:
                sent = in_flight.popleft()
                room.release()
                if ack.accepted + len(ack.refused) != sent.events:
                    raise Misunderstood("Decklog did not say what became of every event.")
                for refused in ack.refused:
                    self._refuse(sent, refused)
                acknowledged.inc(ack.accepted)
                reached = sent.position
                if not in_flight:
                    self._wal.arrived.set()  # what was gathered meanwhile goes now
                if ack.sequence % CURSOR_EVERY == 0 or not self._wal.bytes_behind(reached):
                    await self._wal.acknowledge(reached)
        finally:
            if reached is not None:
                await self._wal.acknowledge(reached)

    def _credential(self) -> tuple[tuple[str, str], ...] | None:
        """A node sends as itself; without one the service's own token goes out."""
        return (("authorization", f"Bearer {self._node.bearer('decklog')}"),) if self._node else None

    def _refuse(self, sent: _Sent, refused: pb.Refused) -> None:
        metrics.REFUSED.labels(self._service).inc()
        self._log.error("event.refused", code=refused.code, reason=refused.message)
        event, word = sent.event(refused.index)
        self._wal.quarantine(_encode(_Group(1, word, b"", join([event]))))

    def _set_aside_broken(self, records: Sequence[tuple[Position, bytes]]) -> None:
        """What can not be read can not be sent, and must not hold up what comes after it."""
        for position, payload in records:
            if position > self._set_aside:
                metrics.REFUSED.labels(self._service).inc()
                self._log.error("delivery.broken_record", segment=position.segment, offset=position.offset)
                self._wal.quarantine(payload)
                self._set_aside = position

    async def _batches(
        self, in_flight: deque[_Sent], room: asyncio.Semaphore
    ) -> AsyncIterator[pb.PublishRequest]:
        """Oldest first, in order; a stream that is opened again starts behind what was acknowledged.

        What comes while a batch is on its way is gathered until that is acknowledged or there is a whole one.
        """
        sequence, last = 0, None
        while True:
            await room.acquire()
            while self._wal.bytes_behind(last) < (BATCH_BYTES if in_flight else 1):
                self._wal.arrived.clear()
                await self._wal.arrived.wait()
            records = self._wal.pending(max_records=BATCH, max_bytes=BATCH_BYTES, after=last)
            last, groups, broken = _up_to(BATCH, records)
            self._set_aside_broken(broken)
            if not groups:
                room.release()
                if in_flight:
                    in_flight[-1].position = last
                else:
                    await self._wal.acknowledge(last)
                continue
            sequence += 1
            request = _request(sequence, groups)
            in_flight.append(_Sent(last, request, sum(group.count for group in groups)))
            yield request


def _groups(events: Sequence[bytes], attribution: str) -> list[_Group]:
    """Serialised events as records, none larger than a batch unless an event is."""
    if len(events) <= BATCH and sum(map(len, events)) <= BATCH_BYTES:
        return [_Group(len(events), attribution, b"", join(events))]
    found, start, size = [], 0, 0
    for at, event in enumerate(events):
        if at > start and (at - start == BATCH or size + len(event) > BATCH_BYTES):
            found.append(_Group(at - start, attribution, b"", join(events[start:at])))
            start, size = at, 0
        size += len(event)
    return [*found, _Group(len(events) - start, attribution, b"", join(events[start:]))]


def _decode(payload: bytes) -> _Group:
    try:
        if payload.startswith(_TAGGED):
            return _decode_group(payload)
        stored = _decode_stored(payload)
    except msgspec.MsgspecError as error:
        raise BrokenRecord(str(error)) from error
    return _Group(1, stored.attribution, stored.note, join([stored.event]))


def _sendable(payload: bytes) -> _Group:
    """The group of a record, its events as many as it says: Decklog's answer is counted by them."""
    group = _decode(payload)
    try:
        found = len(parts(group.events))
    except DecodeError as error:
        raise BrokenRecord("The record's events can not be taken apart.") from error
    if found != group.count:
        raise BrokenRecord(f"The record says {group.count} events and holds {found}.")
    return group


def _up_to(
    most: int, records: Sequence[tuple[Position, bytes]]
) -> tuple[Position, list[_Group], list[tuple[Position, bytes]]]:
    """The first groups that hold at most so many events in all, one at least; where the last ends; broken records."""
    last, groups, broken = records[0][0], list[_Group](), list[tuple[Position, bytes]]()
    for position, payload in records:
        try:
            group = _sendable(payload)
        except BrokenRecord:
            broken.append((position, payload))
        else:
            most -= group.count
            if most < 0 and groups:
                break
            groups.append(group)
        last = position
    return last, groups, broken


def _request(sequence: int, groups: Sequence[_Group]) -> pb.PublishRequest:
    request = pb.PublishRequest(sequence=sequence)
    words: dict[str, int] = {}
    for group in groups:
        index = words.setdefault(group.attribution, len(words) + 1) if group.attribution else 0
        request.groups.add(events=group.events, attribution=index)
    request.attributions.extend(words)
    return request
