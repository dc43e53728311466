"""Questions to a Kafka cluster: what topics there are, what they hold, how they are set."""

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from frameworks.kit import log
from frameworks.kit.clock import SystemClock, micros
from frameworks.kit.eventlog import EventLogAway, Start
from frameworks.kit.eventlog.kafka_faults import FORBIDDEN, translated

REQUEST_WITHIN = 5.0
AGAIN = 0.05
NO_SUCH_TIME = -1
CRITICAL = 2
ELECTING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
    }
)
"""Soon after a topic is made, or a broker came back, its leader is not known to everyone."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster knows it now."""

    id: str
    partitions: int
    replicas: int
    """Brokers that are to keep each record."""
    in_sync: int
    """Brokers that do, in the partition that is worst off."""


class Asking:
    """Asks the brokers without blocking the loop; each method raises the fault its answer is."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        # Its log lines would wait for ever for someone to poll them; the writer's say the same.
        self._admin = AdminClient({**options, "log_level": CRITICAL})
        self._clock = SystemClock()

    async def close(self) -> None:
        """Ask no more; what is asked now is answered with a failure."""
        await asyncio.to_thread(self._admin.__exit__, None, None, None)

    async def alive(self, within: float) -> bool:
        """Whether a broker answers."""
        try:
            await _answer(self._admin.describe_cluster(request_timeout=within), within)
        except (KafkaException, TimeoutError):
            return False
        return True

    async def topic(self, name: str) -> Topic:
        """The topic; UnknownTopic when there is none."""
        with translated(name):
            asked = self._admin.describe_topics(TopicCollection([name]), request_timeout=REQUEST_WITHIN)
            found = await _answer(asked[name])
        return Topic(
            id=str(found.topic_id),
            partitions=len(found.partitions),
            replicas=min(len(partition.replicas) for partition in found.partitions),
            in_sync=min(len(partition.isr) for partition in found.partitions),
        )

    async def min_in_sync(self, name: str) -> int:
        """How many replicas must have a record before it is acknowledged; 1 when we may not know."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        with translated(f"the settings of {name}"):
            asked = self._admin.describe_configs([resource], request_timeout=REQUEST_WITHIN)
            try:
                found = await _answer(asked[resource])
            except KafkaException as error:
                if error.args[0].code() not in FORBIDDEN | {KafkaError.UNSUPPORTED_VERSION}:
                    raise
                log.get("eventlog").info("topic.settings_hidden", topic=name)
                return 1
        setting = found.get("min.insync.replicas")
        return int(setting.value) if setting is not None and setting.value else 1

    async def create(
        self, name: str, *, partitions: int, replication: int, settings: Mapping[str, str]
    ) -> bool:
        """Make the topic; False when it exists already."""
        topic = NewTopic(name, partitions, replication, config=dict(settings))
        with translated(f"creating {name}"):
            asked = self._admin.create_topics([topic], request_timeout=REQUEST_WITHIN)
            try:
                await _answer(asked[name])
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
                return False
        return True

    async def grow(self, name: str, partitions: int) -> None:
        """Give the topic more partitions."""
        with translated(f"growing {name}"):
            asked = self._admin.create_partitions(
                [NewPartitions(name, partitions)], request_timeout=REQUEST_WITHIN
            )
            await _answer(asked[name])

    async def configure(self, name: str, settings: Mapping[str, str]) -> None:
        """Change these settings of the topic and no others."""
        entries = [
            ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
            for setting, value in settings.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        with translated(f"the settings of {name}"):
            asked = self._admin.incremental_alter_configs([resource], request_timeout=REQUEST_WITHIN)
            await _answer(asked[resource])

    async def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Per partition: the offset the next record will get."""
        return await self._offsets(topic, partitions, OffsetSpec.latest())

    async def firsts(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Per partition: the oldest offset that is still kept."""
        return await self._offsets(topic, partitions, OffsetSpec.earliest())

    async def starts(self, topic: str, partitions: Iterable[int], start: Start) -> dict[int, int]:
        """Per partition: the offset to read from, never outside what is kept."""
        wanted = sorted(partitions)
        if start == "latest":
            return await self.ends(topic, wanted)
        first = await self.firsts(topic, wanted)
        if start == "earliest":
            return first
        end = await self.ends(topic, wanted)
        if isinstance(start, datetime):
            instant = max(0, micros(start) // 1000)
            found = await self._offsets(topic, wanted, OffsetSpec.for_timestamp(instant))
            return {
                number: end[number] if found[number] == NO_SUCH_TIME else found[number] for number in wanted
            }
        asked = start if isinstance(start, Mapping) else dict.fromkeys(wanted, int(start))
        return {
            number: min(max(asked.get(number, first[number]), first[number]), end[number])
            for number in wanted
        }

    async def _offsets(self, topic: str, partitions: Iterable[int], spec: OffsetSpec) -> dict[int, int]:
        places = {TopicPartition(topic, number): spec for number in partitions}
        if not places:
            return {}
        deadline = self._clock.monotonic() + REQUEST_WITHIN
        with translated(f"the offsets of {topic}"):
            while True:
                try:
                    return await self._offsets_now(places)
                except KafkaException as error:
                    if error.args[0].code() not in ELECTING or self._clock.monotonic() > deadline:
                        raise
                await self._clock.sleep(AGAIN)
                await self._learn_leaders(topic)

    async def _learn_leaders(self, topic: str) -> None:
        """The library would ask the same leader, or of the same epoch, until it looks by itself, once a minute."""
        await asyncio.to_thread(self._admin.list_topics, topic, REQUEST_WITHIN)

    async def _offsets_now(self, places: dict[TopicPartition, OffsetSpec]) -> dict[int, int]:
        asked = self._admin.list_offsets(
            places, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=REQUEST_WITHIN
        )
        found = await asyncio.gather(*(_answer(future) for future in asked.values()))
        offsets = {
            place.partition: int(answer.offset) for place, answer in zip(asked.keys(), found, strict=True)
        }
        if min(offsets.values()) < NO_SUCH_TIME:
            # Of a leader that it knows and can not reach the library says this, and no error.
            raise EventLogAway("The event log did not say how far it got.")
        return offsets


async def _answer(asked: "Future[T]", within: float = REQUEST_WITHIN) -> T:
    """What the library's future brings; it has a time limit of its own, ours is for when that fails."""
    async with asyncio.timeout(within + 1.0):
        return await asyncio.wrap_future(asked)
