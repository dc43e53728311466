"""What may no longer run: Foghorn is told of suspended tenants, deleted streams and ended keys; owners read why."""

from typing import Any

import msgspec
import pytest
from fixtures_control import ControlPlane, Member, Node
from test_commodore_admission import Encoder

from frameworks.contracts.audit_delivery import AuditDelivery
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.contracts.pb import foghorn_v1_pb2 as foghorn_pb
from frameworks.contracts.pb import purser_v1_pb2 as purser_pb
from frameworks.control.commodore.domain.stops import TOPIC, StopOrder
from frameworks.control.commodore.peers.media import Media
from frameworks.control.purser.domain import STANDING_CHANGED
from frameworks.control.purser.peers import Delivery as PurserDelivery
from frameworks.kit.errors import Forbidden, NotFound, Refusal
from frameworks.kit.outbox import Letter, Outbox


async def on_air(control: ControlPlane, *, streams: int = 1) -> tuple[Member, list[pb.Stream], list[Encoder]]:
    """A tenant with publishers."""
    member, node = await control.member(), await control.node()
    made = [await member.caller.commodore.CreateStream(pb.CreateStreamRequest(title="Live"))]
    for _ in range(streams - 1):
        made.append(await member.caller.commodore.CreateStream(pb.CreateStreamRequest(title="Live")))
    encoders = [Encoder(node, stream.stream_key) for stream in made]
    for encoder in encoders:
        assert (await encoder.connect()).admitted
    return member, made, encoders


async def suspend(control: ControlPlane, tenant: str, *, suspended: bool = True) -> None:
    request = purser_pb.SetSuspensionRequest(tenant_id=tenant, suspended=suspended, reason="Unpaid.")
    await control.service("cli").purser.SetSuspension(request)


async def ordered(control: ControlPlane, tenant: str) -> foghorn_pb.StopStreamsRequest:
    """The newest order about a tenant, once Purser and Commodore have delivered what waits."""
    nobody: Any = None
    to_commodore = PurserDelivery(control.service("purser").commodore, AuditDelivery("purser", nobody))
    media = Media(control.service("commodore").foghorn)

    async def take(letter: Letter) -> None:
        if letter.topic == STANDING_CHANGED:
            await to_commodore.deliver(letter)
        elif letter.topic == TOPIC:
            await media.stop(msgspec.json.decode(letter.payload, type=StopOrder))

    purser_db = await control.host.database("frameworks.control.purser")
    while await Outbox(purser_db, "purser").drain_once(take):
        pass
    while await Outbox(control.db, "commodore").drain_once(take):
        pass
    return [order for order in control.foghorn.orders if order.tenant_id == tenant][-1]


def named(order: foghorn_pb.StopStreamsRequest) -> set[tuple[str, int, str]]:
    """What an order stops."""
    return {(stop.internal_name, stop.epoch, stop.key_id) for stop in order.streams}


async def test_a_suspension_stops_every_stream_the_tenant_has_on_air_and_no_other(
    control: ControlPlane,
) -> None:
    member, _, encoders = await on_air(control, streams=2)
    await on_air(control)
    await suspend(control, member.tenant)
    order = await ordered(control, member.tenant)
    assert order.reason == "TENANT_SUSPENDED"
    assert named(order) == {(encoder.admission.internal_name, 1, "") for encoder in encoders}


async def test_after_a_suspension_the_next_publisher_is_refused_without_delay(control: ControlPlane) -> None:
    member, (stream,), (encoder,) = await on_air(control)
    await encoder.disconnect()
    await suspend(control, member.tenant)
    await ordered(control, member.tenant)
    assert (await Encoder(encoder.node, stream.stream_key).connect()).reason == "TENANT_SUSPENDED"


async def test_a_lifted_suspension_has_foghorn_ask_again_and_stops_nothing(control: ControlPlane) -> None:
    member, (stream,), (encoder,) = await on_air(control)
    await suspend(control, member.tenant)
    await ordered(control, member.tenant)
    await suspend(control, member.tenant, suspended=False)
    order = await ordered(control, member.tenant)
    assert named(order) == set()
    await encoder.disconnect()
    assert (await Encoder(encoder.node, stream.stream_key).connect()).admitted


async def test_a_deleted_stream_is_stopped(control: ControlPlane) -> None:
    member, (stream,), (encoder,) = await on_air(control)
    await member.caller.commodore.DeleteStream(pb.DeleteStreamRequest(id=stream.id))
    order = await ordered(control, member.tenant)
    assert (order.reason, named(order)) == (
        "STREAM_DELETED",
        {(encoder.admission.internal_name, 1, "")},
    )


async def test_a_rotated_key_stops_who_publishes_with_it(control: ControlPlane) -> None:
    member, (stream,), (encoder,) = await on_air(control)
    await member.caller.commodore.RotateStreamKey(pb.RotateStreamKeyRequest(id=stream.id))
    order = await ordered(control, member.tenant)
    assert order.reason == "KEY_INACTIVE"
    assert named(order) == {(encoder.admission.internal_name, 1, encoder.admission.key_id)}


async def test_a_key_nobody_publishes_with_stops_nobody(control: ControlPlane) -> None:
    member, (stream,), _ = await on_air(control)
    extra = await member.caller.commodore.CreateStreamKey(
        pb.CreateStreamKeyRequest(stream_id=stream.id, name="backup")
    )
    await member.caller.commodore.DeactivateStreamKey(
        pb.DeactivateStreamKeyRequest(stream_id=stream.id, key_id=extra.id)
    )
    await suspend(control, member.tenant)
    assert (await ordered(control, member.tenant)).reason == "TENANT_SUSPENDED"


async def test_only_purser_says_that_a_standing_has_changed(control: ControlPlane) -> None:
    member = await control.member()
    request = pb.StandingChangedRequest(tenant_id=member.tenant)
    for caller in (member.caller, control.service("bridge"), (await control.node()).caller):
        with pytest.raises(Forbidden):
            await caller.commodore.StandingChanged(request)


async def test_who_was_cut_off_for_its_bitrate_reads_both_figures(control: ControlPlane) -> None:
    member, (stream,), (encoder,) = await on_air(control)
    await release(encoder, reason="BITRATE_LIMIT")
    request = pb.ListRefusedIngestsRequest(stream_id=stream.id)
    (refused,) = (await member.caller.commodore.ListRefusedIngests(request)).refused
    assert (refused.reason, refused.protocol) == ("BITRATE_LIMIT", "RTMP")
    assert refused.message.startswith("Your plan allows 6,000 kbit/s; your encoder sent 9,200 kbit/s.")
    assert refused.key_fingerprint == encoder.admission.key_fingerprint


async def test_a_node_without_the_claim_can_not_write_into_the_owners_list(control: ControlPlane) -> None:
    member, (stream,), (encoder,) = await on_air(control)
    other = await control.node()
    await release(encoder, reason="BITRATE_LIMIT", node=other)
    request = pb.ListRefusedIngestsRequest(stream_id=stream.id)
    assert not (await member.caller.commodore.ListRefusedIngests(request)).refused
    with pytest.raises(Refusal):
        await release(encoder, reason="BECAUSE")


async def release(encoder: Encoder, *, reason: str, node: Node | None = None) -> None:
    """Give a claim back after an overrun."""
    request = pb.ReleaseClaimRequest(
        stream_id=encoder.admission.stream_id,
        epoch=encoder.admission.claim_epoch,
        connection_id=encoder.connection,
        reason=reason,
        measured_kbps=9_200,
        allowed_kbps=6_000,
        protocol="RTMP",
        key_fingerprint=encoder.admission.key_fingerprint,
    )
    await (node or encoder.node).caller.commodore.ReleaseClaim(request)


async def test_the_refused_publishers_of_all_streams_are_one_list_of_their_tenant_alone(
    control: ControlPlane,
) -> None:
    member, streams, encoders = await on_air(control, streams=2)
    stranger, _, (theirs,) = await on_air(control)
    for encoder in (*encoders, theirs):
        assert not (await Encoder(await control.node(), encoder.key).connect()).admitted
        await control.clock.advance(1)
    found = (await member.caller.commodore.ListRefusedIngests(pb.ListRefusedIngestsRequest())).refused
    assert [refused.stream_id for refused in found] == [stream.id for stream in reversed(streams)]
    foreign = (await stranger.caller.commodore.ListRefusedIngests(pb.ListRefusedIngestsRequest())).refused
    assert [refused.stream_id for refused in foreign] == [theirs.admission.stream_id]
    with pytest.raises(NotFound):
        await stranger.caller.commodore.ListRefusedIngests(
            pb.ListRefusedIngestsRequest(stream_id=streams[0].id)
        )
