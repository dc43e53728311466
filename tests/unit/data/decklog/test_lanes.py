"""Events that are looked up by their envelope are judged as events that are read whole."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from fixtures_decklog import NODE, OWNER, STREAM, TENANT, Caller, Yard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameworks.contracts.framing import join
from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, Group, PublishAck, PublishRequest
from frameworks.contracts.pb.events_v1_pb2 import Event, NodeLifecycle, StreamMetrics
from frameworks.data.decklog.domain import Arrival, Sender, SenderKind
from frameworks.data.decklog.domain.lanes import Lanes, Spoken
from frameworks.data.decklog.domain.records import Places, lane_of
from frameworks.kit.clock import micros

SECONDS = (-8 * 86_400, -3600, -1, 0, 60, 121)
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"claim_epoch": 5},
    {"tenant_id": OWNER.bytes},
    {"stream_id": b""},
    {"node_id": "node-2"},
    {"cluster_id": ""},
    {"region": "elsewhere", "trace_id": "0" * 32},
    {"trace_id": "0123456789abcdef" * 2},
    {"trace_id": "fedcba9876543210" * 2},
    {"trace_id": "FEDCBA9876543210" * 2},
    {"trace_id": "0" * 31},
    {"trace_id": "\x00" * 32},
    {"source": "helmsman"},
    {"schema_version": 1_000_000},
    {"event_id": bytes(16)},
    {"event_id": b"short"},
    {"event_id": b""},
    {"type": "node-lifecycle", "tenant_id": OWNER.bytes, "node_lifecycle": NodeLifecycle(state="up")},
    {"type": "node-lifecycle", "stream_metrics": StreamMetrics(viewers=1)},
    {"type": "stream-metrics"},
)


def requests_of(yard: Yard, told: list[tuple[int, int, int]]) -> list[PublishRequest]:
    """A request an event, so that nothing but earlier requests can help the next."""
    words, now = [yard.attribution(), yard.attribution(role="view")], micros(yard.clock.now())
    made = []
    for number, (change, second, attribution) in enumerate(told):
        fields = {"event_id": UUID(int=number + 1).bytes, "occurred_at": now + SECONDS[second] * 1_000_000}
        raw = yard.event(**(fields | CHANGES[change])).SerializeToString()
        single = (
            Envelope(event=raw, attribution=attribution),
            Group(events=join([raw]), attribution=attribution),
        )
        made.append(
            PublishRequest(attributions=words, events=single[:1])
            if number % 2
            else PublishRequest(attributions=words, groups=single[1:])
        )
    return made


async def verdicts(yard: Yard, streams: list[list[PublishRequest]]) -> list[tuple[int, list[str]]]:
    """What Decklog says of each request, sent on these streams."""
    caller: Any = Caller(NODE)

    async def one(requests: list[PublishRequest]) -> AsyncIterator[PublishRequest]:
        for request in requests:
            yield request

    acks: list[PublishAck] = [
        ack for requests in streams async for ack in yard.decklog.Publish(one(requests), caller)
    ]
    return [(ack.accepted, [refused.code for refused in ack.refused]) for ack in acks]


events = st.tuples(
    st.integers(0, len(CHANGES) - 1), st.integers(0, len(SECONDS) - 1), st.sampled_from((1, 1, 0, 2, 3))
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(events, max_size=30))
async def test_what_came_before_on_a_stream_changes_no_verdict(
    yard: Yard, told: list[tuple[int, int, int]]
) -> None:
    requests = requests_of(yard, told)
    together = await verdicts(yard, [requests])
    assert together == await verdicts(yard, [[request] for request in requests])


async def test_a_long_type_does_not_pass_for_an_envelope(yard: Yard) -> None:
    good = yard.event()
    hidden = Event(type=good.SerializeToString()[2:].decode("latin-1"), stream_metrics=StreamMetrics())
    requests = [
        PublishRequest(attributions=[yard.attribution()], events=[Envelope(event=raw, attribution=1)])
        for raw in (good.SerializeToString(), hidden.SerializeToString())
    ]
    assert [accepted for accepted, _ in await verdicts(yard, [requests])] == [1, 0]


async def test_events_of_one_envelope_and_many_traces_take_its_lane(yard: Yard) -> None:
    made = [
        yard.event(event_id=UUID(int=number).bytes, trace_id=trace).SerializeToString()
        for number, trace in enumerate(("", f"{7:032x}", "", f"{8:032x}", "X" * 32, "0" * 31), start=1)
    ]
    (first, *rest), judged, lanes, places = made, list[int](), Lanes(), Places()
    claim = first.index(b"\x60\x04")
    names, tag = first[29 + len("stream-metrics") : claim], first[claim : claim + 4]
    arrival = Arrival(
        0, first, "stream-metrics", "stream_metrics", first[2:18], 1, 1, TENANT.bytes, STREAM.bytes,
        "node-1", "default", "", "", "", 4, 0, (names, tag),
    )  # fmt: skip
    lanes.remember(arrival, lane_of(arrival, Sender(SenderKind.NODE, "node-1", "default", OWNER), ""))
    anywhen = Spoken(None, 0, 1 << 62)
    assert lanes.sort([(0, rest)], [anywhen], places, lambda index, *_: judged.append(index)) == 3
    assert judged == [3, 4]
    assert [part.events for part in places.parts.values()] == [rest[:3]]
