"""The event log on Apache Kafka: topics, partitions, offsets and groups are Kafka's own.

A topic we create is stamped by the brokers (`LogAppendTime`), so that a time means the same to every reader.
Every record is written with acks=all and its explicit partition, whose number is also the key. Kafka has no
window of known dedupe ids: the id travels in a header and readers are idempotent (`EventLog.deduplicates`).
Reading is in `kafka_reading`, groups in `kafka_groups`, writing in `kafka_writing`, the URL in `kafka_address`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from logging import getLevelName
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from frameworks.kit import log
from frameworks.kit.clock import SystemClock, jitter
from frameworks.kit.eventlog import (
    BadRecord,
    EventLogAway,
    Extent,
    NoShrinking,
    Outgoing,
    Record,
    Retention,
    Start,
    Subscription,
    UnknownTopic,
)
from frameworks.kit.eventlog.kafka_address import Address, parse
from frameworks.kit.eventlog.kafka_asking import Asking, Topic
from frameworks.kit.eventlog.kafka_faults import (
    CREDENTIALS,
    UNKNOWN,
    ReplicasAway,
    TooFewReplicas,
    fault,
)
from frameworks.kit.eventlog.kafka_groups import GroupSubscription
from frameworks.kit.eventlog.kafka_reading import AT_ONCE, Holding, Reader, SoloSubscription
from frameworks.kit.eventlog.kafka_writing import MAX_RECORD, Writer, soon
from frameworks.kit.tasks import end

CONNECT_WITHIN = 5.0
REFUSED_AFTER = 0.5
REFUSED = CREDENTIALS | {KafkaError._ALL_BROKERS_DOWN}
PROBE_WITHIN = 2.0
PROBE_EVERY, PROBE_LOST_EVERY = 3.0, 0.2
REPLAY_PATIENCE = 2.0
SAID_EVERY = 5.0
IN_FLIGHT = 1024
MIN_SEGMENT, MAX_SEGMENT = MAX_RECORD + 1024 * 1024, 1024**3
MIN_ROLL = 600.0
CONNECTION = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1000,
    # Starting over from the first addresses would also start the back-off over: a storm while brokers are away.
    "metadata.recovery.strategy": "none",
    "socket.keepalive.enable": True,
    "topic.metadata.refresh.interval.ms": 60_000,
    "log_level": 4,
}


class LibraryLog:
    """What librdkafka says, as lines of ours; while brokers are away it would say the same at every attempt."""

    def __init__(self, name: str) -> None:
        self._log = log.get(name)
        self._clock = SystemClock()
        self._quiet_until = 0.0

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Take one line; called by whichever thread polls."""
        now = self._clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + SAID_EVERY
            self._log.info("library.reported", said=message % arguments, severity=getLevelName(level))


class Cluster:
    """The brokers: how they are reached, whether they answer, and what is shared by all who use them."""

    def __init__(self, address: Address, name: str) -> None:
        self.address = address
        self.options: Mapping[str, Any] = {
            "bootstrap.servers": address.brokers,
            "client.id": name,
            **CONNECTION,
            **address.options,
        }
        self.connected = False
        self.logger: Any = LibraryLog(name)
        self.asking = Asking(self.options)
        self._log = log.get(name)
        self._loop = asyncio.get_running_loop()
        self._clock = SystemClock()
        self._doubt = asyncio.Event()
        self._troubles: dict[int, KafkaError] = {}
        self._pulse: asyncio.Task[None] | None = None
        self.writer = Writer(self.options, troubled=self.on_trouble, logger=self.logger)

    async def open(self) -> None:
        """Return when a broker answers; Unavailable when none does in time."""
        self.connected = await self._answered()
        if not self.connected:
            await self.close()
            for code in self._troubles.keys() & CREDENTIALS:
                raise fault(self._troubles[code], f"connecting to {self.address.brokers}")
            raise EventLogAway(f"No event log answers at {self.address.brokers}.")
        self._pulse = asyncio.create_task(self._watch(), name="kafka-pulse")

    async def _answered(self) -> bool:
        """Whether a broker answers, given a little longer once all are known to refuse."""
        asking = asyncio.create_task(self.asking.alive(CONNECT_WITHIN))
        while not asking.done():
            await asyncio.wait({asking}, timeout=REFUSED_AFTER)
            if self._troubles.keys() & REFUSED:
                await asyncio.wait({asking}, timeout=REFUSED_AFTER)
                await end([asking])
        return not asking.cancelled() and asking.result()

    async def close(self) -> None:
        """Leave at once; what was acknowledged is durable."""
        self.connected = False
        if self._pulse is not None:
            await end([self._pulse])
        await self.writer.close()
        await self.asking.close()

    def must_be_here(self) -> None:
        """Raise at once while no broker answers; asking them would take its time."""
        if not self.connected:
            raise EventLogAway("The event log is away.")

    def on_trouble(self, error: KafkaError) -> None:
        """A client lost a broker: look whether any is left. Called by the clients' threads."""
        self._troubles[error.code()] = error
        soon(self._loop, self._doubt.set)

    async def _watch(self) -> None:
        """Keep `connected` true to the facts; who waits for a lost cluster is told at once."""
        while True:
            try:
                async with asyncio.timeout(jitter(PROBE_EVERY if self.connected else PROBE_LOST_EVERY, 0.2)):
                    await self._doubt.wait()
                await self._clock.sleep(PROBE_LOST_EVERY / 2)
            except TimeoutError:
                pass
            self._doubt.clear()
            alive = await self.asking.alive(PROBE_WITHIN)
            if alive != self.connected:
                self.connected = alive
                self._log.info("eventlog.reconnected" if alive else "eventlog.lost")
            if not alive:
                self.writer.give_up()


class KafkaEventLog:
    """The `EventLog` of a Kafka cluster."""

    deduplicates = False

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._asking = cluster.asking
        self._partitions: dict[str, int] = {}

    def connected(self) -> bool:
        """Whether a broker can be reached now."""
        return self._cluster.connected

    async def close(self) -> None:
        """Leave at once; what was acknowledged is durable."""
        await self._cluster.close()

    async def ensure(self, topic: str, *, partitions: int, retention: Retention | None = None) -> None:
        """Create or update the topic; NoShrinking when it has more partitions than asked for."""
        Outgoing(topic, partitions - 1, b"").check()
        replication = self._cluster.address.replication
        settings = _settings(retention or Retention(), partitions, replication)
        created = await self._asking.create(
            topic, partitions=partitions, replication=replication, settings=settings
        )
        if not created:
            found = await self._asking.topic(topic)
            if found.partitions > partitions:
                raise NoShrinking(f"{topic} has {found.partitions} partitions, not {partitions}.")
            if found.partitions < partitions:
                await self._asking.grow(topic, partitions)
            await self._asking.configure(topic, settings)
        self._partitions.pop(topic, None)
        await self._settled(topic, partitions)

    async def _settled(self, topic: str, partitions: int) -> None:
        """The brokers tell one another of a change in their own time: wait until they all say so."""
        clock = SystemClock()
        deadline = clock.monotonic() + CONNECT_WITHIN
        while clock.monotonic() < deadline:
            try:
                if await self._count(topic, fresh=True) >= partitions:
                    return
            except TooFewReplicas:
                raise
            except (EventLogAway, UnknownTopic):
                self._partitions.pop(topic, None)
            await clock.sleep(PROBE_LOST_EVERY / 4)
        await self._count(topic, fresh=True)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append all, in order per partition; returns when every replica in sync has each."""
        for record in records:
            record.check()
            if record.partition >= await self._count(record.topic) and record.partition >= await self._count(
                record.topic, fresh=True
            ):
                raise BadRecord(f"{record.topic} has no partition {record.partition}.")
        for first in range(0, len(records), IN_FLIGHT):
            await self._publish_window(records[first : first + IN_FLIGHT])

    async def _publish_window(self, records: Sequence[Outgoing]) -> None:
        self._cluster.must_be_here()
        topic = records[0].topic
        try:
            error = await self._cluster.writer.append(records)
        except KafkaException as raised:
            error = raised.args[0]
        if error is None:
            return
        if error.code() in UNKNOWN:
            self._partitions.pop(topic, None)
        if self._cluster.connected and error.code() in {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT}:
            await self._check_replicas(topic, await self._asking.topic(topic))
        raise fault(error, f"publishing to {topic}; publish all again")

    async def _check_replicas(self, topic: str, found: Topic) -> None:
        """Say so when records can not be as safe as the topic demands: too few replicas exist or are in sync."""
        needed = await self._asking.min_in_sync(topic)
        if found.replicas < needed:
            raise TooFewReplicas(
                f"{topic} has {found.replicas} replica(s), but min.insync.replicas is {needed}: lower it, "
                "or give the topic more replicas."
            )
        if found.in_sync < needed:
            raise ReplicasAway(f"{topic} has {found.in_sync} replica(s) in sync and needs {needed}.")

    def subscribe(
        self, topic: str, *, group: str | None = None, start: Start | None = None
    ) -> AbstractAsyncContextManager[Subscription]:
        """A reader of the topic, alone or as a member of `group`."""
        if group is None:
            return self._alone(topic, "latest" if start is None else start)
        return self._member(topic, group, "earliest" if start is None else start)

    @asynccontextmanager
    async def _alone(self, topic: str, start: Start) -> AsyncIterator[Subscription]:
        starts = await self._asking.starts(topic, range(await self._count(topic)), start)
        subscription = SoloSubscription(self._cluster, topic)
        subscription.open(starts)
        try:
            yield subscription
        finally:
            await subscription.close()

    @asynccontextmanager
    async def _member(self, topic: str, group: str, start: Start) -> AsyncIterator[Subscription]:
        if isinstance(start, datetime):
            raise BadRecord("A group starts at an offset, the earliest or the latest record, not at a time.")
        Outgoing(group, 0, b"").check()
        await self._count(topic)
        subscription = GroupSubscription(self._cluster, topic, group, start)
        await subscription.open()
        try:
            yield subscription
        finally:
            await subscription.close()

    async def replay(
        self, topic: str, *, partition: int | None = None, start: Start = "earliest"
    ) -> AsyncIterator[Record]:
        """Every record from `start` to the end as it is now; partitions take turns."""
        wanted = range(await self._count(topic)) if partition is None else [partition]
        ends = await self._asking.ends(topic, wanted)
        starts = await self._asking.starts(topic, wanted, start)
        left = {number: ends[number] for number in wanted if starts[number] < ends[number]}
        if not left:
            return
        reader = Reader(self._cluster, topic, settings={"enable.partition.eof": True})
        places = reader.places({number: starts[number] for number in left})
        reader.held = {number: Holding(starts[number], starts[number]) for number in left}

        def begin(consumer: Consumer) -> None:
            consumer.assign(places)

        reader.start(begin)
        try:
            while left:
                records = await reader.fetch(AT_ONCE, REPLAY_PATIENCE)
                if not records:  # the last offsets may hold no record: marks of somebody's transaction
                    left = {n: end for n, end in left.items() if reader.reached.get(n, -1) < end}
                for record in records:
                    end = left.get(record.partition, 0)
                    if record.offset + 1 >= end:
                        left.pop(record.partition, None)
                    if record.offset < end:
                        yield record
        finally:
            await reader.close()

    async def extent(self, topic: str) -> Extent:
        """What is kept of each partition; the epoch is the topic's own id."""
        found = await self._asking.topic(topic)
        partitions = range(found.partitions)
        return Extent(
            epoch=found.id,
            first=await self._asking.firsts(topic, partitions),
            end=await self._asking.ends(topic, partitions),
        )

    async def _count(self, topic: str, *, fresh: bool = False) -> int:
        """How many partitions the topic has; asked once, and whether its records can be acknowledged."""
        if fresh or topic not in self._partitions:
            found = await self._asking.topic(topic)
            await self._check_replicas(topic, found)
            self._partitions[topic] = found.partitions
        return self._partitions[topic]


def _settings(retention: Retention, partitions: int, replication: int) -> dict[str, str]:
    """Kafka's names for what is kept; its byte limit is per partition, and whole segments go."""
    bytes_each = max(1, retention.max_bytes // partitions)
    age = retention.max_age.total_seconds()
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(int(age * 1000)),
        "retention.bytes": str(bytes_each),
        "segment.bytes": str(min(max(bytes_each // 8, MIN_SEGMENT), MAX_SEGMENT)),
        "segment.ms": str(int(max(age / 8, MIN_ROLL) * 1000)),
        "max.message.bytes": str(MAX_RECORD),
        "message.timestamp.type": "LogAppendTime",
    }
    if replication >= 3:
        settings["min.insync.replicas"] = str(replication - 1)
    return settings


async def connect(url: str, *, name: str) -> KafkaEventLog:
    """The event log of the Kafka cluster at `url`, see `kafka_address.parse`."""
    cluster = Cluster(parse(url), name)
    await cluster.open()
    return KafkaEventLog(cluster)
