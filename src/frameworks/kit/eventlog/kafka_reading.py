"""Reading from Kafka: a consumer in a thread of its own reads ahead into a bounded buffer.

librdkafka's consumer admits one caller at a time, so everything it is asked is an order to its thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from frameworks.kit import log
from frameworks.kit.clock import SystemClock, random_text
from frameworks.kit.eventlog import EventLogAway, Record
from frameworks.kit.eventlog.arrivals import wait_for_records
from frameworks.kit.eventlog.kafka_writing import DEDUPE_HEADER, soon

if TYPE_CHECKING:
    from frameworks.kit.eventlog.kafka import Cluster

AT_ONCE = 256
AHEAD, AHEAD_BYTES = 512, 16 * 1024 * 1024
IDLE = 0.02
STALLED = 1.0
DONE_WITHIN = 15.0
LEFT_WITHIN = 15.0
CONSUMER = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 100,
    "fetch.error.backoff.ms": 100,
    "queued.max.messages.kbytes": 32 * 1024,
    "fetch.max.bytes": 16 * 1024 * 1024,
    "receive.message.max.bytes": 100 * 1024 * 1024,
}

Order = Callable[[Consumer], None]


@dataclass(slots=True)
class Holding:
    """A partition this reader has: the first offset not committed, and the first not handed out."""

    done: int
    taken: int


class Reader:
    """One consumer of one topic; `held` says which partitions' records are handed out."""

    def __init__(
        self, cluster: "Cluster", topic: str, *, group: str = "", settings: Mapping[str, Any] | None = None
    ) -> None:
        self.held: dict[int, Holding] = {}
        self.reached: dict[int, int] = {}
        """Ends of partitions that were come to, when the settings ask for `enable.partition.eof`."""
        self.lock = Lock()
        self.closing = False
        self._cluster = cluster
        self.topic = topic
        options = {
            **cluster.options,
            **CONSUMER,
            "error_cb": cluster.on_trouble,
            # A reader without a group never commits: the name is only asked for by the library.
            "group.id": group or f"frameworks-{random_text(12)}",
            **(settings or {}),
        }
        self._consumer = Consumer(options, logger=cluster.logger)
        self._loop = asyncio.get_running_loop()
        self._clock = SystemClock()
        self._log = log.get("eventlog", topic=topic)
        self._arrived = asyncio.Event()
        self._buffer: deque[Record] = deque()
        self._bytes = 0
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._full_since: float | None = None
        self._paused: list[TopicPartition] = []
        self._thread = Thread(target=self._run, name=f"kafka-reader-{topic}", daemon=True)

    def start(self, first: Order) -> None:
        """Begin, with an order."""
        self.post(first)
        self._thread.start()

    def post(self, order: Order | None) -> None:
        """Have the thread do something soon; None only wakes it."""
        self._orders.put(order)

    async def do(self, work: Order) -> None:
        """Have the thread do something, and wait until it did."""
        done: asyncio.Future[None] = self._loop.create_future()

        def order(consumer: Consumer) -> None:
            try:
                work(consumer)
            finally:
                self.tell(done)

        self.post(order)
        try:
            async with asyncio.timeout(DONE_WITHIN):
                await done
        except TimeoutError as error:
            raise EventLogAway("The event log's reader does not answer.") from error

    def tell(self, future: "asyncio.Future[None]", error: Exception | None = None) -> None:
        """From the thread: resolve a future of the loop."""

        def resolve() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        soon(self._loop, resolve)

    async def close(self) -> None:
        """Stop reading and leave."""
        self.closing = True
        self.post(None)
        await asyncio.to_thread(self._thread.join, LEFT_WITHIN)

    async def fetch(self, limit: int, timeout: float) -> list[Record]:
        """The next records; Unavailable when there are none and the brokers are away."""
        records = await wait_for_records(lambda: self.take(limit), self._arrived, timeout)
        if not records:
            self._cluster.must_be_here()
            if not self._thread.is_alive() and not self.closing:
                raise RuntimeError("The reader's thread ended; its traceback is on stderr.")
        return records

    def take(self, limit: int) -> list[Record]:
        """At most `limit` records that are here already, of partitions we still have."""
        taken: list[Record] = []
        with self.lock:
            was_full = self._full()
            while self._buffer and len(taken) < limit:
                record = self._buffer.popleft()
                self._bytes -= len(record.value)
                if (holding := self.held.get(record.partition)) is not None:
                    holding.taken = record.offset + 1
                    taken.append(record)
            made_room = was_full and not self._full()
        if made_room:
            self.post(None)
        return taken

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what is buffered of these partitions; with the lock held."""
        gone = frozenset(partitions)
        self._buffer = deque(record for record in self._buffer if record.partition not in gone)
        self._bytes = sum(len(record.value) for record in self._buffer)

    def go_back(self, places: Mapping[int, int]) -> None:
        """Forget what is buffered of these partitions; they are read on from `places`. With the lock held."""
        self.drop(places)
        for number, offset in places.items():
            self.held[number].taken = offset

    def places(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        """The partitions and offsets as the library wants them."""
        return [TopicPartition(self.topic, number, offset) for number, offset in offsets.items()]

    def _full(self) -> bool:
        return len(self._buffer) >= AHEAD or self._bytes >= AHEAD_BYTES

    def _run(self) -> None:
        try:
            while not self.closing:
                try:
                    self._turn()
                except KafkaException as error:
                    self._log.warning("reader.failed", reason=error.args[0].name())
        finally:
            self._consumer.close()

    def _turn(self) -> None:
        """Carry out orders, read when there is room; wait a little when there is nothing to do."""
        full = self._full()
        self._obey(IDLE if full else 0.0)
        if full:
            self._stall()
            return
        self._full_since = None
        if self._paused:
            self._consumer.resume([place for place in self._paused if place.partition in self.held])
            self._paused = []
        messages = self._consumer.consume(AT_ONCE, 0)
        if not messages and (message := self._consumer.poll(IDLE)) is not None:
            messages = [message]
        if messages:
            self._keep(messages)

    def _obey(self, wait: float) -> None:
        try:
            order = self._orders.get(block=wait > 0, timeout=wait or None)
            while True:
                if order is not None:
                    order(self._consumer)
                order = self._orders.get_nowait()
        except Empty:
            return

    def _stall(self) -> None:
        """Nobody takes: after a while pause, so that the library can be polled and the group goes on."""
        now = self._clock.monotonic()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < STALLED:
            return
        if not self._paused:
            self._paused = self._consumer.assignment()
            self._consumer.pause(self._paused)
        if (message := self._consumer.poll(0)) is not None:
            self._keep([message])

    def _keep(self, messages: Sequence[Message]) -> None:
        records = [self._record(message) for message in messages if message.error() is None]
        for message in messages:
            if (error := message.error()) is not None:
                self._note(error, message)
        with self.lock:
            self._buffer.extend(records)
            self._bytes += sum(len(record.value) for record in records)
        soon(self._loop, self._arrived.set)

    def _note(self, error: KafkaError, message: Message) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self.reached[message.partition() or 0] = message.offset() or 0
        else:
            self._log.warning("record.not_read", reason=error.name())

    def _record(self, message: Message) -> Record:
        given = cast("list[tuple[str, bytes | None]]", message.headers() or [])
        headers = {name: (value or b"").decode(errors="replace") for name, value in given}
        dedupe_id = headers.pop(DEDUPE_HEADER, "")
        return Record(
            topic=self.topic,
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            value=message.value() or b"",
            headers=headers,
            timestamp_us=message.timestamp()[1] * 1000,
            dedupe_id=dedupe_id,
        )


class SoloSubscription:
    """Reads every partition of a topic for itself; commits are not kept."""

    def __init__(self, cluster: "Cluster", topic: str) -> None:
        self._cluster = cluster
        self._reader = Reader(cluster, topic)
        self.fetch = self._reader.fetch

    @property
    def partitions(self) -> frozenset[int]:
        """All of them."""
        return frozenset(self._reader.held)

    def open(self, starts: Mapping[int, int]) -> None:
        """Begin reading at these offsets."""
        reader = self._reader
        reader.held = {number: Holding(offset, offset) for number, offset in starts.items()}
        reader.start(lambda consumer: consumer.assign(reader.places(starts)))

    async def close(self) -> None:
        """Stop reading."""
        await self._reader.close()

    async def commit(self, records: Sequence[Record]) -> None:
        """Remember for `rewind` only."""
        for record in records:
            holding = self._reader.held[record.partition]
            holding.done = max(holding.done, record.offset + 1)

    async def rewind(self) -> None:
        """Back to what was committed, or to the first record."""
        reader = self._reader

        def back(consumer: Consumer) -> None:
            with reader.lock:
                places = {number: holding.done for number, holding in reader.held.items()}
                reader.go_back(places)
            consumer.assign(reader.places(places))

        await reader.do(back)

    async def lags(self) -> dict[int, int]:
        """Per partition: the records not fetched yet."""
        self._cluster.must_be_here()
        ends = await self._cluster.asking.ends(self._reader.topic, self._reader.held)
        return {
            number: max(0, ends[number] - holding.taken)
            for number, holding in self._reader.held.items()
            if number in ends
        }

    async def lag(self) -> int:
        """The sum of `lags`."""
        return sum((await self.lags()).values())
