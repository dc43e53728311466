"""Every sort of bad event in one request, through a real socket into a real log: history has the good ones alone."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fixtures_decklog import NODE, OWNER, STREAM, TENANT, Kept, Yard, decklog, signer
from fixtures_periscope import Periscope
from fixtures_refusals import REFUSED, counted, good

from frameworks.contracts.framing import join
from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, Group, PublishAck, PublishRequest
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.contracts.pb.events_v1_pb2 import StreamMetrics
from frameworks.contracts.permissions import RPC
from frameworks.contracts.topics import ANALYTICS_EVENTS, PARTITIONS, UNREADABLE_EVENTS
from frameworks.data.decklog.api import SERVICE, Api
from frameworks.data.decklog.config import Settings
from frameworks.data.decklog.domain import MAX_EVENTS, BatchTooLarge
from frameworks.data.decklog.module import make_topics
from frameworks.data.decklog.peers import SignedAttributions, TopicLog
from frameworks.data.decklog.service import Intake
from frameworks.data.periscope.consumers import Batching, Consumer
from frameworks.kit.analytics import Scope
from frameworks.kit.clock import FakeClock, SystemClock
from frameworks.kit.errors import Fault
from frameworks.kit.eventlog import EventLog
from frameworks.kit.identity import NodeIdentity, TrustStore, Verifier, new_key, public_jwk
from frameworks.kit.rpc import Channel, Dispatcher, RpcServer, connect

TWICE = "event.duplicate_id"
NO_EVENT = {"event.unreadable", "event.ambiguous"}


@dataclass(frozen=True, slots=True)
class Place:
    """Decklog behind a socket over the session's log, at one moment that does not pass, and a node that calls it."""

    yard: Yard
    node: NodeIdentity
    stub: Any

    async def publish(self, request: PublishRequest) -> PublishAck:
        """The acknowledgement of one request, which the node makes."""
        metadata = (("authorization", f"Bearer {self.node.bearer('decklog')}"),)
        (ack,) = [ack async for ack in self.stub.Publish([request], metadata=metadata)]
        answer: PublishAck = ack
        return answer


@pytest.fixture
async def place(event_log: EventLog, tmp_path: Path) -> AsyncIterator[Place]:
    """Everything real but the time."""
    clock, keys, kept = FakeClock(SystemClock().now()), tmp_path / "keys", Kept()
    commodore, foghorn, registry = (
        signer(keys, name, clock) for name in ("commodore", "foghorn", "quartermaster")
    )
    trust = TrustStore(keys)
    key = new_key()
    said = {"node_id": NODE.subject, "cluster": NODE.cluster, "owner_tenant": str(OWNER)}
    certificate = registry.sign(
        said | {"cnf": {"jwk": public_jwk(key)}}, typ="node_cert", lifetime=timedelta(hours=1)
    )
    verifier = Verifier(trust, clock)
    dispatcher = Dispatcher(verifier, RPC)
    await make_topics(event_log, Settings())
    log = TopicLog(event_log, clock, region="local")
    intake = Intake(SignedAttributions(verifier, capacity=100), log, clock, region="local")
    dispatcher.add(SERVICE, Api(intake), service="decklog")
    server = RpcServer(dispatcher, "decklog")
    transport = connect(server.bind(f"unix:{tmp_path}/d.sock", setting="FRAMEWORKS_PEER_DECKLOG"))
    await server.start()
    channel: Any = Channel(lambda _: transport, foghorn)
    yard = Yard(clock, commodore, foghorn, decklog(trust, clock, kept), kept, trust)
    yield Place(yard, NodeIdentity(NODE.subject, key, certificate, clock), DecklogServiceStub(channel))
    await transport.close()
    await server.stop(0)


def everything(yard: Yard) -> tuple[PublishRequest, dict[int, str]]:
    """One request of every sort of bad event, each between good ones, and the code of each by its place."""
    request, codes = PublishRequest(sequence=7, attributions=[yard.attribution()]), dict[int, str]()
    request.events.append(Envelope(event=good(yard, 100).SerializeToString(), attribution=1))
    for number, (make, code) in enumerate(REFUSED.values(), start=101):
        raw, word = make(yard)
        request.attributions.append(word)
        codes[len(request.events)] = code
        request.events.append(Envelope(event=raw, attribution=len(request.attributions)))
        request.events.append(Envelope(event=good(yard, number).SerializeToString(), attribution=1))
    codes[len(request.events)] = TWICE
    other = good(yard, 100, stream_metrics=StreamMetrics(viewers=9))
    request.events.append(Envelope(event=other.SerializeToString(), attribution=1))
    return request, codes


async def stored(event_log: EventLog, periscope: Periscope, tenant: UUID) -> list[int]:
    """The ids of a tenant's measurements in history, once the log is read to its end."""
    consumer = Consumer(event_log, periscope.ingest, SystemClock(), Batching(records=256))
    async with event_log.subscribe(ANALYTICS_EVENTS, group="matrix") as subscription:
        while len(subscription.partitions) < PARTITIONS or await subscription.lag():
            await consumer.step(subscription)
    sql = "SELECT event_id FROM periscope.stream_health_v WHERE stream_id = {s:UUID} ORDER BY event_id"
    rows = await periscope.analytics.query(sql, {"s": STREAM}, Scope.tenant(tenant))
    return [row["event_id"].int for row in rows]


async def test_a_request_of_everything_bad_leaves_the_good_events_alone(
    place: Place, event_log: EventLog, periscope: Periscope
) -> None:
    request, codes = everything(place.yard)
    before = {code: counted(code) for code in codes.values()}
    ack = await place.publish(request)
    assert {refused.index: refused.code for refused in ack.refused} == codes
    assert (ack.sequence, ack.accepted) == (7, len(request.events) - len(codes))
    assert {code: counted(code) - before[code] for code in before} == Counter(codes.values())
    assert await stored(event_log, periscope, TENANT) == list(range(100, 101 + len(REFUSED)))
    assert await stored(event_log, periscope, OWNER) == []
    ours = {str(TENANT), str(OWNER)}
    assert [letter for letter in periscope.buried.letters if letter.headers["tenant_id"] in ours] == []
    letters = [
        record.value
        async for record in event_log.replay(UNREADABLE_EVENTS)
        if record.headers["source"] == f"node:{NODE.subject}"
    ]
    assert letters == [request.events[i].event for i, code in codes.items() if code in NO_EVENT]


async def test_a_request_of_too_many_events_is_refused_whole_and_the_node_goes_on(place: Place) -> None:
    before = counted(BatchTooLarge.code)
    with pytest.raises(Fault) as refused:
        await place.publish(PublishRequest(events=[Envelope()] * (MAX_EVENTS + 1)))
    assert refused.value.code == BatchTooLarge.code
    assert counted(BatchTooLarge.code) == before + 1
    raw = good(place.yard, 300, stream_id=STREAM.bytes).SerializeToString()
    request = PublishRequest(
        attributions=[place.yard.attribution()], events=[Envelope(event=raw, attribution=1)]
    )
    assert (await place.publish(request)).accepted == 1


async def test_a_group_that_can_not_be_taken_apart_is_one_refusal_among_others(
    place: Place, event_log: EventLog
) -> None:
    yard, broken = place.yard, join([b"cut short"])[:-1]
    around = [join([good(yard, number).SerializeToString()]) for number in (301, 302)]
    ack = await place.publish(
        PublishRequest(
            sequence=9,
            attributions=[yard.attribution()],
            groups=[Group(events=events, attribution=1) for events in (around[0], broken, around[1])],
        )
    )
    assert ack.accepted == 2
    assert [(refused.index, refused.code) for refused in ack.refused] == [(1, "event.unreadable")]
    kept = [record.value async for record in event_log.replay(UNREADABLE_EVENTS)]
    assert kept.count(broken) == 1
