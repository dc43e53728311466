"""How an edge hands its events to Decklog: durable on its own disk first, forgotten only when durable there.

Helmsman and Foghorn share this; each has a log of its own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

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

BATCH = 500
WINDOW = 8
"""Batches on their way; Decklog stores those that wait together."""


class _Stored(msgspec.Struct, array_like=True):
    event: bytes
    attribution: str
    note: bytes = b""


@dataclass(slots=True)
class _Sent:
    position: Position
    stored: list[_Stored]


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
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Stored).decode

    async def record(self, event: events.Event, attribution: str = "") -> None:
        """Make one event durable here; it will reach Decklog, whatever happens to this process."""
        await self.record_all([event], attribution)

    async def record_all(
        self, several: Sequence[events.Event], attribution: str = "", *, note: bytes = b""
    ) -> None:
        """Make events durable in one write; the note goes with the last one.

        The note is as durable as the event: what this edge's own state became with it.
        """
        notes = [b""] * (len(several) - 1) + [note]
        await self._wal.append(
            [
                self._encode(_Stored(event.SerializeToString(), attribution, each))
                for event, each in zip(several, notes, strict=True)
            ]
        )
        metrics.RECORDED.labels(self._service).inc(len(several))

    def notes(self) -> Iterator[bytes]:
        """The notes that came after the last snapshot, oldest first."""
        return (note for payload in self._wal.since_checkpoint() if (note := self._decode(payload).note))

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
        reached: Position | None = None
        try:
            async for ack in publish:
                sent = in_flight.popleft()
                room.release()
                for refused in ack.refused:
                    self._refuse(sent.stored[refused.index], refused)
                metrics.ACKNOWLEDGED.labels(self._service).inc(ack.accepted)
                reached = sent.position
                # What is forgotten late is sent again after a crash; so a write for every batch is not needed.
                if ack.sequence % (WINDOW // 2) == 0 or not in_flight:
                    await self._wal.acknowledge(reached)
        finally:
            if reached is not None:
                await self._wal.acknowledge(reached)

    def _credential(self) -> tuple[tuple[str, str], ...] | None:
        """A node sends as itself; without one the service's own token goes out."""
        return (("authorization", f"Bearer {self._node.bearer('decklog')}"),) if self._node else None

    def _refuse(self, stored: _Stored, refused: pb.Refused) -> None:
        metrics.REFUSED.labels(self._service).inc()
        self._log.error("event.refused", code=refused.code, reason=refused.message)
        self._wal.quarantine(self._encode(stored))

    async def _batches(
        self, in_flight: deque[_Sent], room: asyncio.Semaphore
    ) -> AsyncIterator[pb.PublishRequest]:
        """Oldest first, in order; a stream that is opened again starts behind what was acknowledged."""
        sequence, last = 0, None
        while True:
            await room.acquire()
            self._wal.arrived.clear()
            while not (records := self._wal.pending(max_records=BATCH, after=last)):
                await self._wal.arrived.wait()
                self._wal.arrived.clear()
            sequence, last = sequence + 1, records[-1][0]
            stored = [self._decode(payload) for _, payload in records]
            in_flight.append(_Sent(last, stored))
            yield _request(sequence, stored)


def _request(sequence: int, stored: list[_Stored]) -> pb.PublishRequest:
    attributions: dict[str, int] = {}
    envelopes = []
    for entry in stored:
        index = attributions.setdefault(entry.attribution, len(attributions) + 1) if entry.attribution else 0
        envelopes.append(pb.Envelope(event=entry.event, attribution=index))
    return pb.PublishRequest(sequence=sequence, attributions=list(attributions), events=envelopes)
