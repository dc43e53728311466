"""On real engines: usage windows are said once, completed, corrected by additions, and read back as billing would."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest
from fixtures_periscope import BuriedHere, Periscope, Story, arrived, new_story

from frameworks.contracts.framing import frame
from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.pb.usage_v1_pb2 import UsageRecord
from frameworks.contracts.topics import PARTITIONS, USAGE_PARTITIONS, USAGE_WINDOWS
from frameworks.data.periscope.consumers import GROUP, Batching, Consumer
from frameworks.data.periscope.domain import BUCKET, SECOND, NodeHeard
from frameworks.data.periscope.peers import UsageTopic
from frameworks.data.periscope.service.ingest import Ingest
from frameworks.data.periscope.service.usage_windows import Heard, UsageWindows
from frameworks.data.periscope.store.current import PostgresState
from frameworks.data.periscope.store.usage_meters import ClickHouseMeters
from frameworks.data.periscope.store.usage_windows import PostgresUsage
from frameworks.kit.clock import FakeClock, SystemClock, from_micros, micros, random_text
from frameworks.kit.eventlog import EventLog, Outgoing
from frameworks.kit.outbox import Outbox

SETTLEMENT, PATIENCE = timedelta(minutes=2), timedelta(minutes=10)
Window = tuple[UUID, int]
Amounts = dict[str, int]


@dataclass
class Reader:
    """What billing keeps: per series the last sequence, per window a sum, per cluster how far it is complete."""

    begins: int
    """Where the cluster's first window lies; what is said of the time before it is a correction too."""
    records: dict[bytes, UsageRecord] = field(default_factory=dict)
    sequences: dict[UUID, int] = field(default_factory=dict)
    sums: dict[Window, Amounts] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    complete_until: int = 0
    completed: list[int] = field(default_factory=list)
    announced: dict[int, int] = field(default_factory=dict)

    def read(self, value: bytes) -> None:
        """One record; a repeated one changes nothing, a gap is an error."""
        record = UsageRecord.FromString(value)
        kind = record.WhichOneof("record")
        identity = record.window.record_id if kind == "window" else record.complete.record_id
        if (known := self.records.setdefault(identity, record)) is not record:
            assert known == record, "a published record was changed"
            return
        if kind == "complete":
            assert record.complete.window_at == (self.complete_until or record.complete.window_at)
            self.complete_until = record.complete.window_at + record.complete.window_seconds * SECOND
            self.completed.append(record.complete.sequence)
            self.announced[record.complete.window_at] = record.complete.windows
            return
        window, tenant = record.window, UUID(bytes=record.window.tenant_id)
        assert window.sequence == self.sequences.get(tenant, 0) + 1, "a record is missing"
        assert window.correction == (
            (tenant, window.window_at) in self.sums or self.is_late(window.window_at)
        )
        self.sequences[tenant] = window.sequence
        for amount in window.amounts:
            self.sums[tenant, window.window_at][amount.meter] += amount.amount

    def is_late(self, at: int) -> bool:
        """Whether the window was complete before."""
        return at < (self.complete_until or self.begins)


@dataclass
class Billing:
    """A cluster of its own, its publisher and its reader."""

    periscope: Periscope
    log: EventLog
    clock: FakeClock
    cluster: str
    ledger: PostgresUsage
    usage: UsageWindows
    ingest: Ingest
    outbox: Outbox
    topic: UsageTopic
    begins: int

    async def take(self, events: Iterable[ev.Event]) -> None:
        """Ingest events as this cluster's."""
        mine = []
        for event in events:
            copy = ev.Event.FromString(event.SerializeToString())
            copy.cluster_id = self.cluster
            mine.append(copy)
        await self.ingest.take([arrived(mine)])

    async def reach(self, seconds: float, *nodes: Heard) -> None:
        """Time passes; the log is stored up to then."""
        await self.clock.advance(seconds)
        now = micros(self.clock.now())
        await self.ledger.heard({(self.cluster, number): now for number in range(PARTITIONS)}, nodes)

    async def publish(self) -> int:
        """Measure, say and deliver."""
        said = await self.usage._cluster(self.cluster)
        while await self.outbox.drain_once(self.topic.deliver):
            pass
        return said

    async def read(self) -> Reader:
        """Everything in the topic about this cluster, as a consumer reads it from the start."""
        reader = Reader(self.begins)
        async for record in self.log.replay(USAGE_WINDOWS):
            found = UsageRecord.FromString(record.value)
            if self.cluster in (found.window.cluster_id, found.complete.cluster_id):
                assert record.headers["record_type"] in {"window", "correction", "complete"}
                reader.read(record.value)
        return reader


@pytest.fixture
async def billing(periscope: Periscope, event_log: EventLog) -> Billing:
    """A new cluster whose clock stands where a story begins."""
    await event_log.ensure(USAGE_WINDOWS, partitions=USAGE_PARTITIONS)
    clock, cluster = FakeClock(from_micros(new_story().start)), f"c-{random_text(8)}"
    ledger = PostgresUsage(periscope.database, clock, "test")
    meters = ClickHouseMeters(periscope.analytics)
    rig = Billing(
        periscope,
        event_log,
        clock,
        cluster,
        ledger,
        UsageWindows(ledger, meters, clock, [cluster], settlement=SETTLEMENT, patience=PATIENCE),
        Ingest(periscope.facts, periscope.marks, PostgresState(periscope.database, clock), BuriedHere()),
        Outbox(periscope.database, "periscope"),
        UsageTopic(event_log),
        micros(clock.now()),
    )
    gone = Heard(NodeHeard(cluster, "gone", rig.begins), rig.begins - 3600 * SECOND)
    await ledger.heard({}, [gone])
    return rig


def told(story: Story, chance: random.Random) -> list[ev.Event]:
    """Sessions, two claims of a stream, and API calls over half an hour, some of them said twice."""
    events = []
    for number in range(25):
        at = chance.uniform(1, 1799)
        closed = ev.UserConnection(
            action="disconnect",
            session_id=f"s{number}",
            seconds=chance.choice([0, chance.randrange(1500)]),
            up_bytes=chance.randrange(10**12),
            down_bytes=chance.randrange(10**6),
        )
        events.append(story.event("user-connection", at, user_connection=closed))
        if number % 5 == 0:
            closed.up_bytes += 17
            events.append(story.event("user-connection", at + 30, user_connection=closed))
    for epoch in (1, 2):
        for state, at in (("live", 200), ("live", 400), ("ended", 890)):
            bytes_in = chance.randrange(10**9) if state == "ended" else 0
            life = ev.StreamLifecycle(state=state, duration_ms=at * 1000 - 57, down_bytes=bytes_in)
            events.append(
                story.event(
                    "stream-lifecycle", (epoch - 1) * 890 + at + 0.3, epoch=epoch, stream_lifecycle=life
                )
            )
    for _ in range(6):
        calls = ev.ApiRequests(operation="q", requests=chance.randrange(1, 50))
        events.append(story.event("api-requests", chance.uniform(0, 1799), api_requests=calls))
    return events


def expected(events: Sequence[ev.Event]) -> dict[Window, Amounts]:
    """What a person with paper would say: each window from the facts that cover it, without SQL."""
    found: dict[Window, Amounts] = defaultdict(lambda: defaultdict(int))
    covering: dict[tuple[Window, str, object], list[tuple[int, ev.Event]]] = defaultdict(list)
    for event in {event.event_id: event for event in events}.values():
        tenant, end = UUID(bytes=event.tenant_id), event.occurred_at
        if event.type == "api-requests":
            found[tenant, end // BUCKET * BUCKET]["api_requests"] += event.api_requests.requests
            continue
        session, life = event.user_connection, event.stream_lifecycle
        began = end - (session.seconds * SECOND or life.duration_ms * 1000)
        for at in range(began // BUCKET * BUCKET, max(began + 1, end), BUCKET):
            window = tenant, at
            if session.session_id:
                covering[window, "session", (event.stream_id, session.session_id)].append((began, event))
            else:
                covering[window, "live", event.stream_id].append((began, event))
                if life.state == "ended":
                    covering[window, "claim", (event.stream_id, event.claim_epoch)].append((began, event))
    steps: dict[Window, list[tuple[int, int]]] = defaultdict(list)
    for (window, kind, _), facts in covering.items():
        amounts, at = found[window], window[1]
        began, last = max(facts, key=lambda fact: (fact[1].occurred_at, fact[1].event_id))
        if kind == "session":
            here = max(began, at), min(last.occurred_at, at + BUCKET)
            steps[window] += [(here[0], 1), (max(here[1], here[0] + 1), -1)]
            closed = last.user_connection
            amounts["viewer_seconds"] += share(closed.seconds, began, last.occurred_at, at)
            amounts["egress_bytes"] += share(closed.up_bytes, began, last.occurred_at, at)
            amounts["ingress_bytes"] += share(closed.down_bytes, began, last.occurred_at, at)
        elif kind == "claim":
            amounts["ingress_bytes"] += share(last.stream_lifecycle.down_bytes, began, last.occurred_at, at)
        else:
            seconds = {
                second
                for started, fact in facts
                for second in range(
                    max(started, at) // SECOND, min(fact.occurred_at // SECOND, (at + BUCKET) // SECOND)
                )
            }
            amounts["stream_seconds"] += len(seconds)
    for window, changes in steps.items():
        level = most = 0
        for _, change in sorted(changes):
            level += change
            most = max(most, level)
        found[window]["peak_viewers"] = most
    return plain(found)


def share(total: int, began: int, ended: int, at: int) -> int:
    """The part of a total that falls into the window."""
    if began == ended:
        return total
    first, last = max(began, at), min(ended, at + BUCKET)
    return total * (last - began) // (ended - began) - total * (first - began) // (ended - began)


def plain(found: Mapping[Window, Mapping[str, int]]) -> dict[Window, Amounts]:
    """Without zeros."""
    kept = {window: {m: n for m, n in amounts.items() if n} for window, amounts in found.items()}
    return {window: amounts for window, amounts in kept.items() if amounts}


@pytest.mark.parametrize("seed", range(4))
async def test_windows_and_corrections_add_up_to_what_the_facts_say(billing: Billing, seed: int) -> None:
    chance = random.Random(seed)
    stories = [Story(new_story().tenant, new_story().stream, micros(billing.clock.now())) for _ in range(2)]
    events = [event for story in stories for event in told(story, chance)]
    chance.shuffle(events)
    for part in range(4):
        await billing.take(events[part::4] + chance.sample(events, 0 if part == 0 else 5))
        await billing.reach(420)
        await billing.publish()
    # Repeated facts of the sample are in `events` too, so this is all there is.
    await billing.reach(600)
    await billing.publish()
    reader = await billing.read()
    assert plain(reader.sums) == expected(events)
    assert reader.completed == list(range(1, len(reader.completed) + 1))
    whole = [sum(a.get("egress_bytes", 0) for a in expected(events).values())]
    assert whole[0] > 0
    said = len(reader.records)
    await billing.take(events)
    assert await billing.publish() == 0
    assert len((await billing.read()).records) == said


async def test_a_window_waits_for_settlement_and_then_is_complete(billing: Billing) -> None:
    story = Story(new_story().tenant, new_story().stream, micros(billing.clock.now()))
    closed = ev.UserConnection(action="disconnect", session_id="s", seconds=60, up_bytes=600)
    await billing.take([story.event("user-connection", 100, user_connection=closed)])
    await billing.reach(419)
    assert await billing.publish() == 0
    await billing.reach(1)
    assert await billing.publish() == 2
    reader = await billing.read()
    assert plain(reader.sums) == {
        (story.tenant, story.start): {"viewer_seconds": 60, "egress_bytes": 600, "peak_viewers": 1}
    }
    assert reader.complete_until == story.start + BUCKET
    assert reader.announced == {story.start: 1}


async def test_a_late_fact_is_a_correction_and_changes_no_record(billing: Billing) -> None:
    story = Story(new_story().tenant, new_story().stream, micros(billing.clock.now()))
    first = ev.UserConnection(action="disconnect", session_id="s1", seconds=60, up_bytes=600)
    await billing.take([story.event("user-connection", 100, user_connection=first)])
    await billing.reach(900)
    await billing.publish()
    before = (await billing.read()).records
    late = ev.UserConnection(action="disconnect", session_id="s2", seconds=500, up_bytes=1000)
    await billing.take([story.event("user-connection", 550, user_connection=late)])
    await billing.publish()
    reader = await billing.read()
    assert {**reader.records, **before} == reader.records
    new = [r.window for identity, r in reader.records.items() if identity not in before]
    assert [(w.window_at - story.start, w.revision, w.correction) for w in new] == [
        (0, 1, True),
        (BUCKET, 0, True),
    ]
    assert reader.sums[story.tenant, story.start] == {
        "viewer_seconds": 310,
        "egress_bytes": 1100,
        "peak_viewers": 2,
    }


async def test_a_node_that_is_behind_holds_its_window_until_it_is_heard_or_given_up(billing: Billing) -> None:
    start = micros(billing.clock.now())

    def heard(second: int) -> Heard:
        return Heard(NodeHeard(billing.cluster, "edge", start + second * SECOND), micros(billing.clock.now()))

    await billing.reach(200, heard(150))
    await billing.reach(400)
    assert await billing.publish() == 0
    await billing.reach(1, heard(310))
    await billing.reach(1)
    assert await billing.publish() == 1
    assert (await billing.read()).complete_until == start + BUCKET
    await billing.reach(610)
    assert await billing.publish() > 0
    assert (await billing.read()).complete_until == start + 3 * BUCKET


async def test_two_publishers_never_have_a_turn_at_once(billing: Billing) -> None:
    other = PostgresUsage(billing.periscope.database, billing.clock, "other")
    async with billing.ledger.turn() as mine:
        assert mine is not None
        async with other.turn() as theirs:
            assert theirs is None
    async with other.turn() as theirs:
        assert theirs is not None
        assert theirs.number == mine.number + 1


async def test_a_record_delivered_twice_is_stored_once(billing: Billing) -> None:
    story = Story(new_story().tenant, new_story().stream, micros(billing.clock.now()))
    calls = ev.ApiRequests(operation="q", requests=3)
    await billing.take([story.event("api-requests", 10, api_requests=calls)])
    await billing.reach(500)
    published: list[Outgoing] = []

    class Twofold:
        """A log that hears everything twice."""

        async def publish(self, records: Sequence[Outgoing]) -> None:
            published.extend(records)
            await billing.log.publish([*records, *records])

    billing.topic = UsageTopic(Twofold())  # type: ignore[arg-type]
    assert await billing.publish() == 2
    mine = [r.value async for r in billing.log.replay(USAGE_WINDOWS)]
    assert all(mine.count(record.value) == 1 for record in published)


async def test_what_a_reader_of_the_log_stored_completes_windows(billing: Billing) -> None:
    topic = f"events-{billing.cluster}"
    await billing.log.ensure(topic, partitions=PARTITIONS)
    story = Story(new_story().tenant, new_story().stream, billing.begins)
    closed = ev.UserConnection(action="disconnect", session_id="s", seconds=60, up_bytes=600)
    events = [
        story.event("user-connection", 100, user_connection=closed),
        story.event("node-lifecycle", 310, node_lifecycle=ev.NodeLifecycle(state="up")),
    ]
    for event in events:
        event.cluster_id = billing.cluster
    consumer = Consumer(billing.log, billing.ingest, SystemClock(), Batching(), topic)
    assert await consumer.reached() == {}
    async with billing.log.subscribe(topic, group=GROUP) as subscription:
        while len(subscription.partitions) < PARTITIONS:
            await consumer.step(subscription)
        consumer._subscription = subscription
        value = b"".join(frame(event.SerializeToString()) for event in events)
        await billing.log.publish([Outgoing(topic, 3, value)])
        behind = await consumer.reached()
        assert behind[3] == 0
        assert all(at > billing.begins for number, at in behind.items() if number != 3)
        await consumer.step(subscription)
        stored = await consumer.reached()
    assert set(stored) == set(range(PARTITIONS))
    (node,) = consumer.heard()
    assert (node.node.cluster, node.node.at) == (billing.cluster, story.start + 310 * SECOND)
    assert consumer.heard() == []
    await billing.ledger.heard({(billing.cluster, number): at for number, at in stored.items()}, [node])
    await billing.clock.advance(3600)
    assert await billing.publish() == 2
    reader = await billing.read()
    assert reader.complete_until == billing.begins + BUCKET
    assert reader.sums[story.tenant, story.start]["viewer_seconds"] == 60
