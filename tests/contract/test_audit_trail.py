"""The audit trail: who did what, in the transaction of what was done, without a secret or an address in it."""

import json
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from fixtures_control import PASSWORD, ControlPlane
from fixtures_decklog import Yard

from frameworks.contracts.audit import Actor, Entry
from frameworks.contracts.audit_delivery import AuditDelivery, Unacknowledged
from frameworks.contracts.audit_trail import note
from frameworks.contracts.framing import unframed
from frameworks.contracts.pb import commodore_v1_pb2 as commodore_pb
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster_pb
from frameworks.contracts.pb.decklog_v1_pb2 import PublishAck, PublishRequest
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.control.purser.peers import Delivery as PurserDelivery
from frameworks.kit.clock import micros, uuid7
from frameworks.kit.errors import NotFound
from frameworks.kit.identity import Principal, PrincipalKind
from frameworks.kit.outbox import Letter


def actions(trail: list[Entry]) -> list[str]:
    """What was done."""
    return [entry.action for entry in trail]


async def test_an_account_leaves_a_trail(control: ControlPlane) -> None:
    member = await control.member()
    chosen = PASSWORD + " 2"
    request = commodore_pb.ChangePasswordRequest(current_password=PASSWORD, new_password=chosen)
    await member.caller.commodore.ChangePassword(request)
    trail = await control.told(member.tenant)
    user_id = member.session.user.id
    assert set(actions(trail)) >= {
        "tenant.created",
        "user.registered",
        "user.signed_in",
        "user.password_changed",
    }
    changed = next(entry for entry in trail if entry.action == "user.password_changed")
    assert (changed.actor_kind, changed.actor, changed.resource) == ("user", user_id, user_id)


async def test_streams_keys_and_tokens_leave_a_trail(control: ControlPlane) -> None:
    member = await control.member()
    commodore = member.caller.commodore
    stream = await commodore.CreateStream(commodore_pb.CreateStreamRequest(title="A secret title"))
    await commodore.UpdateStream(commodore_pb.UpdateStreamRequest(id=stream.id, title="Another"))
    rotated = await commodore.RotateStreamKey(commodore_pb.RotateStreamKeyRequest(id=stream.id))
    key = await commodore.CreateStreamKey(commodore_pb.CreateStreamKeyRequest(stream_id=stream.id, name="k"))
    ended = commodore_pb.DeactivateStreamKeyRequest(stream_id=stream.id, key_id=key.id)
    await commodore.DeactivateStreamKey(ended)
    token = await commodore.CreateApiToken(
        commodore_pb.CreateApiTokenRequest(name="t", scopes=["streams:read"])
    )
    await commodore.RevokeApiToken(commodore_pb.RevokeApiTokenRequest(id=token.id))
    await commodore.DeleteStream(commodore_pb.DeleteStreamRequest(id=stream.id))
    trail = [
        e
        for e in await control.told(member.tenant)
        if e.action.partition(".")[0] in ("stream", "key", "token")
    ]
    assert sorted(actions(trail)) == sorted(
        [
            *("stream.created", "stream.updated", "stream.deleted"),
            *("key.created", "key.rotated", "key.created", "key.revoked"),
            *("token.created", "token.revoked"),
        ]
    )
    assert {(e.actor_kind, e.actor) for e in trail} == {("user", member.session.user.id)}
    assert {str(e.stream) for e in trail if e.stream} == {stream.id}
    said = msgspec.json.encode(trail).decode()
    for secret in (
        PASSWORD,
        rotated.stream_key,
        token.value,
        "A secret title",
        "Another",
        member.session.user.email,
    ):
        assert secret
        assert secret not in said
    (updated,) = (e for e in trail if e.action == "stream.updated")
    assert updated.attributes == {"changed": "title"}


async def test_what_is_refused_leaves_none(control: ControlPlane) -> None:
    member = await control.member()
    before = len(await control.told(member.tenant))
    with pytest.raises(NotFound):
        await member.caller.commodore.DeleteStream(commodore_pb.DeleteStreamRequest(id=str(uuid4())))
    assert len(await control.told(member.tenant)) == before


async def test_clusters_and_nodes_leave_a_trail(control: ControlPlane) -> None:
    member = await control.member()
    request = quartermaster_pb.CreateEdgeClusterRequest(name="Edge", region="eu")
    made = await member.caller.quartermaster.CreateEdgeCluster(request)
    node = await control.node(made.cluster.id, member)
    trail = await control.told(member.tenant)
    assert actions(trail).count("enrollment.issued") == 2
    (created,) = (e for e in trail if e.action == "cluster.created")
    assert (created.resource, created.actor) == (made.cluster.id, member.session.user.id)
    (enrolled,) = (e for e in trail if e.action == "node.enrolled")
    assert (enrolled.resource, enrolled.attributes) == (node.id, {"cluster": made.cluster.id})
    assert made.token.token not in msgspec.json.encode(trail).decode()


async def test_an_action_nobody_knows_is_a_bug(control: ControlPlane) -> None:
    tenant = uuid7()
    async with control.db.tenant(tenant) as c:
        with pytest.raises(ValueError, match=r"stream\.vanished"):
            await note(c, "commodore", tenant, "stream.vanished", 1, at=control.clock.now(), by=None)


async def test_no_line_without_its_transaction(control: ControlPlane) -> None:
    tenant = uuid7()

    async def fail() -> None:
        async with control.db.tenant(tenant) as c:
            await note(c, "commodore", tenant, "stream.created", tenant, at=control.clock.now(), by=None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await control.told(str(tenant)) == []


class Decklog:
    """A stub over a Decklog in the same process, called as a service."""

    def __init__(self, yard: Yard, service: str) -> None:
        self._yard = yard
        self._principal = Principal(PrincipalKind.SERVICE, service)
        self.speaks = True

    def Publish(self, requests: Any, timeout: float) -> "Answers":
        """Take the requests."""
        return Answers(self._yard, list(requests) if self.speaks else [], self._principal)


class Answers:
    """The acknowledgements of a call."""

    def __init__(self, yard: Yard, requests: list[PublishRequest], principal: Principal) -> None:
        self._yard, self._requests, self._principal = yard, requests, principal

    def __aiter__(self) -> "Answers":
        return self

    async def __anext__(self) -> PublishAck:
        if not self._requests:
            raise StopAsyncIteration
        return await self._yard.publish(self._requests.pop(0), self._principal)

    def cancel(self) -> bool:
        """Nothing is under way."""
        return True


def letter(yard: Yard) -> tuple[Entry, Letter]:
    """An entry as it waits in an outbox."""
    entry = Entry(
        event_id=uuid7(),
        at=micros(yard.clock.now()),
        tenant=UUID(int=5),
        action="key.rotated",
        actor_kind="user",
        actor="u1",
        resource_kind="key",
        resource="k1",
        stream=UUID(int=6),
        trace="0" * 32,
        attributes={"changed": "title"},
    )
    return entry, Letter(1, "audit", "t", msgspec.json.encode(entry), {}, 1)


async def test_an_entry_becomes_a_service_event(yard: Yard) -> None:
    entry, waiting = letter(yard)
    stub: Any = Decklog(yard, "commodore")
    await AuditDelivery("commodore", stub).deliver(waiting)
    record = yard.kept.records[-1]
    event = Event.FromString(unframed(record.value))
    assert (record.topic, event.source, event.event_id) == (
        "service_events",
        "commodore",
        entry.event_id.bytes,
    )
    told = event.service_event
    assert (told.action, told.actor, told.resource) == ("key.rotated", "u1", "k1")
    assert json.dumps(dict(told.attributes)) == '{"changed": "title"}'


async def test_pursers_outbox_takes_its_entries_to_decklog(yard: Yard) -> None:
    entry, waiting = letter(yard)
    stub: Any = Decklog(yard, "purser")
    await PurserDelivery(stub, AuditDelivery("purser", stub)).deliver(waiting)
    record = yard.kept.records[-1]
    event = Event.FromString(unframed(record.value))
    assert (record.topic, event.source, event.event_id) == ("service_events", "purser", entry.event_id.bytes)


async def test_an_entry_that_decklog_never_takes_does_not_block_the_others(yard: Yard) -> None:
    stub: Any = Decklog(yard, "signalman")
    kept = len(yard.kept.records)
    await AuditDelivery("signalman", stub).deliver(letter(yard)[1])
    assert len(yard.kept.records) == kept


async def test_an_entry_without_an_acknowledgement_is_tried_again(yard: Yard) -> None:
    stub: Any = Decklog(yard, "commodore")
    stub.speaks = False
    with pytest.raises(Unacknowledged):
        await AuditDelivery("commodore", stub).deliver(letter(yard)[1])


def test_who_did_it_is_a_kind_and_an_id() -> None:
    assert Actor("user", "1") == Actor("user", "1", "")
