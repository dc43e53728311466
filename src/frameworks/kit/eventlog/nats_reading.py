"""Reading one partition of a JetStream stream in order, from a position of our own.

The pull consumer is disposable: after a reconnect, a gap or a missed heartbeat it is made anew where the last
record ended.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as Inbox
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from frameworks.kit import log
from frameworks.kit.clock import SystemClock, jitter, random_text
from frameworks.kit.errors import Unavailable
from frameworks.kit.eventlog import MAX_VALUE, Record, Start
from frameworks.kit.eventlog.arrivals import wait_for_records

if TYPE_CHECKING:
    from frameworks.kit.eventlog.nats import Connection

BATCH = 256
BATCH_BYTES = MAX_VALUE + 256 * 1024
PULL_FOR = 30.0
HEARTBEAT = 3.0
FORGOTTEN_AFTER = 60.0
RETRY = 0.25
NANO = 1_000_000_000
EMPTY_HEADERS: Mapping[str, str] = {}


class Lost(NatsError):
    """The consumer is gone or skipped something: make it anew."""


class Away(Unavailable):
    """The event log can not be reached, so there may be records we can not see."""

    code = "eventlog.away"


class Reader:
    """One partition, read ahead into a bounded buffer."""

    def __init__(
        self, connection: "Connection", topic: str, partition: int, arrived: asyncio.Event | None = None
    ) -> None:
        self.partition = partition
        self._connection = connection
        self._topic = topic
        self._subject = f"{topic}.{partition}"
        self._arrived = arrived or asyncio.Event()
        self._buffer: deque[Record] = deque()
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
        self._loop: asyncio.Task[None] | None = None

    async def open(self, start: Start) -> None:
        """Begin reading at `start`; raises what NATS raises when it can not."""
        if isinstance(start, datetime):
            self._since = start
        else:
            self._next = await first_offset(self._connection, self._topic, self.partition, start)
        await self._create()
        self._connection.listeners.add(self._restart)
        self._loop = asyncio.create_task(self._run(), name=f"read-{self._subject}")

    async def close(self) -> None:
        """Stop reading and forget the consumer."""
        self._connection.listeners.discard(self._restart)
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})
        await self._delete()

    def take(self, limit: int) -> list[Record]:
        """At most `limit` records that are here already."""
        taken = [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]
        if len(self._buffer) < BATCH // 2:
            self._room.set()
        return taken

    async def wait_take(self, limit: int, timeout: float) -> list[Record]:
        """At most `limit` records, waiting up to `timeout` seconds for the first."""
        return await wait_for_records(lambda: self.take(limit), self._arrived, timeout)

    async def seek(self, offset: int) -> None:
        """Drop what is buffered and read on from `offset`."""
        self._buffer.clear()
        self._since, self._next = None, offset
        self._seeks += 1
        self._room.set()
        self._restart()

    async def unread(self) -> int:
        """How many stored records have not been taken yet."""
        details = await self._connection.js.consumer_info(stream_of(self._topic), self._consumer)
        delivered = details.delivered.consumer_seq if details.delivered else 0
        return (details.num_pending or 0) + delivered - self._sequence + len(self._buffer)

    def _restart(self) -> None:
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
            filter_subject=self._subject,
            inactive_threshold=FORGOTTEN_AFTER,
            mem_storage=True,
            **options,
        )
        await self._connection.js.add_consumer(stream_of(self._topic), config)
        self._consumer, self._sequence, self._made_after = name, 0, seeks

    async def _delete(self) -> None:
        if not self._connection.client.is_connected:
            return
        try:
            await self._connection.js.delete_consumer(stream_of(self._topic), self._consumer)
        except (NatsError, OSError, TimeoutError) as error:
            self._log.info("consumer.left_behind", reason=repr(error))

    async def _pull_forever(self) -> None:
        client = self._connection.client
        inbox = await client.subscribe(client.new_inbox())
        request = msgspec.json.encode(
            {
                "batch": BATCH,
                "max_bytes": BATCH_BYTES,
                "expires": int(PULL_FOR * NANO),
                "idle_heartbeat": int(HEARTBEAT * NANO),
            }
        )
        try:
            while True:
                self._room.clear()
                if len(self._buffer) >= BATCH // 2:
                    await self._room.wait()
                await client.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{stream_of(self._topic)}.{self._consumer}",
                    request,
                    inbox.subject,
                )
                await self._receive(inbox)
        finally:
            if client.is_connected:
                await inbox.unsubscribe()

    async def _receive(self, inbox: Inbox) -> None:
        """Take the answers to one request; Lost when they stop before they should."""
        for _ in range(BATCH):
            while (status := _status(message := await inbox.next_msg(HEARTBEAT * 3))) == "100":
                pass
            if status in {"404", "408"} or (status == "409" and _ends_request(message)):
                return
            if status is not None:
                raise Lost(f"the consumer answered {status}")
            self._accept(message)

    def _accept(self, message: Msg) -> None:
        fields = message.reply.split(".")
        offset, sequence, stamp = (
            int(field) for field in (fields[5:8] if len(fields) == 9 else fields[7:10])
        )
        if sequence != self._sequence + 1:
            raise Lost(f"a record is missing: {sequence} came after {self._sequence}")
        self._sequence = sequence
        self._since, self._next = None, offset + 1
        headers = message.headers
        self._buffer.append(
            Record(
                topic=self._topic,
                partition=self.partition,
                offset=offset,
                value=message.data,
                headers={k: v for k, v in headers.items() if not k.startswith("Nats-")}
                if headers
                else EMPTY_HEADERS,
                timestamp_us=stamp // 1000,
                dedupe_id=headers.get("Nats-Msg-Id", "") if headers else "",
            )
        )
        self._arrived.set()


def _status(message: Msg) -> str | None:
    """The status of a message that is not a record."""
    return (
        None if message.reply.startswith("$JS.ACK.") else (message.headers or {}).get("Status", "no status")
    )


def _ends_request(message: Msg) -> bool:
    """409 also says, harmlessly, that a request got its bytes or its batch."""
    reason = (message.headers or {}).get("Description", "").lower()
    return "max" in reason or "batch completed" in reason


def stream_of(topic: str) -> str:
    """The stream that holds a topic: a stream's name has no dots."""
    return topic.replace(".", "__")


async def first_offset(connection: "Connection", topic: str, partition: int, start: Start) -> int:
    """The offset of the first record wanted."""
    if start == "earliest":
        return 1
    if start == "latest":
        return (await connection.js.stream_info(stream_of(topic))).state.last_seq + 1
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
        if start == "latest":
            await self._open_at(await first_offset(self._connection, self._topic, 0, start))
        else:
            await self._open_at(start)

    async def _open_at(self, start: Start) -> None:
        for reader in self._readers:
            await reader.open(start)

    async def close(self) -> None:
        """Stop reading."""
        for reader in self._readers:
            await reader.close()

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
