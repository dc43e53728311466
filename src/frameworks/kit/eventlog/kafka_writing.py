"""Appending to Kafka: an idempotent producer, and the thread that hears its acknowledgements."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from frameworks.kit import log
from frameworks.kit.clock import SystemClock
from frameworks.kit.eventlog import MAX_VALUE, EventLogAway, Outgoing

DEDUPE_HEADER = "Frameworks-Dedupe-Id"
ACKNOWLEDGED_WITHIN = 15.0
MAX_BATCH = 1_000_000
MAX_RECORD = MAX_VALUE + 256 * 1024
QUEUED_KBYTES = 256 * 1024
LINGER_MS = 2
HEARD_EVERY = 0.1
ROOM_EVERY = 0.005
PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": LINGER_MS,
    "batch.size": MAX_BATCH,
    "message.max.bytes": MAX_RECORD,
    "queue.buffering.max.kbytes": QUEUED_KBYTES,
    "message.timeout.ms": int(ACKNOWLEDGED_WITHIN * 1000),
    "request.timeout.ms": 10_000,
}
"""`enable.idempotence` covers the producer's own retries, within one life of the producer, and keeps order."""


def soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """From another thread: call back in the loop; when that has ended, nobody listens any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


class Flight:
    """Records that were handed over together; lands when the last is acknowledged or given up."""

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.landed: asyncio.Future[KafkaError | None] = self._loop.create_future()
        self._left = count
        self._error: KafkaError | None = None

    def acknowledge(self, error: KafkaError | None, _message: Message) -> None:
        """One record's outcome; called in the writer's thread only, so that counting needs no lock."""
        self._left -= 1
        if error is not None and self._error is None:
            self._error = error
        if self._left == 0:
            soon(self._loop, self._land)

    def _land(self) -> None:
        if not self.landed.done():
            self.landed.set_result(self._error)


class Writer:
    """Appends in order; many callers share one producer."""

    def __init__(
        self, options: Mapping[str, Any], *, troubled: Callable[[KafkaError], None], logger: Any
    ) -> None:
        self._options = {**options, **PRODUCER, "error_cb": self._on_error}
        self._troubled = troubled
        self._logger = logger
        self._clock = SystemClock()
        self._log = log.get("eventlog")
        self._broken = False
        self._closing = False
        self._producer = Producer(self._options, logger=logger)
        self._thread = Thread(target=self._hear, name="kafka-writer", daemon=True)
        self._thread.start()

    async def append(self, records: Sequence[Outgoing]) -> KafkaError | None:
        """Hand all over and wait for the last acknowledgement; the first failure, if any."""
        if not records:
            return None
        flight = Flight(len(records))
        for record in records:
            await self._hand_over(record, flight)
        try:
            async with asyncio.timeout(2 * ACKNOWLEDGED_WITHIN):
                return await flight.landed
        except TimeoutError as error:
            raise EventLogAway(
                "The event log did not acknowledge every record: publish all again."
            ) from error

    async def _hand_over(self, record: Outgoing, flight: Flight) -> None:
        headers: dict[str, str | bytes | None] = {**record.headers}
        if record.dedupe_id:
            headers[DEDUPE_HEADER] = record.dedupe_id
        deadline = 0.0
        while True:
            try:
                return self._producer.produce(
                    record.topic,
                    record.value,
                    b"%d" % record.partition,
                    record.partition,
                    flight.acknowledge,
                    headers=headers,
                )
            except BufferError as error:
                now = self._clock.monotonic()
                deadline = deadline or now + ACKNOWLEDGED_WITHIN
                if now > deadline:
                    raise EventLogAway("Too many records wait for the event log already.") from error
                await self._clock.sleep(ROOM_EVERY)

    def give_up(self) -> None:
        """Fail what is not acknowledged yet: the caller learns at once that the brokers are gone."""
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)

    async def close(self) -> None:
        """Leave at once."""
        self._closing = True
        await asyncio.to_thread(self._thread.join)

    def _hear(self) -> None:
        while not self._closing:
            self._producer.poll(HEARD_EVERY)
            if self._broken:
                self._renew()
        self._end()

    def _renew(self) -> None:
        """A producer whose sequence can not be trusted any more refuses everything: take another."""
        self._log.warning("producer.renewed")
        self._end()
        self._broken = False
        self._producer = Producer(self._options, logger=self._logger)

    def _end(self) -> None:
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        self._producer.flush(1.0)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._broken = True
        self._troubled(error)
