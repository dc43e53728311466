"""Whatever one event of a request lacks: it is refused by name and counted, and the rest goes through."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from fixtures_decklog import NODE, TENANT, Yard
from fixtures_events import frozen_class, frozen_events
from fixtures_refusals import REFUSED, Make, counted, good

from frameworks.contracts.framing import split, unframed
from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, PublishRequest
from frameworks.contracts.pb.events_v1_pb2 import (
    ApiRequests,
    Event,
    LoadBalancing,
    PlayerBoot,
    ServiceEvent,
    StreamMetrics,
)
from frameworks.contracts.permissions.decklog import RULES
from frameworks.contracts.topics import EVENT_TYPES, SCHEMA_VERSION, WRITERS, Role
from frameworks.data.decklog.api import Api
from frameworks.data.decklog.domain import MAX_EVENTS, BatchTooLarge, TooManyStreams
from frameworks.data.decklog.peers import SignedAttributions
from frameworks.data.decklog.service import LETTERS_AT_ONCE, Intake
from frameworks.kit.identity import Principal, PrincipalKind, Verifier


@pytest.mark.parametrize(("make", "code"), REFUSED.values(), ids=REFUSED)
async def test_one_bad_event_is_refused_and_the_rest_goes_through(yard: Yard, make: Make, code: str) -> None:
    raw, token = make(yard)
    before, kept = counted(code), len(yard.kept.records)
    envelopes = [
        Envelope(event=good(yard, 1).SerializeToString(), attribution=1),
        Envelope(event=raw, attribution=2),
        Envelope(event=good(yard, 3).SerializeToString(), attribution=1),
    ]
    request = PublishRequest(sequence=1, attributions=[yard.attribution(), token], events=envelopes)
    ack = await yard.publish(request, NODE)
    assert [(refused.index, refused.code) for refused in ack.refused] == [(1, code)]
    assert ack.accepted == 2
    assert counted(code) == before + 1
    assert ids(yard, kept) == [1, 3]


def ids(yard: Yard, since: int = 0) -> list[int]:
    """The ids of the events that went to the log."""
    raws = [unframed(framed) for record in yard.kept.records[since:] for framed in split(record.value)]
    return [UUID(bytes=Event.FromString(raw).event_id).int for raw in raws]


async def test_one_id_for_two_events_is_refused_and_the_same_event_twice_is_kept_once(yard: Yard) -> None:
    kept = len(yard.kept.records)
    events = [good(yard, 5), good(yard, 5), good(yard, 5, stream_metrics=StreamMetrics(viewers=2))]
    envelopes = [Envelope(event=event.SerializeToString(), attribution=1) for event in events]
    before = counted("event.duplicate_id")
    ack = await yard.publish(PublishRequest(attributions=[yard.attribution()], events=envelopes), NODE)
    assert (ack.accepted, [(refused.index, refused.code) for refused in ack.refused]) == (
        2,
        [(2, "event.duplicate_id")],
    )
    assert ids(yard, kept) == [5]
    assert counted("event.duplicate_id") == before + 1


async def test_a_request_of_too_many_events_is_refused_whole(yard: Yard) -> None:
    before, kept = counted(BatchTooLarge.code), len(yard.kept.records)
    request = PublishRequest(events=[Envelope()] * (MAX_EVENTS + 1))
    with pytest.raises(BatchTooLarge):
        await yard.publish(request, NODE)
    assert counted(BatchTooLarge.code) == before + 1
    assert len(yard.kept.records) == kept


def test_every_type_that_a_service_may_write_has_a_writer_and_only_writers_may_call() -> None:
    written = {name for names in WRITERS.values() for name in names}
    assert written == {kind.name for kind in EVENT_TYPES.values() if Role.SERVICE in kind.roles}
    assert RULES["Publish"].services == WRITERS.keys()


SAID: dict[str, dict[str, Any]] = {
    "load-balancing": {"load_balancing": LoadBalancing(status="success")},
    "player-boot": {"player_boot": PlayerBoot(outcome="playing")},
    "api-requests": {"api_requests": ApiRequests(requests=1)},
    "service": {"service_event": ServiceEvent(action="stream.created")},
}


@pytest.mark.parametrize("kind", SAID)
async def test_a_service_writes_its_own_types_and_no_others(yard: Yard, kind: str) -> None:
    for service in (*WRITERS, "signalman"):
        caller = Principal(PrincipalKind.SERVICE, service)
        event = good(yard, 4, type=kind, node_id="", stream_id=b"", cluster_id="", **SAID[kind])
        verdict = await yard.verdict(event, principal=caller)
        allowed = kind in WRITERS.get(service, ())
        assert verdict == ("accepted" if allowed else "sender.wrong_role"), service
        node = await yard.verdict(good(yard, 4, type=kind, **SAID[kind]), yard.attribution())
        assert node == "attribution.wrong_role"


async def test_a_service_speaks_in_its_own_name(yard: Yard) -> None:
    caller = Principal(PrincipalKind.SERVICE, "commodore", cluster="east")
    audit = good(yard, 4, type="service", node_id="", stream_id=b"", cluster_id="", **SAID["service"])
    assert await yard.verdict(audit, principal=caller) == "accepted"
    stored = Event.FromString(unframed(yard.kept.records[-1].value))
    assert (stored.source, stored.cluster_id, stored.region) == ("commodore", "east", "local")
    audit.source = "purser"
    assert await yard.verdict(audit, principal=caller) == "sender.wrong_source"


async def test_the_region_is_the_certificates(yard: Yard) -> None:
    here = replace(NODE, region="eu-west")
    for region, verdict in (("", "accepted"), ("eu-west", "accepted"), ("us-east", "sender.wrong_region")):
        event = good(yard, 6, region=region)
        assert await yard.verdict(event, yard.attribution(), principal=here) == verdict
    assert Event.FromString(unframed(yard.kept.records[-1].value)).region == "eu-west"
    assert yard.kept.records[-1].region == "eu-west"
    nowhere = replace(NODE, region="")
    assert await yard.verdict(good(yard, 6, region="eu-west"), yard.attribution(), principal=nowhere) == (
        "sender.wrong_region"
    )
    assert await yard.verdict(good(yard, 6), yard.attribution(), principal=nowhere) == "accepted"
    assert yard.kept.records[-1].region == "local"


async def test_audit_events_have_a_topic_of_their_own(yard: Yard) -> None:
    caller = Principal(PrincipalKind.SERVICE, "commodore")
    audit = good(yard, 4, type="service", node_id="", stream_id=b"", **SAID["service"])
    assert await yard.verdict(audit, principal=caller) == "accepted"
    assert yard.kept.records[-1].topic == "service_events"
    assert await yard.verdict(good(yard, 5), yard.attribution()) == "accepted"
    assert yard.kept.records[-1].topic == "analytics_events"


async def test_what_is_no_event_is_kept_for_a_person_within_bounds(yard: Yard) -> None:
    await yard.clock.advance(3600)
    yard.kept.letters.clear()
    envelopes = [Envelope(event=b"\xff%d" % n) for n in range(LETTERS_AT_ONCE + 50)]
    ack = await yard.publish(PublishRequest(events=envelopes), NODE)
    assert {refused.code for refused in ack.refused} == {"event.unreadable"}
    assert [letter.raw for letter in yard.kept.letters] == [e.event for e in envelopes[:LETTERS_AT_ONCE]]
    await yard.clock.advance(2)
    await yard.publish(PublishRequest(events=envelopes), NODE)
    assert len(yard.kept.letters) == LETTERS_AT_ONCE + 20


async def test_a_sender_has_a_bounded_number_of_streams(yard: Yard) -> None:
    trust = SignedAttributions(Verifier(yard.trust, yard.clock), capacity=10)
    api = Api(Intake(trust, yard.kept, yard.clock), streams=2)
    first, second = [yard.open_stream(api, NODE) for _ in range(2)]
    for stream in (first, second):
        assert (await anext(stream)).sequence == 1
    with pytest.raises(TooManyStreams):
        await anext(yard.open_stream(api, NODE))
    assert (await anext(yard.open_stream(api, replace(NODE, subject="node-2")))).sequence == 1
    await first.aclose()
    assert (await anext(yard.open_stream(api, NODE))).sequence == 1


@pytest.mark.parametrize("kind", sorted(frozen_events(SCHEMA_VERSION - 1)))
async def test_what_the_version_before_wrote_is_accepted_as_it_is(yard: Yard, kind: str) -> None:
    raw = frozen_events(SCHEMA_VERSION - 1)[kind]
    old = frozen_class(SCHEMA_VERSION - 1).FromString(raw)
    later = yard.at(old.occurred_at)
    (role,) = EVENT_TYPES[kind].roles
    tenant = UUID(bytes=old.tenant_id)
    caller = {
        Role.SERVICE: Principal(PrincipalKind.SERVICE, "foghorn"),
        Role.NODE: replace(NODE, tenant=tenant),
    }.get(role, NODE)
    words: dict[str, Any] = {
        "tenant": str(tenant),
        "stream": str(UUID(bytes=old.stream_id or TENANT.bytes)),
        "epoch": 3,
    }
    token = later.attribution(role=role.value, **words)
    tokens = [token] if role in (Role.INGEST, Role.VIEW) else []
    assert await later.verdict(raw, *tokens, principal=caller) == "accepted"
    assert unframed(later.kept.records[-1].value) == raw
    assert later.kept.records[-1].schema_version == SCHEMA_VERSION - 1
