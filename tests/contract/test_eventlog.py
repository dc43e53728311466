"""What every adapter of the `EventLog` port promises; the adapters are in `fixtures_eventlog.PLACES`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from fixtures_eventlog import Place, on_whole_engines

from frameworks.engines.nats import Nats
from frameworks.kit.clock import SystemClock, from_micros, random_bytes, random_text
from frameworks.kit.errors import Unavailable
from frameworks.kit.eventlog import (
    MAX_VALUE,
    BadRecord,
    EventLog,
    NoAdapter,
    Outgoing,
    Record,
    RecordTooLarge,
    Retention,
    Subscription,
    UnknownTopic,
    connect,
)

PATIENCE = 60.0
SMALL = Retention(max_bytes=64 * 1024**2)


@pytest.fixture
async def log(place: Place) -> AsyncIterator[EventLog]:
    """A connection of its own for each test."""
    connection = await connect(place.url)
    yield connection
    await connection.close()


@pytest.fixture
async def topic(log: EventLog) -> str:
    """A fresh topic of four partitions."""
    name = f"topic_{random_text(8)}"
    await log.ensure(name, partitions=4, retention=SMALL)
    return name


def numbered(topic: str, count: int, *, partitions: int = 4, first: int = 0) -> list[Outgoing]:
    """Records whose values are their numbers, spread over the partitions."""
    return [
        Outgoing(topic, n % partitions, b"%d" % n, {}, f"{topic}-{n}") for n in range(first, first + count)
    ]


def values(records: list[Record]) -> list[int]:
    """The numbers, by partition and offset."""
    return [int(record.value) for record in sorted(records, key=lambda r: (r.partition, r.offset))]


async def collect(subscription: Subscription, count: int) -> list[Record]:
    """Fetch until there are `count` records."""
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE):
        while len(records) < count:
            records += await subscription.fetch(count - len(records), 1.0)
    return records


async def seen(subscription: Subscription, wanted: set[int]) -> set[int]:
    """Fetch until all of `wanted` came; what was published or handed out before may come twice."""
    found: set[int] = set()
    async with asyncio.timeout(PATIENCE):
        while not found >= wanted:
            try:
                found |= set(values(await subscription.fetch(100, 1.0)))
            except Unavailable:
                await SystemClock().sleep(0.05)
    return found


async def nothing_more(subscription: Subscription) -> None:
    """Assert that no record comes."""
    assert await subscription.fetch(10, 0.2) == []


async def until(true: Callable[[], bool]) -> None:
    """Return when `true` says so."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await SystemClock().sleep(0.01)


async def holding(subscription: Subscription, count: int) -> None:
    """Return when the member has `count` partitions."""
    await until(lambda: len(subscription.partitions) == count)


async def again_while_away(log: EventLog, records: list[Outgoing]) -> None:
    """Publish, and again, until it is acknowledged."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await log.publish(records)
            except Unavailable:
                await SystemClock().sleep(0.05)


class TestEventLog:
    """The contract."""

    async def test_a_partition_keeps_the_order_of_publishing(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 1000))
        async with log.subscribe(topic, group="g") as reader:
            records = await collect(reader, 1000)
        for partition in range(4):
            mine = [record for record in records if record.partition == partition]
            assert [int(record.value) for record in mine] == list(range(partition, 1000, 4))
            assert [record.offset for record in mine] == sorted(record.offset for record in mine)

    async def test_value_headers_and_time_arrive_unchanged(self, log: EventLog, topic: str) -> None:
        headers = {"tenant_id": "a b=c", "event_type": "x,y:z", "Trace-Id": "00-1", "empty": ""}
        await log.publish(
            [Outgoing(topic, 2, b"\x00\xff", headers), Outgoing(topic, 2, b"", {"Status": "100"})]
        )
        async with log.subscribe(topic, start="earliest") as reader:
            first, second = await collect(reader, 2)
        assert (first.topic, first.partition, first.value) == (topic, 2, b"\x00\xff")
        assert dict(first.headers) == headers
        assert (second.value, dict(second.headers)) == (b"", {"Status": "100"})
        assert 0 <= second.timestamp_us - first.timestamp_us < 10_000_000

    async def test_a_dedupe_id_is_stored_once_or_tells_the_reader(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 8))
        await log.publish(numbered(topic, 12))
        stored = 12 if log.deduplicates else 20
        async with log.subscribe(topic, group="g") as reader:
            records = await collect(reader, stored)
            await nothing_more(reader)
        named = {record.dedupe_id: int(record.value) for record in records}
        assert named == {f"{topic}-{n}": n for n in range(12)}

    async def test_records_without_a_dedupe_id_are_all_stored(self, log: EventLog, topic: str) -> None:
        await log.publish([Outgoing(topic, 0, b"1"), Outgoing(topic, 0, b"1")])
        async with log.subscribe(topic, start="earliest") as reader:
            assert values(await collect(reader, 2)) == [1, 1]

    async def test_two_members_split_the_partitions(self, log: EventLog, place: Place, topic: str) -> None:
        other_log = await connect(place.url)
        async with log.subscribe(topic, group="g") as one, other_log.subscribe(topic, group="g") as two:
            await holding(one, 2)
            await holding(two, 2)
            assert one.partitions.isdisjoint(two.partitions)
            await log.publish(numbered(topic, 100))
            assert len(await collect(one, 50)) == len(await collect(two, 50)) == 50
            await nothing_more(one)
            await nothing_more(two)
        await other_log.close()

    @on_whole_engines
    async def test_a_member_that_leaves_hands_over_what_it_did_not_commit(
        self, log: EventLog, topic: str
    ) -> None:
        await log.publish(numbered(topic, 40))
        async with log.subscribe(topic, group="g") as stays:
            async with log.subscribe(topic, group="g") as leaves:
                await holding(leaves, 2)
                records = await collect(leaves, 20)
                await leaves.commit([record for record in records if int(record.value) < 20])
            await holding(stays, 4)
            expected = {int(r.value) for r in records if int(r.value) >= 20} | (
                set(range(40)) - {int(record.value) for record in records}
            )
            assert set(values(await collect(stays, 30))) == expected
            await nothing_more(stays)

    @on_whole_engines
    async def test_a_lost_partition_can_not_be_committed(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 40))
        async with log.subscribe(topic, group="g") as old:
            records = await collect(old, 40)
            async with log.subscribe(topic, group="g") as new:
                await holding(new, 2)
                await old.commit(records)
                again = await collect(new, 20)
                assert {record.partition for record in again} == new.partitions

    async def test_groups_do_not_disturb_each_other(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 8))
        async with log.subscribe(topic, group="a") as a, log.subscribe(topic, group="b") as b:
            await a.commit(await collect(a, 8))
            assert values(await collect(b, 8)) == [0, 4, 1, 5, 2, 6, 3, 7]

    @on_whole_engines
    async def test_uncommitted_records_come_again_in_order(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 20))
        async with log.subscribe(topic, group="g") as reader:
            records = await collect(reader, 20)
            await reader.commit([record for record in records if int(record.value) < 8])
            await reader.rewind()
            assert sorted(values(await collect(reader, 12))) == list(range(8, 20))
        async with log.subscribe(topic, group="g") as reader:
            assert sorted(values(await collect(reader, 12))) == list(range(8, 20))

    @on_whole_engines
    async def test_a_commit_survives_a_crash_of_the_server(
        self, log: EventLog, place: Place, topic: str
    ) -> None:
        await log.publish(numbered(topic, 40))
        async with log.subscribe(topic, group="g") as reader:
            records = await collect(reader, 40)
            await reader.commit([record for record in records if int(record.value) < 20])
            await place.crash()
            await again_while_away(log, numbered(topic, 20, first=40))
            assert min(await seen(reader, set(range(40, 60)))) >= 20
        fresh = await connect(place.url)
        async with fresh.subscribe(topic, group="g") as reader:
            assert await seen(reader, set(range(20, 60))) == set(range(20, 60))
        await fresh.close()

    @on_whole_engines
    async def test_a_crash_loses_nothing_acknowledged(self, log: EventLog, place: Place, topic: str) -> None:
        acknowledged: list[int] = []

        async def writer() -> None:
            for n in range(0, 2000, 20):
                try:
                    await log.publish(numbered(topic, 20, first=n))
                except Unavailable:
                    return
                acknowledged.extend(range(n, n + 20))

        writing = asyncio.create_task(writer())
        await until(lambda: len(acknowledged) >= 200)
        await place.crash()
        await writing
        fresh = await connect(place.url)
        kept = {int(record.value) async for record in fresh.replay(topic)}
        assert kept >= set(acknowledged)
        await fresh.close()

    @on_whole_engines
    async def test_replay_gives_everything_and_touches_no_group(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 600))
        async with log.subscribe(topic, group="g") as reader:
            await reader.commit(await collect(reader, 600))
            assert len([record async for record in log.replay(topic, start=0)]) == 600
            assert [int(r.value) async for r in log.replay(topic, partition=1)] == list(range(1, 600, 4))
            assert await reader.lag() == 0

    @on_whole_engines
    async def test_replay_from_an_offset_and_from_a_time(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 10, partitions=1))
        everything = [record async for record in log.replay(topic)]
        sixth = everything[5]
        assert [int(r.value) async for r in log.replay(topic, start=sixth.offset)] == [5, 6, 7, 8, 9]
        assert [int(r.value) async for r in log.replay(topic, start={0: sixth.offset})] == [5, 6, 7, 8, 9]
        await log.publish([Outgoing(topic, 0, b"10")])
        last = [record async for record in log.replay(topic)][-1]
        later = from_micros(last.timestamp_us)
        assert [int(r.value) async for r in log.replay(topic, start=later)] == [10]
        assert [r async for r in log.replay(topic, start=later + timedelta(hours=1))] == []

    async def test_the_extent_says_what_can_be_read_and_stays_of_one_epoch(
        self, log: EventLog, topic: str
    ) -> None:
        before = await log.extent(topic)
        assert before.first == before.end
        assert before.first.keys() == before.end.keys() == {0, 1, 2, 3}
        await log.publish(numbered(topic, 8))
        after = await log.extent(topic)
        stored = [record async for record in log.replay(topic)]
        assert all(after.first[r.partition] <= r.offset < after.end[r.partition] for r in stored)
        assert all(after.end[r.partition] > before.end[r.partition] for r in stored)
        assert after.epoch == before.epoch
        other = f"{topic}_other"
        await log.ensure(other, partitions=1, retention=SMALL)
        assert (await log.extent(other)).epoch != after.epoch

    async def test_an_empty_topic_replays_nothing(self, log: EventLog, topic: str) -> None:
        assert [record async for record in log.replay(topic)] == []

    @on_whole_engines
    async def test_latest_sees_only_what_comes_later(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 8))
        async with (
            log.subscribe(topic, start="latest") as alone,
            log.subscribe(topic, group="g", start="latest") as member,
        ):
            await log.publish(numbered(topic, 4, first=8))
            assert values(await collect(alone, 4)) == values(await collect(member, 4)) == [8, 9, 10, 11]

    @on_whole_engines
    async def test_every_reader_without_a_group_sees_everything(self, log: EventLog, topic: str) -> None:
        async with log.subscribe(topic) as one, log.subscribe(topic) as two:
            await log.publish(numbered(topic, 20))
            assert values(await collect(one, 20)) == values(await collect(two, 20))
            assert one.partitions == frozenset(range(4))

    @on_whole_engines
    async def test_a_reader_without_a_group_starts_where_it_is_told(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 8))
        resume = {r.partition: r.offset + 1 for r in [r async for r in log.replay(topic)] if int(r.value) < 4}
        async with log.subscribe(topic, start=resume) as reader:
            assert values(await collect(reader, 4)) == [4, 5, 6, 7]

    @on_whole_engines
    async def test_lag_counts_what_is_not_committed(self, log: EventLog, topic: str) -> None:
        await log.publish(numbered(topic, 40))
        async with log.subscribe(topic, group="g") as reader:
            assert await reader.lag() == 40
            records = await collect(reader, 40)
            assert await reader.lag() == 40
            await reader.commit([record for record in records if record.partition == 0])
            assert await reader.lags() == {0: 0, 1: 10, 2: 10, 3: 10}

    @on_whole_engines
    async def test_the_log_is_unavailable_while_down_and_recovers(
        self, log: EventLog, place: Place, topic: str
    ) -> None:
        async with log.subscribe(topic, group="g") as reader, log.subscribe(topic) as alone:
            await log.publish(numbered(topic, 4))
            await reader.commit(await collect(reader, 4))
            await collect(alone, 4)
            await place.down()
            for refused in (
                log.publish(numbered(topic, 1, first=4)),
                reader.fetch(1, 0.1),
                alone.fetch(1, 0.1),
                reader.lag(),
                connect(place.url),
            ):
                with pytest.raises(Unavailable):
                    await refused
            assert not log.connected()
            await place.up()
            await again_while_away(log, numbered(topic, 8, first=4))
            assert log.connected()
            assert await seen(reader, set(range(4, 12))) == set(range(4, 12))
            assert await seen(alone, set(range(4, 12))) == set(range(4, 12))

    @on_whole_engines
    async def test_the_largest_record_goes_through(self, log: EventLog, topic: str) -> None:
        large = random_text(1000).encode() * (MAX_VALUE // 1000)
        await log.publish([Outgoing(topic, 0, large), Outgoing(topic, 0, large)])
        async with log.subscribe(topic, group="g") as reader:
            assert [record.value for record in await collect(reader, 2)] == [large, large]

    @pytest.mark.parametrize(
        ("record", "refusal"),
        [
            (Outgoing("t", 0, bytes(MAX_VALUE + 1)), RecordTooLarge),
            (Outgoing("t", 0, b"", {"bad name": "x"}), BadRecord),
            (Outgoing("t", 0, b"", {"Nats-Msg-Id": "x"}), BadRecord),
            (Outgoing("t", 0, b"", {"Frameworks-Dedupe-Id": "x"}), BadRecord),
            (Outgoing("t", 0, b"", {"a": "line\r\nbreak"}), BadRecord),
            (Outgoing("t", 0, b"", {}, "id\n"), BadRecord),
            (Outgoing("t/u", 0, b""), BadRecord),
            (Outgoing("t", -1, b""), BadRecord),
        ],
        ids=[
            "too large",
            "header name",
            "header of NATS",
            "header of ours",
            "header value",
            "dedupe id",
            "topic",
            "partition",
        ],
    )
    async def test_a_bad_record_is_refused(
        self, log: EventLog, record: Outgoing, refusal: type[Exception]
    ) -> None:
        with pytest.raises(refusal):
            await log.publish([record])

    async def test_a_partition_that_does_not_exist_is_refused(self, log: EventLog, topic: str) -> None:
        with pytest.raises(BadRecord):
            await log.publish([Outgoing(topic, 4, b"")])

    async def test_an_unknown_topic_is_refused(self, log: EventLog) -> None:
        with pytest.raises(UnknownTopic):
            await log.publish([Outgoing("nowhere", 0, b"")])
        with pytest.raises(UnknownTopic):
            async with log.subscribe("nowhere", group="g"):
                pass

    @on_whole_engines
    async def test_a_topic_keeps_only_what_its_retention_allows(self, log: EventLog, topic: str) -> None:
        await log.ensure(topic, partitions=4, retention=Retention(max_bytes=4 * 1024**2))
        await log.publish([Outgoing(topic, 0, random_bytes(1024**2)) for _ in range(24)])
        async with asyncio.timeout(PATIENCE):
            while (extent := await log.extent(topic)).end[0] - extent.first[0] > 12:
                await SystemClock().sleep(0.1)
        assert 1 <= len([record async for record in log.replay(topic)]) <= 12

    @on_whole_engines
    async def test_a_topic_may_grow_but_not_shrink(self, log: EventLog, topic: str) -> None:
        await log.ensure(topic, partitions=8, retention=SMALL)
        await log.publish([Outgoing(topic, 7, b"")])
        with pytest.raises(Exception, match="partitions"):
            await log.ensure(topic, partitions=2, retention=SMALL)


async def test_a_scheme_nobody_speaks_is_refused() -> None:
    with pytest.raises(NoAdapter):
        await connect("carrier-pigeon://coop")


@asynccontextmanager
async def started(server: Nats) -> AsyncIterator[Nats]:
    """A server for the length of a block."""
    await server.start()
    yield server
    await server.stop()


async def test_the_embedded_server_keeps_its_port_and_refuses_a_wrong_token(tmp_path: Path) -> None:
    async with started(Nats(tmp_path / "nats")) as server:
        assert (tmp_path / "nats" / "token").stat().st_mode & 0o777 == 0o600
        with pytest.raises(Unavailable):
            await connect(f"nats://wrong@127.0.0.1:{server.port}")
    assert Nats(tmp_path / "nats").url == server.url
