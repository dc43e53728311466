"""Reading one partition, a JetStream stream, in order, from a position of our own.

The pull consumer is disposable: after a reconnect, a gap or a missed heartbeat it is made anew where the last
record ended.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from frameworks.kit import log
from frameworks.kit.clock import SystemClock, jitter, random_text
from frameworks.kit.errors import Unavailable
from frameworks.kit.eventlog import MAX_VALUE, Record, Start
from frameworks.kit.eventlog.arrivals import wait_for_records
from frameworks.kit.eventlog.nats_layout import stream_of
from frameworks.kit.eventlog.nats_wire import MESSAGE_ID, record_headers, status_of
from frameworks.kit.tasks import end

if TYPE_CHECKING:
    from frameworks.kit.eventlog.nats import Connection

BATCH = 256
BATCH_BYTES = MAX_VALUE + 256 * 1024
PULL_FOR = 30.0
HEARTBEAT = 3.0
SILENCE = HEARTBEAT * 3
FORGOTTEN_AFTER = 60.0
RETRY = 0.25
NANO = 1_000_000_000
REQUEST = {
    "batch": BATCH,
    "max_bytes": BATCH_BYTES,
    "expires": int(PULL_FOR * NANO),
    "idle_heartbeat": int(HEARTBEAT * NANO),
}


class Lost(NatsError):
    """The consumer is gone or skipped something: make it anew."""


class Away(Unavailable):
    """The event log can not be reached, so there may be records we can not see."""

    code = "eventlog.away"


class Answers:
    """Hands on the records that answer one request after the other, and notices when there are no answers."""

    def __init__(self, accept: Callable[[bytes, bytes, bytes], None]) -> None:
        self._accept = accept
        self._left = 0
        self._closed = False
        self._ended: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None

    def expect(self, records: int) -> "asyncio.Future[None]":
        """Done once a request for so many records is answered; Lost when its answers stop before they should."""
        self._left, self._ended, self._heard_at = records, self._loop.create_future(), self._loop.time()
        self._look_later()
        return self._ended

    def close(self) -> None:
        """Hand on nothing more."""
        self._closed = True
        self._end()

    def take(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        """A record, a heartbeat, or the end of the request."""
        if self._closed:
            return
        self._heard_at = self._loop.time()
        if reply.startswith(b"$JS.ACK."):  # also one that an earlier request was still owed
            try:
                self._accept(reply, headers, payload)
            except Lost as lost:
                self._end(lost)
            self._left -= 1
            if self._left == 0:
                self._end()
            return
        status, description = status_of(headers) or ("no status", "")
        if status in {"404", "408"} or (status == "409" and _ends_request(description)):
            self._end()
        elif status != "100":
            self._end(Lost(f"the consumer answered {status}"))

    def _end(self, lost: Lost | None = None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._ended is None or self._ended.done():
            return
        if lost is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(lost)

    def _look_later(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._loop.call_at(self._heard_at + SILENCE, self._look)

    def _look(self) -> None:
        if self._loop.time() < self._heard_at + SILENCE:
            self._look_later()
        else:
            self._end(Lost("the consumer went silent"))


class Reader:
    """One partition, read ahead into a bounded buffer."""

    def __init__(
        self, connection: "Connection", topic: str, partition: int, arrived: asyncio.Event | None = None
    ) -> None:
        self.partition = partition
        self._connection = connection
        self._topic = topic
        self._stream = stream_of(topic, partition)
        self._arrived = arrived or asyncio.Event()
        self._buffer: deque[Record] = deque()
        self._buffered = 0
        self._room = asyncio.Event()
        self._clock = SystemClock()
        self._log = log.get("eventlog", topic=topic, partition=partition)
        self._since: datetime | None = None
        self._next = 1
        self._consumer = ""
        self._sequence = 0
        self._seeks = 0
        self._made_after = -1
        self._pump: asyncio.Task[None] | None = None
        self._answers: Answers | None = None
        self._loop: asyncio.Task[None] | None = None

    async def open(self, start: Start) -> None:
        """Begin reading at `start`; raises what NATS raises when it can not."""
        if isinstance(start, datetime):
            self._since = start
        else:
            self._next = await first_offset(self._connection, self._topic, self.partition, start)
        await self._create()
        self._connection.listeners.add(self._restart)
        self._loop = asyncio.create_task(self._run(), name=f"read-{self._stream}")

    async def close(self) -> None:
        """Stop reading and forget the consumer."""
        self._connection.listeners.discard(self._restart)
        if self._loop is not None:
            await end([self._loop])
        await self._delete()

    def take(self, limit: int) -> list[Record]:
        """At most `limit` records that are here already."""
        taken = [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]
        self._buffered -= sum([len(record.value) for record in taken])
        if self._has_room():
            self._room.set()
        return taken

    async def wait_take(self, limit: int, timeout: float) -> list[Record]:
        """At most `limit` records, waiting up to `timeout` seconds for the first."""
        return await wait_for_records(lambda: self.take(limit), self._arrived, timeout)

    async def seek(self, offset: int) -> None:
        """Drop what is buffered and read on from `offset`."""
        self._buffer.clear()
        self._buffered = 0
        self._since, self._next = None, offset
        self._seeks += 1
        self._room.set()
        self._restart()

    async def unread(self) -> int:
        """How many stored records have not been taken yet."""
        details = await self._connection.js.consumer_info(self._stream, self._consumer)
        delivered = details.delivered.consumer_seq if details.delivered else 0
        return (details.num_pending or 0) + delivered - self._sequence + len(self._buffer)

    def _has_room(self) -> bool:
        return len(self._buffer) < BATCH // 2 and self._buffered < BATCH_BYTES

    def _restart(self) -> None:
        if self._answers is not None:
            self._answers.close()
        if self._pump is not None:
            self._pump.cancel()

    async def _run(self) -> None:
        """Pump; whenever that ends, begin again where the last record ended."""
        while True:
            try:
                await self._connection.restored.wait()
                while self._made_after != self._seeks:
                    await self._create()
                self._pump = asyncio.create_task(self._pull_forever())
                await asyncio.wait({self._pump})
                if not self._pump.cancelled() and (failure := self._pump.exception()) is not None:
                    raise failure
            except (NatsError, OSError, TimeoutError) as error:
                self._log.info("reader.restarted", reason=repr(error))
                await self._clock.sleep(jitter(RETRY))
            finally:
                self._made_after = -1
                if self._pump is not None:
                    self._pump.cancel()

    async def _create(self) -> None:
        name, seeks = random_text(20), self._seeks
        options: dict[str, Any] = (
            {"opt_start_time": self._since} if self._since else {"opt_start_seq": self._next}
        )
        config = ConsumerConfig(
            name=name,
            deliver_policy=DeliverPolicy.BY_START_TIME if self._since else DeliverPolicy.BY_START_SEQUENCE,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=FORGOTTEN_AFTER,
            mem_storage=True,
            **options,
        )
        await self._connection.js.add_consumer(self._stream, config)
        self._consumer, self._sequence, self._made_after = name, 0, seeks

    async def _delete(self) -> None:
        if not self._connection.client.is_connected:
            return
        try:
            await self._connection.js.delete_consumer(self._stream, self._consumer)
        except (NatsError, OSError, TimeoutError) as error:
            self._log.info("consumer.left_behind", reason=repr(error))

    async def _pull_forever(self) -> None:
        client, request = self._connection.client, msgspec.json.encode(REQUEST)
        self._answers = answers = Answers(self._accept)
        inbox = await client.listen(client.new_inbox(), answers.take)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        try:
            while True:
                self._room.clear()
                if not self._has_room():
                    await self._room.wait()
                ended = answers.expect(BATCH)
                await client.publish(subject, request, inbox.subject)
                await ended
        finally:
            answers.close()
            await client.unlisten(inbox)

    def _accept(self, reply: bytes, block: bytes, value: bytes) -> None:
        offset, sequence, stamp = _place(reply)
        if sequence != self._sequence + 1:
            raise Lost(f"a record is missing: {sequence} came after {self._sequence}")
        self._sequence = sequence
        self._since, self._next = None, offset + 1
        headers = record_headers(block) if block else {}
        self._buffer.append(
            Record(
                topic=self._topic,
                partition=self.partition,
                offset=offset,
                value=value,
                dedupe_id=headers.pop(MESSAGE_ID, ""),
                headers=headers,
                timestamp_us=stamp // 1000,
            )
        )
        self._buffered += len(value)
        self._arrived.set()


def _place(reply: bytes) -> tuple[int, int, int]:
    """A record's offset, which one the consumer says it is, and the nanosecond it was stored in."""
    fields = reply.split(b".")
    try:
        offset, sequence, stamp = map(int, fields[5:8] if len(fields) == 9 else fields[7:10])
    except ValueError as error:
        raise Lost(f"not a place of a record: {reply!r}") from error
    return offset, sequence, stamp


def _ends_request(description: str) -> bool:
    """409 also says, harmlessly, that a request got its bytes or its batch."""
    reason = description.lower()
    return "max" in reason or "batch completed" in reason


async def first_offset(connection: "Connection", topic: str, partition: int, start: Start) -> int:
    """The offset of the first record wanted."""
    if start == "earliest":
        return 1
    if start == "latest":
        return (await connection.js.stream_info(stream_of(topic, partition))).state.last_seq + 1
    if isinstance(start, Mapping):
        return max(1, start.get(partition, 1))
    assert isinstance(start, int)
    return max(1, start)


def take_fairly(readers: Sequence[Reader], limit: int) -> list[Record]:
    """Records of several readers, a share of each first: a busy partition does not starve the others."""
    taken: list[Record] = []
    share = max(1, limit // max(1, len(readers)))
    for reader in readers:
        taken += reader.take(min(share, limit - len(taken)))
    for reader in readers:
        taken += reader.take(limit - len(taken))
    return taken


class SoloSubscription:
    """Reads every partition of a topic for itself; commits are not kept."""

    def __init__(self, connection: "Connection", topic: str, partitions: int) -> None:
        self._connection = connection
        self._topic = topic
        self._arrived = asyncio.Event()
        self._readers = [Reader(connection, topic, number, self._arrived) for number in range(partitions)]
        self._done: dict[int, int] = {}
        self._first: dict[int, int] = {}

    @property
    def partitions(self) -> frozenset[int]:
        """All of them."""
        return frozenset(reader.partition for reader in self._readers)

    async def open(self, start: Start) -> None:
        """Begin reading."""
        await asyncio.gather(*(reader.open(start) for reader in self._readers))

    async def close(self) -> None:
        """Stop reading."""
        await asyncio.gather(*(reader.close() for reader in self._readers))

    async def fetch(self, max_records: int, timeout: float) -> list[Record]:
        """The next records; Unavailable when there are none and the server is away."""
        records = await wait_for_records(
            lambda: take_fairly(self._readers, max_records), self._arrived, timeout
        )
        if not records and not self._connection.client.is_connected:
            raise Away("The event log is away.")
        for record in records:
            self._first.setdefault(record.partition, record.offset)
        return records

    async def commit(self, records: Iterable[Record]) -> None:
        """Remember for `rewind` only."""
        for record in records:
            self._done[record.partition] = max(record.offset, self._done.get(record.partition, 0))

    async def rewind(self) -> None:
        """Back to what was committed, or to the first record fetched."""
        for reader in self._readers:
            target = self._done.get(reader.partition, self._first.get(reader.partition, 0) - 1) + 1
            if target > 0:
                await reader.seek(target)

    async def lags(self) -> dict[int, int]:
        """Per partition: the records not fetched yet."""
        try:
            return {reader.partition: await reader.unread() for reader in self._readers}
        except (NatsError, OSError, TimeoutError) as error:
            raise Away("The event log is away.") from error

    async def lag(self) -> int:
        """The sum of `lags`."""
        return sum((await self.lags()).values())
