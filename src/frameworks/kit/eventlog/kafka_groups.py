"""Groups on Kafka: the brokers share out the partitions, cooperatively; we take them over and hand them on.

A position exists from the moment a partition is first taken, so that "latest" means the time of joining. A
partition that goes to another member is handed over after what was handed out is committed, or after a while.
"""

import asyncio
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from frameworks.kit import log
from frameworks.kit.clock import SystemClock
from frameworks.kit.errors import Fault
from frameworks.kit.eventlog import EventLogAway, Record, Start
from frameworks.kit.eventlog.kafka_asking import REQUEST_WITHIN
from frameworks.kit.eventlog.kafka_faults import fault
from frameworks.kit.eventlog.kafka_reading import Holding, Reader
from frameworks.kit.eventlog.kafka_writing import soon

if TYPE_CHECKING:
    from frameworks.kit.eventlog.kafka import Cluster

JOIN_WITHIN = 60.0
COMMIT_WITHIN = 15.0
HAND_OVER = 3.0
AGAIN, REJOIN_AFTER = 0.05, 0.5
MEMBER = {
    "partition.assignment.strategy": "cooperative-sticky",
    # Also how long the others wait for who was killed, and for our former self after a long outage.
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 500,
}
MOVED = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,
    }
)
"""Partitions are changing hands: what we may commit is known when that is over."""


class Commit:
    """Offsets to be committed, and who waits for it."""

    def __init__(self, reached: Mapping[int, int], until: float) -> None:
        self.reached = reached
        self.until = until
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class GroupSubscription:
    """One member of a group."""

    def __init__(self, cluster: "Cluster", topic: str, group: str, start: Start) -> None:
        self._cluster = cluster
        self._start = start
        self._reader = Reader(cluster, topic, group=group, settings=MEMBER)
        self.fetch = self._reader.fetch
        self._loop = asyncio.get_running_loop()
        self._clock = SystemClock()
        self._log = log.get("eventlog", topic=topic, group=group)
        self._joined: asyncio.Future[None] = self._loop.create_future()
        self._commits: SimpleQueue[Commit] = SimpleQueue()

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions this member has now."""
        return frozenset(self._reader.held)

    async def open(self) -> None:
        """Join; the first share of partitions is taken before this returns."""
        self._reader.start(self._subscribe)
        try:
            async with asyncio.timeout(JOIN_WITHIN):
                await self._joined
        except TimeoutError as error:
            await self._reader.close()
            raise EventLogAway("The event log did not let us join the group in time.") from error

    async def close(self) -> None:
        """Leave; the others take over."""
        await self._reader.close()

    async def commit(self, records: Sequence[Record]) -> None:
        """Durably move the group past these records; those of partitions lost meanwhile are ignored."""
        reached: dict[int, int] = {}
        for record in records:
            reached[record.partition] = max(record.offset + 1, reached.get(record.partition, 0))
        self._cluster.must_be_here()
        commit = Commit(reached, self._clock.monotonic() + COMMIT_WITHIN)
        self._commits.put(commit)
        self._reader.post(self._commit_all)
        try:
            async with asyncio.timeout(COMMIT_WITHIN + 1.0):
                await commit.done
        except TimeoutError as error:
            raise EventLogAway("The event log is away: the commit may not have happened.") from error

    async def rewind(self) -> None:
        """Back to what is committed."""
        await self._reader.do(self._back)

    async def lags(self) -> dict[int, int]:
        """Per partition of this member: the records not committed."""
        self._cluster.must_be_here()
        held = dict(self._reader.held)
        ends = await self._cluster.asking.ends(self._reader.topic, held)
        return {number: max(0, ends[number] - holding.done) for number, holding in held.items()}

    async def lag(self) -> int:
        """The sum of `lags`."""
        return sum((await self.lags()).values())

    def _subscribe(self, consumer: Consumer) -> None:
        consumer.subscribe(
            [self._reader.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Take partitions over where the group left off; leave and join again when that can not be learnt."""
        try:
            starts = self._positions(consumer, places)
        except (KafkaException, Fault, TimeoutError) as error:
            self._log.warning("partitions.not_taken", reason=repr(error))
            soon(self._loop, lambda: self._loop.call_later(REJOIN_AFTER, self._reader.post, self._join_again))
            return
        with self._reader.lock:
            self._reader.held |= {number: Holding(offset, offset) for number, offset in starts.items()}
        consumer.incremental_assign(self._reader.places(starts))
        self._log.info("partitions.claimed", partitions=sorted(starts))
        self._reader.tell(self._joined)

    def _join_again(self, consumer: Consumer) -> None:
        consumer.unsubscribe()
        self._subscribe(consumer)

    def _positions(self, consumer: Consumer, places: list[TopicPartition]) -> dict[int, int]:
        """What is committed; where nothing is, the start we were given, which is then committed."""
        if not places:
            return {}
        found = {place.partition: place for place in consumer.committed(places, timeout=REQUEST_WITHIN)}
        for place in found.values():
            if place.error is not None:
                raise KafkaException(place.error)
        starts = {number: place.offset for number, place in found.items() if place.offset >= 0}
        if fresh := found.keys() - starts.keys():
            asked = self._cluster.asking.starts(self._reader.topic, fresh, self._start)
            first = asyncio.run_coroutine_threadsafe(asked, self._loop).result(2 * REQUEST_WITHIN)
            consumer.commit(offsets=self._reader.places(first), asynchronous=False)
            starts |= first
        return starts

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Hand out nothing more of these, wait for what was handed out, let go."""
        reader = self._reader
        going = {place.partition for place in places}
        with reader.lock:
            reader.drop(going)
        deadline = self._clock.monotonic() + HAND_OVER
        while not reader.closing and self._uncommitted(going) and self._clock.monotonic() < deadline:
            self._commit_next(consumer, wait=AGAIN)
        self._let_go(going)

    def _lost(self, _consumer: Consumer, places: list[TopicPartition]) -> None:
        self._let_go({place.partition for place in places})

    def _let_go(self, going: set[int]) -> None:
        with self._reader.lock:
            self._reader.drop(going)
            for number in going:
                self._reader.held.pop(number, None)
        self._log.info("partitions.released", partitions=sorted(going))

    def _uncommitted(self, numbers: set[int]) -> bool:
        held = self._reader.held
        return any(held[number].taken > held[number].done for number in numbers if number in held)

    def _commit_all(self, consumer: Consumer) -> None:
        """Commit what waits; an order."""
        for _ in range(self._commits.qsize()):
            self._commit_next(consumer, wait=0.0)

    def _commit_next(self, consumer: Consumer, *, wait: float) -> None:
        try:
            commit = self._commits.get(block=wait > 0, timeout=wait or None)
        except Empty:
            return
        held = self._reader.held
        wanted = {
            number: offset
            for number, offset in commit.reached.items()
            if number in held and offset > held[number].done
        }
        try:
            self._commit(consumer, wanted)
        except KafkaException as error:
            self._not_committed(commit, error.args[0])
            return
        for number, offset in wanted.items():
            held[number].done = offset
        self._reader.tell(commit.done)

    def _commit(self, consumer: Consumer, wanted: Mapping[int, int]) -> None:
        if not wanted:
            return
        for place in consumer.commit(offsets=self._reader.places(wanted), asynchronous=False):
            if place.error is not None:
                raise KafkaException(place.error)

    def _not_committed(self, commit: Commit, error: KafkaError) -> None:
        """While partitions change hands try again: then we know which of them are still ours."""
        if error.code() in MOVED and self._clock.monotonic() < commit.until:
            self._commits.put(commit)
            soon(self._loop, lambda: self._loop.call_later(AGAIN, self._reader.post, self._commit_all))
        else:
            self._reader.tell(commit.done, fault(error, "committing"))

    def _back(self, consumer: Consumer) -> None:
        reader = self._reader
        with reader.lock:
            places = {number: holding.done for number, holding in reader.held.items()}
            reader.go_back(places)
        if places:
            consumer.incremental_unassign(reader.places(places))
            consumer.incremental_assign(reader.places(places))
