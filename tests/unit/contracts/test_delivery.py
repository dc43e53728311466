"""Ten minutes without Decklog: a busy node's events wait on its disk, within bounds, and arrive in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from frameworks.contracts.delivery import BATCH, WINDOW, EventDelivery
from frameworks.contracts.framing import join, parts
from frameworks.contracts.pb.decklog_v1_pb2 import PublishAck, PublishRequest, Refused
from frameworks.contracts.pb.events_v1_pb2 import ClientSample, Event, StreamMetrics, UserConnection
from frameworks.kit.clock import FakeClock, micros
from frameworks.kit.errors import Unavailable
from frameworks.kit.wal import LogFull, WriteAheadLog
from frameworks.media.helmsman.config import Settings

ATTRIBUTION = "eyJhbGciOiJFZERTQSJ9." + "x" * 420 + "." + "s" * 86
"""As long as Commodore's."""
STREAMS, VIEWERS, MINUTES = 40, 500, 10
TENANT = UUID(int=1).bytes
PATIENCE = 120


@dataclass
class Decklog:
    """Takes batches, or is away; forgets the acknowledgement of one batch in five, as a lost connection does."""

    away: bool = False
    flaky: bool = False
    old: bool = False
    """Sees no groups, as it was before there were any."""
    refuses: frozenset[int] = frozenset()
    taken: list[Event] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """The attribution of each event that was taken."""
    batches: list[int] = field(default_factory=list)
    calls: int = 0

    async def Publish(
        self, requests: AsyncIterator[PublishRequest], metadata: Any
    ) -> AsyncIterator[PublishAck]:
        """As DecklogService has it."""
        if self.away:
            raise Unavailable("away")
        async for request in requests:
            self.calls += 1
            said = ["", *request.attributions]
            sent = [(raw, said[group.attribution]) for group in request.groups for raw in parts(group.events)]
            self.taken += [Event.FromString(raw) for raw, _ in sent]
            self.words += [word for _, word in sent]
            self.batches.append(len(sent))
            if self.flaky and self.calls % 5 == 0:
                raise Unavailable("the connection was lost")
            refused = [Refused(index=i, code="event.no", message="no") for i in sorted(self.refuses)]
            accepted = 0 if self.old else len(sent) - len(refused)
            yield PublishAck(sequence=request.sequence, accepted=accepted, refused=refused)


@dataclass
class Network:
    """Reads ahead of Decklog, as a connection does; nothing is acknowledged before it answers."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[int] = field(default_factory=list)

    async def Publish(
        self, requests: AsyncIterator[PublishRequest], metadata: Any
    ) -> AsyncIterator[PublishAck]:
        """As DecklogService has it."""
        came: asyncio.Queue[PublishRequest] = asyncio.Queue()
        reading = asyncio.create_task(self._read(requests, came))
        try:
            while True:
                request = await came.get()
                await self.answers.wait()
                yield PublishAck(sequence=request.sequence, accepted=count(request))
        finally:
            reading.cancel()

    async def _read(
        self, requests: AsyncIterator[PublishRequest], came: "asyncio.Queue[PublishRequest]"
    ) -> None:
        async for request in requests:
            self.batches.append(count(request))
            self.arrived.set()
            came.put_nowait(request)


def count(request: PublishRequest) -> int:
    """How many events it holds."""
    return sum(len(parts(group.events)) for group in request.groups)


def told(second: int, at: int) -> list[Event]:
    """What a busy node tells in one second: metrics each five, samples each ten, viewers who come and go."""
    events = []
    for stream in range(STREAMS):
        if (second + stream) % 5 == 0:
            metrics = StreamMetrics(bitrate_kbps=6000, codec="H264", quality_tier="1080p", viewers=12)
            events.append(event(stream, at, "stream-metrics", stream_metrics=metrics))
    for viewer in range(VIEWERS):
        if (second + viewer) % 10 == 0:
            sample = ClientSample(
                session_id=f"{viewer:032x}", connector="HLS", up_bps=6_000_000, seconds=second
            )
            events.append(event(viewer % STREAMS, at, "client-sample", client_sample=sample))
    for viewer in range(5):
        change = UserConnection(action="connect", session_id=f"{second:024x}{viewer:08x}", connector="HLS")
        events.append(event(viewer, at, "user-connection", user_connection=change))
    return events


def event(stream: int, at: int, kind: str, **payload: Any) -> Event:
    """One event, numbered by its moment in `occurred_at`."""
    return Event(
        event_id=UUID(int=at).bytes,
        type=kind,
        occurred_at=at,
        schema_version=2,
        tenant_id=TENANT,
        stream_id=UUID(int=100 + stream).bytes,
        node_id="node-1",
        cluster_id="default",
        source="helmsman",
        **payload,
    )


def delivery_to(decklog: Decklog | Network, wal: WriteAheadLog, clock: FakeClock) -> EventDelivery:
    """Delivery to this Decklog."""
    stub: Any = decklog
    return EventDelivery("helmsman", wal, stub, clock)


@asynccontextmanager
async def sending(delivery: EventDelivery) -> AsyncIterator[None]:
    """Sends meanwhile."""
    task = asyncio.create_task(delivery.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def drained(delivery: EventDelivery, clock: FakeClock) -> None:
    """Nothing waits any more."""
    async with asyncio.timeout(PATIENCE):
        while delivery.lag_bytes():
            await clock.advance(1)
            await asyncio.sleep(0)


@pytest.mark.parametrize("flaky", [False, True])
async def test_ten_minutes_without_decklog_are_absorbed_and_drained_in_order(
    tmp_path: Path, flaky: bool
) -> None:
    clock, decklog = FakeClock(), Decklog(away=True, flaky=flaky)
    wal = WriteAheadLog(tmp_path, max_bytes=Settings().wal_bytes)
    delivery = delivery_to(decklog, wal, clock)
    sending = asyncio.create_task(delivery.run())
    sent: list[int] = []
    for second in range(MINUTES * 60):
        now = micros(clock.now())
        events = told(second, now)
        for number, each in enumerate(events):
            each.occurred_at = now + number
            each.event_id = UUID(int=now + number).bytes
        await asyncio.gather(*(delivery.record(each, ATTRIBUTION) for each in events))
        sent += [each.occurred_at for each in events]
        await clock.advance(1)
    assert decklog.taken == []
    assert len(sent) > MINUTES * 60 * 60
    assert delivery.lag_bytes() < Settings().wal_bytes // 4
    decklog.away = False
    await drained(delivery, clock)
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    arrived = [each.occurred_at for each in decklog.taken]
    assert list(dict.fromkeys(arrived)) == sent
    assert (len(arrived) == len(sent)) is not flaky
    assert sum(path.stat().st_size for path in tmp_path.glob("*.wal")) <= 8 << 20


async def test_a_full_disk_refuses_new_events_and_keeps_the_old(tmp_path: Path) -> None:
    clock, decklog = FakeClock(), Decklog(away=True)
    delivery = delivery_to(decklog, WriteAheadLog(tmp_path, max_bytes=20_000), clock)
    kept = []
    with pytest.raises(LogFull):  # noqa: PT012
        for second in range(1000):
            kept.append(event(1, micros(clock.now()) + second, "stream-metrics"))
            await delivery.record(kept[-1], ATTRIBUTION)
    decklog.away = False
    sending = asyncio.create_task(delivery.run())
    await drained(delivery, clock)
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    assert [e.occurred_at for e in decklog.taken] == [e.occurred_at for e in kept[:-1]]


async def test_what_decklog_never_takes_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    clock, decklog = FakeClock(), Decklog(refuses=frozenset({0}))
    delivery = delivery_to(decklog, WriteAheadLog(tmp_path), clock)
    first, second = (event(1, micros(clock.now()) + n, "stream-metrics") for n in range(2))
    await asyncio.gather(delivery.record(first, ATTRIBUTION), delivery.record(second, ATTRIBUTION))
    sending = asyncio.create_task(delivery.run())
    await drained(delivery, clock)
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    assert first.SerializeToString() in (tmp_path / "refused.bin").read_bytes()
    assert second.SerializeToString() not in (tmp_path / "refused.bin").read_bytes()


def group(count: int, events: bytes) -> bytes:
    """A record as the log holds it."""
    return msgspec.msgpack.encode([2, count, ATTRIBUTION, b"", events])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "broken",
    [
        b"\xc1",
        msgspec.msgpack.encode({"a": "later build's"}),
        group(1, b"\x0a\x7fcut off"),
        group(3, join([b"one", b"two"])),
    ],
)
async def test_a_record_that_can_not_be_read_is_set_aside_once_and_holds_nothing_up(
    tmp_path: Path, broken: bytes, last: bool
) -> None:
    clock, decklog, wal = FakeClock(), Decklog(away=True), WriteAheadLog(tmp_path)
    delivery = delivery_to(decklog, wal, clock)
    events = [event(1, number, "stream-metrics") for number in range(1, 3)]
    await delivery.record(events[0], ATTRIBUTION)
    await wal.append([broken])
    if not last:
        await delivery.record_all(events[1:], ATTRIBUTION, note=b"a note")
    decklog.away = False
    async with sending(delivery):
        await drained(delivery, clock)
        await wal.append([broken])
        await drained(delivery, clock)
    assert decklog.taken == events[: 1 if last else 2]
    assert (tmp_path / "refused.bin").read_bytes().count(broken) == 2
    assert list(delivery.notes()) == ([] if last else [b"a note"])


async def test_an_undelivered_broken_record_is_not_set_aside_again_by_each_attempt(tmp_path: Path) -> None:
    clock, decklog, wal = FakeClock(), Decklog(old=True), WriteAheadLog(tmp_path)
    delivery = delivery_to(decklog, wal, clock)
    await wal.append([b"\xc1"])
    await delivery.record(event(1, 1, "stream-metrics"), ATTRIBUTION)
    async with sending(delivery):
        while decklog.calls < 3:
            await clock.advance(1)
            await asyncio.sleep(0)
    assert (tmp_path / "refused.bin").read_bytes().count(b"\xc1") == 1


async def test_a_decklog_that_sees_no_groups_yet_makes_nobody_forget_them(tmp_path: Path) -> None:
    clock, decklog = FakeClock(), Decklog(old=True)
    delivery = delivery_to(decklog, WriteAheadLog(tmp_path), clock)
    await delivery.record(event(1, micros(clock.now()), "stream-metrics"), ATTRIBUTION)
    async with sending(delivery):
        while decklog.calls < 3:
            await clock.advance(1)
            await asyncio.sleep(0)
        assert delivery.lag_bytes() > 0
        decklog.old = False
        await drained(delivery, clock)
    assert len(set(decklog.batches)) == 1


async def test_each_event_points_at_its_own_attribution(tmp_path: Path) -> None:
    clock, decklog = FakeClock(), Decklog()
    delivery = delivery_to(decklog, WriteAheadLog(tmp_path), clock)
    events = [event(1, number, "stream-metrics") for number in range(1, 9)]
    for start, word in ((0, "one"), (2, ""), (4, "two"), (6, "one")):
        await delivery.record_all(events[start : start + 2], word)
    async with sending(delivery):
        await drained(delivery, clock)
    assert decklog.taken == events
    assert decklog.words == ["one", "one", "", "", "two", "two", "one", "one"]
    assert decklog.batches == [8]


async def test_what_comes_while_a_batch_is_on_its_way_goes_together(tmp_path: Path) -> None:
    clock, decklog = FakeClock(), Network()
    delivery = delivery_to(decklog, WriteAheadLog(tmp_path), clock)
    async with sending(delivery):
        await delivery.record(event(1, 1, "stream-metrics"))
        await decklog.arrived.wait()
        for number in range(2, 10):
            await delivery.record(event(1, number, "stream-metrics"))
        assert decklog.batches == [1]
        decklog.answers.set()
        await drained(delivery, clock)
    assert decklog.batches == [1, 8]


async def test_whole_batches_do_not_wait_for_those_before(tmp_path: Path) -> None:
    clock, decklog = FakeClock(), Network()
    delivery = delivery_to(decklog, WriteAheadLog(tmp_path), clock)
    many = [event(1, number, "stream-metrics") for number in range(1, 10 * BATCH)]
    await delivery.record_all(many, ATTRIBUTION, note=b"noted")
    async with sending(delivery):
        await decklog.arrived.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(decklog.batches) == WINDOW
        decklog.answers.set()
        await drained(delivery, clock)
    assert sum(decklog.batches) == len(many)
    assert max(decklog.batches) <= BATCH
    assert list(delivery.notes()) == [b"noted"]


async def test_a_log_from_before_events_were_grouped_is_sent(tmp_path: Path) -> None:
    clock, decklog, wal = FakeClock(), Decklog(), WriteAheadLog(tmp_path)
    old = event(1, 1, "stream-metrics")
    await wal.append([msgspec.msgpack.encode([old.SerializeToString(), ATTRIBUTION, b"noted"])])
    delivery = delivery_to(decklog, wal, clock)
    await delivery.record(event(1, 2, "stream-metrics"), ATTRIBUTION)
    assert list(delivery.notes()) == [b"noted"]
    async with sending(delivery):
        await drained(delivery, clock)
    assert [each.occurred_at for each in decklog.taken] == [1, 2]
    assert set(decklog.words) == {ATTRIBUTION}
