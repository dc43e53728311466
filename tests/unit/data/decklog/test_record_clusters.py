"""A record is one cluster's, so that its reader may keep clusters in stores of their own."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from frameworks.contracts.framing import split, unframed
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.data.decklog.domain import Arrival, Sender, SenderKind
from frameworks.data.decklog.domain.records import Places, lane_of, regroup

FOGHORN = Sender(SenderKind.SERVICE, "foghorn", None, None)
TENANTS = [UUID(int=n).bytes for n in (1, 2)]


def arrival(number: int, tenant: bytes, cluster: str) -> Arrival:
    """A routing decision, as Foghorn sends them for every cluster in one request."""
    event = Event(
        event_id=number.to_bytes(16, "big"),
        type="load-balancing",
        tenant_id=tenant,
        node_id="foghorn",
        cluster_id=cluster,
    )
    return Arrival(
        index=number,
        raw=event.SerializeToString(),
        type=event.type,
        field="load_balancing",
        event_id=event.event_id,
        occurred_at=1,
        schema_version=1,
        tenant=tenant,
        stream=b"",
        node="foghorn",
        cluster=cluster,
        region="",
        epoch=0,
        attribution=0,
        source="foghorn",
        trace="",
    )


@given(st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from(["", "eu-1", "us-1"])), max_size=40))
def test_every_event_of_a_record_is_of_the_records_cluster(senders: list[tuple[bytes, str]]) -> None:
    arrivals = [arrival(number, *sender) for number, sender in enumerate(senders)]
    places = Places()
    for one in arrivals:
        places.of(lane_of(one, FOGHORN, "")).append(one.raw)
    records = regroup(places.parts.values())
    found: Counter[bytes] = Counter()
    for record in records:
        events = [Event.FromString(unframed(framed)) for framed in split(record.value)]
        assert {(event.tenant_id, event.cluster_id) for event in events} == {(record.tenant, record.cluster)}
        assert [event.event_id for event in events] == sorted(event.event_id for event in events)
        found.update(event.event_id for event in events)
    assert found == Counter({one.event_id: 1 for one in arrivals})
