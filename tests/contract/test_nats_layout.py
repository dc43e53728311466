"""A topic that an earlier version left in one stream is split: nothing is lost or doubled, groups go on from there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from frameworks.engines.nats import Nats
from frameworks.kit.clock import random_text
from frameworks.kit.eventlog import (
    EventLog,
    EventLogAway,
    NoShrinking,
    Outgoing,
    Record,
    Retention,
    connect,
    nats_layout,
)

PARTITIONS, RECORDS, DONE = 3, 30, {0: 12, 1: 0, 2: 30}
KEPT = Retention()


@asynccontextmanager
async def jetstream(server: Nats) -> AsyncIterator[JetStreamContext]:
    """The server, without the port."""
    at, client = urlsplit(server.url), Client()
    await client.connect(servers=[f"nats://{at.hostname}:{at.port}"], token=at.username)
    yield client.jetstream()
    await client.close()


async def laid_out_as_before(js: JetStreamContext, topic: str) -> None:
    """One stream with a subject for each partition, and a group that is at other offsets in each."""
    await js.add_stream(
        StreamConfig(
            name=topic,
            subjects=[f"{topic}.*"],
            storage=StorageType.FILE,
            metadata={"partitions": str(PARTITIONS)},
        )
    )
    for number in range(RECORDS):
        headers = {"tenant_id": f"t{number}", "Nats-Msg-Id": f"{topic}-{number}"}
        await js.publish(f"{topic}.{number % PARTITIONS}", b"%d" % number, headers=headers)
    offsets = await js.create_key_value(bucket=nats_layout.OFFSETS, storage=StorageType.FILE)
    for partition, done in DONE.items():
        entry = msgspec.json.encode({"done": done, "owner": "someone"})
        await offsets.put(f"{topic}.readers.{partition}", entry)


@pytest.fixture
async def topic(nats_server: Nats) -> str:
    """A topic in the old layout."""
    name = f"before_{random_text(8)}"
    async with jetstream(nats_server) as js:
        await laid_out_as_before(js, name)
    return name


async def read(log: EventLog, topic: str, group: str) -> list[Record]:
    """What a group gets, until there is no more for a second."""
    found: list[Record] = []
    async with log.subscribe(topic, group=group) as subscription:
        while records := await subscription.fetch(100, 1.0):
            found += records
    return found


def numbers(records: list[Record]) -> list[int]:
    """The records' values, in order."""
    return sorted(int(record.value) for record in records)


async def test_every_record_is_in_its_partition_once_and_in_order(event_log: EventLog, topic: str) -> None:
    await event_log.ensure(topic, partitions=PARTITIONS, retention=KEPT)
    found = [record async for record in event_log.replay(topic)]
    assert [int(r.value) for r in found] == sorted(range(RECORDS), key=lambda n: (n % PARTITIONS, n))
    assert [r.offset for r in found] == [*range(1, 11)] * PARTITIONS
    assert all(r.headers == {"tenant_id": f"t{int(r.value)}"} for r in found)
    assert {r.dedupe_id for r in found} == {f"{topic}-{n}" for n in range(RECORDS)}


async def test_a_group_reads_on_where_it_was(event_log: EventLog, topic: str) -> None:
    """Offset n of the old stream was record n - 1: of partition 0 those up to 11 are done, of partition 2 all."""
    await event_log.ensure(topic, partitions=PARTITIONS, retention=KEPT)
    undone = [n for n in range(RECORDS) if n + 1 > DONE[n % PARTITIONS]]
    assert numbers(await read(event_log, topic, "readers")) == undone
    assert numbers(await read(event_log, topic, "others")) == [*range(RECORDS)]


async def test_new_records_follow_and_what_was_stored_is_still_recognised(
    event_log: EventLog, topic: str
) -> None:
    await event_log.ensure(topic, partitions=PARTITIONS, retention=KEPT)
    await event_log.publish(
        [Outgoing(topic, 1, b"1", {}, f"{topic}-1"), Outgoing(topic, 1, b"30", {}, f"{topic}-30")]
    )
    found = [int(r.value) async for r in event_log.replay(topic, partition=1)]
    assert found == [*range(1, RECORDS, PARTITIONS), 30]


@pytest.mark.parametrize("step", ["_copy", "_move_groups", "_move_group"])
async def test_a_split_that_died_is_taken_up_again(
    nats_server: Nats, event_log: EventLog, topic: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = getattr(nats_layout, step), 0

    async def dying(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        mine = calls
        await original(*arguments)
        if mine == 2 or step == "_move_groups":
            raise OSError("killed")

    monkeypatch.setattr(nats_layout, step, dying)
    with pytest.raises(EventLogAway):
        await event_log.ensure(topic, partitions=PARTITIONS, retention=KEPT)
    monkeypatch.setattr(nats_layout, step, original)
    again = await connect(nats_server.url)
    await again.ensure(topic, partitions=PARTITIONS, retention=KEPT)
    assert numbers([record async for record in again.replay(topic)]) == [*range(RECORDS)]
    undone = [n for n in range(RECORDS) if n + 1 > DONE[n % PARTITIONS]]
    assert numbers(await read(again, topic, "readers")) == undone
    await again.close()


async def test_the_old_stream_is_gone_and_the_new_ones_copy_nothing(
    nats_server: Nats, event_log: EventLog, topic: str
) -> None:
    await event_log.ensure(topic, partitions=PARTITIONS, retention=KEPT)
    async with jetstream(nats_server) as js:
        with pytest.raises(NotFoundError):
            await js.stream_info(topic)
        for number in range(PARTITIONS):
            assert not (await js.stream_info(nats_layout.stream_of(topic, number))).config.sources


async def test_it_may_grow_at_once_but_not_shrink(event_log: EventLog, topic: str) -> None:
    with pytest.raises(NoShrinking):
        await event_log.ensure(topic, partitions=PARTITIONS - 1, retention=KEPT)
    await event_log.ensure(topic, partitions=PARTITIONS + 2, retention=KEPT)
    await event_log.publish([Outgoing(topic, PARTITIONS + 1, b"30")])
    assert numbers([record async for record in event_log.replay(topic)]) == [*range(RECORDS + 1)]
