"""Decklog, the log, Periscope and Signalman together, on each log: an event published once is history and live news."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import pytest
from fixtures_eventlog import Place, on_whole_engines
from fixtures_periscope import Periscope, Story, new_story

from frameworks.contracts.framing import frame
from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, PublishAck, PublishRequest
from frameworks.contracts.topics import ANALYTICS_EVENTS, DEAD_LETTERS, PARTITIONS, Role
from frameworks.data.decklog.api import Api
from frameworks.data.decklog.domain import Attribution
from frameworks.data.decklog.peers import TopicLog
from frameworks.data.decklog.service import Intake
from frameworks.data.periscope.consumers import GROUP, Batching, Consumer
from frameworks.data.periscope.peers import DeadLetters, LogReading
from frameworks.data.periscope.service.ingest import Ingest
from frameworks.data.signalman.consumers import Follower, changes_in
from frameworks.data.signalman.domain.changes import Change, wish
from frameworks.data.signalman.service.hub import Hub
from frameworks.data.signalman.service.reader import Mark, Pushed
from frameworks.data.signalman.service.watched import Bounds
from frameworks.kit.analytics import Scope
from frameworks.kit.clock import SystemClock, from_micros
from frameworks.kit.eventlog import EventLog, Outgoing, connect
from frameworks.kit.identity import Principal, PrincipalKind

pytestmark = on_whole_engines
CLOCK = SystemClock()


@pytest.fixture
async def event_log(place: Place) -> AsyncIterator[EventLog]:
    """A connection to the engine, in place of the session's only NATS server."""
    log = await connect(place.url)
    yield log
    await log.close()


@dataclass(frozen=True, slots=True)
class Caller:
    """As much of a call as Decklog looks at."""

    principal: Principal
    trace: str = "0" * 32


@dataclass(frozen=True, slots=True)
class Word:
    """Commodore's word on one story, in both roles."""

    story: Story

    def read(self, token: str) -> Attribution:
        """The word in the role that the token names."""
        role, start = Role(token), self.story.start
        ids = self.story.tenant.bytes, self.story.stream.bytes
        return Attribution(*ids, "default", "node-1", role, 1, start, start + 86_400_000_000)


async def publish(log: EventLog, story: Story, events: list[tuple[str, ev.Event]]) -> PublishAck:
    """Send events through Decklog, each with the attribution of a role."""
    api: Any = Api(Intake(Word(story), TopicLog(log, CLOCK, region="local"), CLOCK))
    node = Principal(PrincipalKind.NODE, "node-1", tenant=story.tenant, cluster="default")
    tokens = sorted({role for role, _ in events})
    envelopes = [
        Envelope(event=event.SerializeToString(), attribution=tokens.index(role) + 1)
        for role, event in events
    ]

    async def requests() -> AsyncIterator[PublishRequest]:
        yield PublishRequest(sequence=1, attributions=tokens, events=envelopes)

    acks: list[PublishAck] = [ack async for ack in api.Publish(requests(), Caller(node))]
    return acks[0]


async def ready(log: EventLog) -> None:
    """The topics exist."""
    await log.ensure(ANALYTICS_EVENTS, partitions=PARTITIONS)
    await log.ensure(DEAD_LETTERS, partitions=1)


def told(story: Story) -> list[tuple[str, ev.Event]]:
    """A stream that goes live, and a viewer."""
    live = story.event("stream-lifecycle", 1, stream_lifecycle=ev.StreamLifecycle(state="live"))
    viewer = ev.UserConnection(action="connect", session_id="s1")
    return [("ingest", live), ("view", story.event("user-connection", 2, user_connection=viewer))]


async def consumed(log: EventLog, periscope: Periscope, group: str = GROUP) -> Consumer:
    """A consumer that has read everything there is and committed it."""
    ingest = Ingest(periscope.facts, periscope.marks, periscope.state, DeadLetters(log))
    consumer = Consumer(log, ingest, CLOCK, Batching(records=256))
    async with log.subscribe(ANALYTICS_EVENTS, group=group) as subscription:
        while len(subscription.partitions) < PARTITIONS or await subscription.lag():
            await consumer.step(subscription)
    return consumer


async def test_a_published_event_becomes_history_and_state(event_log: EventLog, periscope: Periscope) -> None:
    await ready(event_log)
    story = new_story()
    ack = await publish(event_log, story, told(story))
    assert (ack.accepted, list(ack.refused)) == (2, [])
    await consumed(event_log, periscope)
    (state,) = await periscope.live.states(story.tenant, [story.stream])
    assert (state["state"], state["viewers"]) == ("live", 1)
    assert state["started_at"] == from_micros(story.start + 1_000_000)


async def test_a_client_that_retries_is_in_history_once(event_log: EventLog, periscope: Periscope) -> None:
    await ready(event_log)
    story = new_story()
    events = told(story)
    for _ in range(3):
        await publish(event_log, story, events)
    stored = [
        record
        async for record in event_log.replay(ANALYTICS_EVENTS)
        if record.headers["tenant_id"] == str(story.tenant)
    ]
    assert len(stored) == (1 if event_log.deduplicates else 3)
    assert len({record.dedupe_id for record in stored}) == 1
    assert {record.value for record in stored} == {
        b"".join(frame(event.SerializeToString()) for _, event in events)
    }
    assert stored[0].headers["event_type"] == "stream-lifecycle,user-connection"
    assert stored[0].headers["source"] == "node:node-1"
    await consumed(event_log, periscope)
    found = await periscope.analytics.query(
        "SELECT event_id FROM periscope.stream_events_v", {}, Scope.tenant(story.tenant)
    )
    assert [row["event_id"].bytes for row in found] == [events[0][1].event_id]


async def test_poison_goes_to_the_dead_letters_with_its_bytes_and_headers(
    event_log: EventLog, periscope: Periscope
) -> None:
    await ready(event_log)
    story = new_story()
    _, good = told(story)[0]
    poison = b"this is no batch"
    before = await LogReading(event_log).dead_letters()
    for value in (poison, frame(b"\xff") + frame(good.SerializeToString())):
        headers = {"tenant_id": str(story.tenant), "event_type": "stream-lifecycle"}
        await event_log.publish([Outgoing(ANALYTICS_EVENTS, 0, value, headers)])
    await consumed(event_log, periscope)
    assert await LogReading(event_log).dead_letters() == before + 2
    letters = [
        record
        async for record in event_log.replay(DEAD_LETTERS)
        if record.headers["tenant_id"] == str(story.tenant)
    ]
    assert {letter.value for letter in letters} == {poison, frame(b"\xff")}
    assert all(letter.headers["dead_consumer"] == GROUP for letter in letters)
    (state,) = await periscope.live.states(story.tenant, [story.stream])
    assert state["state"] == "live"


async def test_reading_the_log_again_from_zero_changes_nothing(
    event_log: EventLog, periscope: Periscope
) -> None:
    await ready(event_log)
    story = new_story()
    await publish(event_log, story, told(story))
    await consumed(event_log, periscope)
    await periscope.roll_up.run()
    before = await periscope.present.statuses(story.tenant, [])
    await consumed(event_log, periscope, group="periscope-ingest-again")
    await periscope.roll_up.run()
    assert await periscope.present.statuses(story.tenant, []) == before


@asynccontextmanager
async def signalman(log: EventLog) -> AsyncIterator[Hub]:
    """A replica that follows the log."""

    async def ends() -> Mapping[int, int]:
        return (await log.extent(ANALYTICS_EVENTS)).end

    hub = Hub(CLOCK, Bounds(), decode=changes_in, ends=ends)
    following = asyncio.create_task(Follower(log, hub, CLOCK, backlog=1000).run())
    async with asyncio.timeout(20):
        while not hub.epoch:
            await CLOCK.sleep(0.01)
    yield hub
    hub.close()
    following.cancel()
    await asyncio.wait({following})


async def heard(hub: Hub, tenant: UUID, count: int, position: str = "") -> list[Pushed]:
    """The first frames of a subscription until it has told `count` changes that are news."""
    everything = wish((), "", (), hidden=frozenset())
    reader, found, news = await hub.join(tenant, everything, nothing, position), list[Pushed](), 0
    async with asyncio.timeout(20), aclosing(cast("AsyncGenerator[Pushed]", aiter(reader))) as frames:
        while news < count or not found:
            pushed = await anext(frames)
            found.append(pushed)
            news += pushed.mark is Mark.CHANGE and not pushed.snapshot
    hub.leave(reader)
    return found


async def test_subscribers_hear_of_their_own_tenant_only(event_log: EventLog) -> None:
    await ready(event_log)
    stories = new_story(), new_story()
    async with signalman(event_log) as hub:
        listening = [asyncio.create_task(heard(hub, story.tenant, 2)) for story in stories]
        await asyncio.sleep(0)
        for story in stories:
            await publish(event_log, story, told(story))
        for story, task in zip(stories, listening, strict=True):
            changes = [pushed.change for pushed in await task if pushed.change is not None]
            events = [ev.Event.FromString(change.event) for change in changes]
            assert {UUID(bytes=event.tenant_id) for event in events} == {story.tenant}
            assert [event.type for event in events] == ["stream-lifecycle", "user-connection"]


async def test_another_replica_goes_on_where_a_subscriber_was(event_log: EventLog) -> None:
    await ready(event_log)
    story = new_story()
    first, later = told(story), [(role, event) for role, event in told(story)]
    async with signalman(event_log) as hub:
        listening = asyncio.create_task(heard(hub, story.tenant, 1))
        await asyncio.sleep(0)
        await publish(event_log, story, first)
        position = (await listening)[-1].position
    for number, (_, event) in enumerate(later):
        event.event_id = UUID(int=story.stream.int ^ (number + 1)).bytes
    await publish(event_log, story, later)
    async with signalman(event_log) as hub:
        frames = await heard(hub, story.tenant, 3, position)
        assert frames[0].mark is Mark.RESUMED
        missed = [pushed.change.event_id for pushed in frames if pushed.change is not None]
        assert missed == [first[1][1].event_id, *(event.event_id for _, event in later)]
        assert (await heard(hub, new_story().tenant, 0, position))[0].reason == "unknown_position"


async def nothing() -> list[Change]:
    """No state to begin with."""
    return []
