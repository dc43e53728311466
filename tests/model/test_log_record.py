"""A log record is a batch of one tenant and one partition, and no re-batching or retry loses, doubles or reorders.

The real intake, fed as an edge feeds it: requests of any size, sent again until they are acknowledged. ADR 0001.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameworks.contracts.framing import split, unframed
from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, PublishRequest
from frameworks.contracts.pb.events_v1_pb2 import Event, StreamMetrics
from frameworks.contracts.topics import ANALYTICS_EVENTS, PARTITIONS, Role
from frameworks.data.decklog.api import Api
from frameworks.data.decklog.domain import Attribution, partition_of
from frameworks.data.decklog.peers import TopicLog
from frameworks.data.decklog.service import Intake
from frameworks.kit.clock import FakeClock, micros
from frameworks.kit.errors import Unavailable
from frameworks.kit.eventlog import Outgoing
from frameworks.kit.identity import Principal, PrincipalKind

CLOCK = FakeClock()
NOW = micros(CLOCK.now())
STREAMS = [(UUID(int=tenant), UUID(int=100 + stream)) for tenant in (1, 2, 3) for stream in (1, 2, 3)]


@dataclass(frozen=True, slots=True)
class Caller:
    """As much of a call as Decklog looks at."""

    principal: Principal
    trace: str = "t" * 32


NODE = Caller(Principal(PrincipalKind.NODE, "node-1", tenant=UUID(int=9), cluster="default"))


class EveryStream:
    """Attributions by index: token `n` is Commodore's word on the n-th stream."""

    def read(self, token: str) -> Attribution:
        """The word."""
        tenant, stream = STREAMS[int(token)]
        return Attribution(tenant.bytes, stream.bytes, "default", "node-1", Role.INGEST, 1, 0, NOW * 2)


@dataclass
class FlakyLog:
    """A log that now and then stores only a part of what it is given, and forgets dedupe ids when told to."""

    fails: list[int]
    forgets: bool
    stored: list[Outgoing] = field(default_factory=list)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Store all or raise, having stored some."""
        part = self.fails.pop() if self.fails else len(records)
        known = set() if self.forgets else {record.dedupe_id for record in self.stored}
        self.stored += [record for record in records[:part] if record.dedupe_id not in known]
        if part < len(records):
            raise Unavailable("The log is away.")


def event(number: int, which: int) -> Event:
    """The `number`-th event of a stream."""
    tenant, stream = STREAMS[which]
    return Event(
        event_id=UUID(int=number + 1).bytes,
        type="stream-metrics",
        occurred_at=NOW - 1_000_000 + number,
        schema_version=1,
        tenant_id=tenant.bytes,
        stream_id=stream.bytes,
        node_id="node-1",
        cluster_id="default",
        claim_epoch=1,
        stream_metrics=StreamMetrics(bitrate_kbps=number),
    )


async def publish(api: Any, requests: Sequence[PublishRequest]) -> None:
    """An edge: lock-step, each request again until it is acknowledged."""
    for request in requests:
        acknowledged = 0
        while not acknowledged:
            try:
                async for ack in api.Publish(one(request), NODE):
                    assert not ack.refused
                    acknowledged = ack.accepted
            except Unavailable:
                continue


async def one(request: PublishRequest) -> AsyncIterator[PublishRequest]:
    """A stream of one request."""
    yield request


def requests_of(events: Sequence[tuple[int, Event]], sizes: Sequence[int]) -> list[PublishRequest]:
    """The events cut into requests of these sizes, the rest in the last."""
    tokens = [str(n) for n in range(len(STREAMS))]
    rest, cut = list(events), list[PublishRequest]()
    for size in [*sizes, len(events)]:
        part, rest = rest[:size], rest[size:]
        if part:
            envelopes = [Envelope(event=e.SerializeToString(), attribution=which + 1) for which, e in part]
            cut.append(PublishRequest(sequence=len(cut) + 1, attributions=tokens, events=envelopes))
    return cut


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, len(STREAMS) - 1), min_size=1, max_size=60),
    st.lists(st.integers(1, 20), max_size=10),
    st.lists(st.integers(0, 4), max_size=10),
    st.booleans(),
)
def test_records_keep_tenants_apart_and_streams_in_order(
    order: list[int], sizes: list[int], fails: list[int], forgets: bool
) -> None:
    events = [(which, event(number, which)) for number, which in enumerate(order)]
    log = FlakyLog(fails, forgets)
    intake = Intake(EveryStream(), TopicLog(log, CLOCK, region="local"), CLOCK)  # type: ignore[arg-type]
    asyncio.run(publish(Api(intake), requests_of(events, sizes)))

    found: dict[tuple[bytes, bytes], list[bytes]] = {}
    for record in log.stored:
        inside = [unframed(framed) for framed in split(record.value)]
        parsed = [Event.FromString(raw) for raw in inside]
        assert {str(UUID(bytes=e.tenant_id)) for e in parsed} == {record.headers["tenant_id"]}
        assert {partition_of(e.tenant_id, e.stream_id) for e in parsed} == {record.partition}
        assert (record.topic, record.headers["event_type"]) == (ANALYTICS_EVENTS, "stream-metrics")
        for raw, parsed_event in zip(inside, parsed, strict=True):
            found.setdefault((parsed_event.tenant_id, parsed_event.stream_id), []).append(raw)
    for which, (tenant, stream) in enumerate(STREAMS):
        sent = [e.SerializeToString() for w, e in events if w == which]
        stored = found.get((tenant.bytes, stream.bytes), [])
        assert list(dict.fromkeys(stored)) == sent
        assert forgets or stored == sent


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=16), st.binary(min_size=1, max_size=40))
def test_a_subject_has_one_partition_for_ever(tenant: bytes, subject: bytes) -> None:
    assert partition_of(tenant, subject) == partition_of(tenant, subject)
    assert 0 <= partition_of(tenant, subject) < PARTITIONS
