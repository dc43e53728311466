"""Decklog's topics on a real log: what goes where, with which headers, and that the audit trail becomes history."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from fixtures_decklog import Caller
from fixtures_periscope import Periscope

from frameworks.contracts.audit import Entry
from frameworks.contracts.audit_delivery import event_of
from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, PublishAck, PublishRequest
from frameworks.contracts.topics import PARTITIONS, SERVICE_EVENTS, UNREADABLE_EVENTS
from frameworks.data.decklog.api import Api
from frameworks.data.decklog.config import Settings
from frameworks.data.decklog.domain import Attribution
from frameworks.data.decklog.module import make_topics
from frameworks.data.decklog.peers import TopicLog
from frameworks.data.decklog.service import Intake
from frameworks.data.periscope.consumers import Batching, Consumer
from frameworks.data.periscope.peers import DeadLetters
from frameworks.data.periscope.service.ingest import Ingest
from frameworks.kit.analytics import Scope
from frameworks.kit.clock import SystemClock, micros, uuid7
from frameworks.kit.errors import Unauthenticated
from frameworks.kit.eventlog import EventLog, Record
from frameworks.kit.identity import Principal, PrincipalKind

CLOCK = SystemClock()


class Nobody:
    """Commodore never said anything."""

    def read(self, token: str) -> Attribution:
        """Refuse."""
        raise Unauthenticated("Nobody said so.")


async def publish(log: EventLog, caller: Principal, *raws: bytes) -> PublishAck:
    """One request to a Decklog over this log."""

    async def requests() -> AsyncIterator[PublishRequest]:
        yield PublishRequest(events=[Envelope(event=raw) for raw in raws])

    api: Any = Api(Intake(Nobody(), TopicLog(log, CLOCK, region="eu"), CLOCK, region="eu"))
    acks: list[PublishAck] = [ack async for ack in api.Publish(requests(), Caller(caller))]
    return acks[0]


def entry(tenant: UUID) -> Entry:
    """A line of the audit trail."""
    return Entry(
        event_id=uuid7(),
        at=micros(CLOCK.now()),
        tenant=tenant,
        action="key.rotated",
        actor_kind="user",
        actor="u1",
        resource_kind="key",
        resource="k1",
        trace="0" * 32,
        attributes={"changed": "title"},
    )


async def of_topic(log: EventLog, topic: str, name: str, value: str) -> list[Record]:
    """The records of a topic whose header says so."""
    return [record async for record in log.replay(topic) if record.headers.get(name) == value]


async def test_the_audit_trail_is_history(event_log: EventLog, periscope: Periscope) -> None:
    await make_topics(event_log, Settings())
    tenant = uuid7()
    told = entry(tenant)
    caller = Principal(PrincipalKind.SERVICE, "commodore")
    ack = await publish(event_log, caller, event_of(told, "commodore").SerializeToString())
    assert (ack.accepted, list(ack.refused)) == (1, [])
    (record,) = await of_topic(event_log, SERVICE_EVENTS, "tenant_id", str(tenant))
    assert (record.headers["source"], record.headers["event_type"]) == ("service:commodore", "service")
    assert record.headers["source_region"] == "eu"
    ingest = Ingest(periscope.facts, periscope.marks, periscope.state, DeadLetters(event_log))
    consumer = Consumer(event_log, ingest, CLOCK, Batching(records=256), SERVICE_EVENTS)
    async with event_log.subscribe(SERVICE_EVENTS, group="audit-test") as subscription:
        while len(subscription.partitions) < PARTITIONS or await subscription.lag():
            await consumer.step(subscription)
    sql = (
        "SELECT event_id, action, actor, resource, source, region, attributes FROM periscope.service_events_v"
    )
    (row,) = await periscope.analytics.query(sql, {}, Scope.tenant(tenant))
    assert row == {
        "event_id": told.event_id,
        "action": "key.rotated",
        "actor": "u1",
        "resource": "k1",
        "source": "commodore",
        "region": "eu",
        "attributes": {"changed": "title"},
    }


async def test_what_is_no_event_lies_in_a_topic_of_its_own(event_log: EventLog) -> None:
    await make_topics(event_log, Settings())
    node = Principal(PrincipalKind.NODE, f"node-{uuid7()}", tenant=UUID(int=3), cluster="default")
    garbage = b"\xff\xfe no event"
    for _ in range(2):
        ack = await publish(event_log, node, garbage)
        assert [refused.code for refused in ack.refused] == ["event.unreadable"]
    (letter,) = await of_topic(event_log, UNREADABLE_EVENTS, "source", f"node:{node.subject}")
    assert letter.value == garbage
    assert letter.headers["dead_reason"] == "event.unreadable"
    assert letter.headers["tenant_id"] == str(UUID(int=3))


async def test_topics_are_kept_as_long_as_they_are_to_be(event_log: EventLog) -> None:
    days = {name: getattr(Settings(), name).days for name in ("retention", "service_retention")}
    assert days == {"retention": 7, "service_retention": 180}
    assert Settings().dead_letter_retention.days == 90
    await make_topics(event_log, Settings())
    await make_topics(event_log, Settings())
