"""What is Kafka's own: replicas that acknowledge, credentials, topics made by others."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from fixtures_eventlog import Place
from fixtures_kafka import REAL

from frameworks.kit.clock import SystemClock, random_text
from frameworks.kit.errors import Unavailable
from frameworks.kit.eventlog import EventLog, Outgoing, RecordTooLarge, connect
from frameworks.kit.eventlog.kafka_address import parse
from frameworks.kit.eventlog.kafka_faults import TooFewReplicas

LIBRARY_LOOKS_EVERY = 60.0
"""Seconds after which librdkafka asks for leaders unasked."""
on_kafka = pytest.mark.parametrize("place", ["kafka"], indirect=True, scope="session")


def options(place: Place) -> dict[str, str | int | float | bool]:
    """How anybody else connects to the same broker."""
    address = parse(place.url)
    return {"bootstrap.servers": address.brokers, **address.options}


def made_by_others(place: Place, settings: dict[str, str]) -> str:
    """A topic of one partition that our adapter did not make."""
    name = f"theirs_{random_text(8)}"
    admin = AdminClient(options(place))
    admin.create_topics([NewTopic(name, 1, 1, config=settings)])[name].result(20)
    while admin.list_topics(name, timeout=20).topics[name].error is not None:
        pass
    return name


async def ends(log: EventLog, topic: str) -> Mapping[int, int]:
    """The ends of the partitions, asked again while the log is away: not for as long as the library takes to look."""
    async with asyncio.timeout(LIBRARY_LOOKS_EVERY / 2):
        while True:
            try:
                return (await log.extent(topic)).end
            except Unavailable:
                await SystemClock().sleep(0.05)


@pytest.fixture
async def log(place: Place) -> AsyncIterator[EventLog]:
    """A connection of its own for each test."""
    connection = await connect(place.url)
    yield connection
    await connection.close()


if REAL:

    @on_kafka
    class TestBroker:
        """What only a real broker does."""

        async def test_records_of_another_client_are_read_as_they_are(
            self, log: EventLog, place: Place
        ) -> None:
            topic = made_by_others(place, {})
            other = Producer(options(place))
            other.produce(topic, b"plain", headers=[("a", b"\xff"), ("empty", None)])
            other.produce(topic, None, b"deleted")
            other.flush(20)
            first, second = [record async for record in log.replay(topic)]
            assert (first.value, dict(first.headers), first.dedupe_id) == (
                b"plain",
                {"a": "�", "empty": ""},
                "",
            )
            assert second.value == b""

        async def test_a_replay_ends_where_the_last_offset_is_a_mark_of_a_transaction(
            self, log: EventLog, place: Place
        ) -> None:
            topic = made_by_others(place, {})
            other = Producer({**options(place), "transactional.id": topic})
            other.init_transactions(60)
            other.begin_transaction()
            other.produce(topic, b"one")
            other.commit_transaction(60)
            assert [record.value async for record in log.replay(topic)] == [b"one"]

        async def test_who_leads_is_learnt_at_once_after_a_broker_came_back(
            self, log: EventLog, place: Place
        ) -> None:
            topic = made_by_others(place, {})
            await log.publish([Outgoing(topic, 0, b"")])
            assert (await log.extent(topic)).end == {0: 1}
            await place.crash()
            assert await ends(log, topic) == {0: 1}

        async def test_more_replicas_in_sync_than_there_are_is_said_at_once(
            self, log: EventLog, place: Place
        ) -> None:
            topic = made_by_others(place, {"min.insync.replicas": "2"})
            with pytest.raises(TooFewReplicas, match=r"1 replica\(s\), but min.insync.replicas is 2"):
                await log.publish([Outgoing(topic, 0, b"")])
            with pytest.raises(TooFewReplicas):
                await log.ensure(topic, partitions=1)

        async def test_a_record_over_the_topics_own_limit_is_refused(
            self, log: EventLog, place: Place
        ) -> None:
            topic = made_by_others(place, {"max.message.bytes": "100000"})
            with pytest.raises(RecordTooLarge):
                await log.publish([Outgoing(topic, 0, random_text(500_000).encode())])

        async def test_a_wrong_password_is_unavailable_and_never_shown(self, place: Place) -> None:
            wrong = place.url.replace("frameworks:", "frameworks:hunter2")
            with pytest.raises(Unavailable, match="credentials") as refused:
                await connect(wrong)
            assert "hunter2" not in repr(refused.value) + str(refused.value.facts)
