"""Admission, claims and resolution of Commodore as nodes and Foghorn meet them."""

import asyncio
import itertools

import pytest
from fixtures_control import ControlPlane, Member, Node

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.contracts.pb import purser_v1_pb2 as purser_pb
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster_pb
from frameworks.kit.errors import NotFound, Refusal

_numbers = itertools.count()


class Encoder:
    """One publisher's connection to a node."""

    def __init__(self, node: Node, key: str, *, boot: str = "boot-1") -> None:
        self.node = node
        self.key = key
        self.boot = boot
        self.connection = f"connection-{next(_numbers)}"
        self.trigger = f"trigger-{next(_numbers)}"
        self.admission = pb.Admission()

    async def connect(self, *, live: tuple[str, ...] = ()) -> pb.Admission:
        """Ask to come in."""
        request = pb.AdmitPublishRequest(
            stream_key=self.key,
            protocol="rtmp",
            boot_id=self.boot,
            connection_id=self.connection,
            trigger_id=self.trigger,
            live=live,
        )
        self.admission = await self.node.caller.commodore.AdmitPublish(request)
        return self.admission

    async def renew(self, *, media: bool = True, attribution: bool = False) -> pb.RenewedClaim:
        """Say whether media flows."""
        claim = pb.ClaimRef(
            stream_id=self.admission.stream_id,
            epoch=self.admission.claim_epoch,
            connection_id=self.connection,
            media_flows=media,
            renew_attribution=attribution,
        )
        request = pb.RenewClaimsRequest(boot_id=self.boot, claims=[claim])
        return (await self.node.caller.commodore.RenewClaims(request)).claims[0]

    async def disconnect(self) -> None:
        """Go away."""
        request = pb.ReleaseClaimRequest(
            stream_id=self.admission.stream_id,
            epoch=self.admission.claim_epoch,
            connection_id=self.connection,
        )
        await self.node.caller.commodore.ReleaseClaim(request)


async def _stream(member: Member, title: str = "Live") -> pb.Stream:
    return await member.caller.commodore.CreateStream(pb.CreateStreamRequest(title=title))


async def _claim_state(member: Member, stream: pb.Stream) -> str:
    (seen,) = (await member.caller.commodore.GetStreams(pb.GetStreamsRequest(ids=[stream.id]))).streams
    return seen.claim_state


async def _suspend(control: ControlPlane, tenant: str, *, suspended: bool = True) -> None:
    request = purser_pb.SetSuspensionRequest(tenant_id=tenant, suspended=suspended, reason="Unpaid.")
    await control.service("cli").purser.SetSuspension(request)


async def _setting(control: ControlPlane) -> tuple[Member, pb.Stream, Node]:
    member = await control.member()
    return member, await _stream(member), await control.node()


async def test_a_good_key_gets_the_streams_names_and_leave_to_report(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    admission = await Encoder(node, stream.stream_key).connect()
    assert admission.admitted
    assert (admission.stream_id, admission.tenant_id) == (stream.id, member.tenant)
    assert admission.playback_id == stream.playback_id
    assert admission.claim_epoch == 1
    assert admission.max_kbps > 0
    claims = control.host.verifier().claims(admission.attribution, typ="attribution", issuer="commodore")
    assert (claims["tenant"], claims["stream"]) == (member.tenant, stream.id)
    assert (claims["node"], claims["cluster"]) == (node.id, "default")
    assert (claims["role"], claims["epoch"]) == ("ingest", 1)
    assert claims["exp"] - claims["nbf"] == 24 * 3600
    assert await _claim_state(member, stream) == "claimed"


async def test_an_unknown_key_is_refused_and_leaves_no_trace(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    for key in ("sk_" + "0" * 32, "nonsense", ""):
        admission = await Encoder(node, key).connect()
        assert (admission.admitted, admission.reason) == (False, "INVALID_KEY")
        assert admission.stream_id == ""
    request = pb.ListRefusedIngestsRequest(stream_id=stream.id)
    assert not (await member.caller.commodore.ListRefusedIngests(request)).refused


async def test_the_same_trigger_asked_again_gets_the_same_answer(control: ControlPlane) -> None:
    _, stream, node = await _setting(control)
    encoder = Encoder(node, stream.stream_key)
    first, again = await encoder.connect(), await encoder.connect()
    assert again.admitted
    assert again.claim_epoch == first.claim_epoch


async def test_a_second_publisher_is_refused_while_media_flows_and_the_owner_sees_why(
    control: ControlPlane,
) -> None:
    member, stream, node = await _setting(control)
    first, second = Encoder(node, stream.stream_key), Encoder(await control.node(), stream.stream_key)
    await first.connect()
    for _ in range(4):
        await control.clock.advance(4)
        assert (await first.renew()).held
        assert (await second.connect()).reason == "DUPLICATE_INGEST"
    request = pb.ListRefusedIngestsRequest(stream_id=stream.id)
    refused = (await member.caller.commodore.ListRefusedIngests(request)).refused
    assert {each.reason for each in refused} == {"DUPLICATE_INGEST"}
    assert refused[0].node_id == second.node.id
    assert "encoder" in refused[0].message
    assert refused[0].key_fingerprint == first.admission.key_fingerprint


async def test_only_the_newest_refusals_are_kept(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    await Encoder(node, stream.stream_key).connect()
    for _ in range(53):
        await Encoder(node, stream.stream_key).connect()
    request = pb.ListRefusedIngestsRequest(stream_id=stream.id)
    assert len((await member.caller.commodore.ListRefusedIngests(request)).refused) == 50


async def test_a_publisher_that_disconnects_makes_room_at_once(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    first, second = Encoder(node, stream.stream_key), Encoder(node, stream.stream_key)
    await first.connect()
    await first.disconnect()
    assert await _claim_state(member, stream) == "idle"
    assert (await second.connect()).claim_epoch == 2
    assert (await first.renew()).reason == "SUPERSEDED"


async def test_a_half_open_connection_is_taken_over_after_five_silent_seconds(control: ControlPlane) -> None:
    _, stream, node = await _setting(control)
    first, second = Encoder(node, stream.stream_key), Encoder(node, stream.stream_key)
    await first.connect()
    await control.clock.advance(4)
    await first.renew(media=False)
    assert not (await second.connect()).admitted
    await control.clock.advance(1)
    await first.renew(media=False)
    assert (await second.connect()).claim_epoch == 2
    assert not (await first.renew()).held


async def test_a_node_that_started_again_lost_its_publishers(control: ControlPlane) -> None:
    _, stream, node = await _setting(control)
    await Encoder(node, stream.stream_key).connect()
    assert (await Encoder(node, stream.stream_key, boot="boot-2").connect()).claim_epoch == 2


async def test_a_node_that_still_sees_media_keeps_the_claim(control: ControlPlane) -> None:
    _, stream, node = await _setting(control)
    first = Encoder(node, stream.stream_key)
    await first.connect()
    await control.clock.advance(30)
    second = Encoder(node, stream.stream_key)
    assert (await second.connect(live=(first.admission.internal_name,))).reason == "DUPLICATE_INGEST"
    assert (await second.connect()).admitted


async def test_of_many_publishers_at_once_one_wins(control: ControlPlane) -> None:
    _, stream, node = await _setting(control)
    encoders = [Encoder(node, stream.stream_key) for _ in range(10)]
    answers = await asyncio.gather(*(encoder.connect() for encoder in encoders))
    assert sum(answer.admitted for answer in answers) == 1


async def test_a_node_can_not_touch_another_nodes_claim(control: ControlPlane) -> None:
    _, stream, node = await _setting(control)
    first = Encoder(node, stream.stream_key)
    await first.connect()
    thief = Encoder(await control.node(), stream.stream_key)
    thief.admission, thief.connection = first.admission, first.connection
    assert not (await thief.renew()).held
    await thief.disconnect()
    assert (await first.renew()).held


async def test_a_replaced_key_is_refused_and_its_publisher_dropped(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    first = Encoder(node, stream.stream_key)
    await first.connect()
    await member.caller.commodore.RotateStreamKey(pb.RotateStreamKeyRequest(id=stream.id))
    assert (await first.renew()).reason == "KEY_INACTIVE"
    assert (await Encoder(node, stream.stream_key).connect()).reason == "KEY_INACTIVE"


async def test_a_deleted_streams_publisher_is_dropped(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    first = Encoder(node, stream.stream_key)
    await first.connect()
    await member.caller.commodore.DeleteStream(pb.DeleteStreamRequest(id=stream.id))
    assert (await first.renew()).reason == "STREAM_DELETED"
    assert (await Encoder(node, stream.stream_key).connect()).reason == "INVALID_KEY"


async def test_a_suspended_tenants_publishers_are_dropped_and_refused(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    first = Encoder(node, stream.stream_key)
    await first.connect()
    await _suspend(control, member.tenant)
    await control.clock.advance(6)
    assert (await first.renew()).reason == "TENANT_SUSPENDED"
    refused = await Encoder(node, stream.stream_key).connect()
    assert refused.reason == "TENANT_SUSPENDED"
    assert "Billing" in refused.message
    await _suspend(control, member.tenant, suspended=False)
    await control.clock.advance(6)
    assert (await Encoder(node, stream.stream_key).connect()).admitted


async def test_a_closed_tenants_publishers_are_refused(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    request = quartermaster_pb.DeleteTenantRequest(tenant_id=member.tenant)
    await control.service("commodore").quartermaster.DeleteTenant(request)
    await control.clock.advance(6)
    assert (await Encoder(node, stream.stream_key).connect()).reason == "TENANT_INACTIVE"


async def test_a_key_is_of_no_use_on_another_tenants_cluster(control: ControlPlane) -> None:
    _, stream, _ = await _setting(control)
    stranger = await control.member()
    created = await stranger.caller.quartermaster.CreateEdgeCluster(
        quartermaster_pb.CreateEdgeClusterRequest(name="Mine")
    )
    edge = await control.node(created.cluster.id, stranger)
    admission = await Encoder(edge, stream.stream_key).connect()
    assert (admission.admitted, admission.reason) == (False, "CLUSTER_NOT_ENTITLED")
    assert admission.internal_name == ""
    assert admission.attribution == ""
    request = pb.ResolvePlaybackRequest(playback_id=stream.playback_id)
    with pytest.raises(NotFound):
        await edge.caller.commodore.ResolvePlayback(request)
    own = await _stream(stranger)
    assert (await Encoder(edge, own.stream_key).connect()).admitted


async def test_renewing_can_bring_a_fresh_attribution(control: ControlPlane) -> None:
    _, stream, node = await _setting(control)
    encoder = Encoder(node, stream.stream_key)
    await encoder.connect()
    assert (await encoder.renew()).attribution == ""
    renewed = await encoder.renew(attribution=True)
    claims = control.host.verifier().claims(renewed.attribution, typ="attribution", issuer="commodore")
    assert (claims["stream"], claims["role"], claims["epoch"]) == (stream.id, "ingest", 1)


async def test_a_playback_id_resolves_for_nodes_and_foghorn(control: ControlPlane) -> None:
    member, stream, node = await _setting(control)
    request = pb.ResolvePlaybackRequest(playback_id=stream.playback_id)
    for_node = await node.caller.commodore.ResolvePlayback(request)
    for_foghorn = await control.service("foghorn").commodore.ResolvePlayback(request)
    assert (for_node.stream_id, for_node.tenant_id, for_node.title) == (stream.id, member.tenant, "Live")
    assert list(for_foghorn.cluster_ids) == ["default"]
    assert for_foghorn.max_viewers == 200
    assert for_foghorn.attribution == ""
    claims = control.host.verifier().claims(for_node.attribution, typ="attribution", issuer="commodore")
    assert (claims["role"], claims["node"]) == ("view", node.id)
    by_name = pb.ResolvePlaybackRequest(internal_name=for_node.internal_name)
    assert (await node.caller.commodore.ResolvePlayback(by_name)).playback_id == stream.playback_id
    assert await _claim_state(member, stream) == "idle"


@pytest.mark.parametrize("playback_id", ["", "x", "a" * 16, "../../etc/passwd"])
async def test_an_unknown_playback_id_names_nothing(control: ControlPlane, playback_id: str) -> None:
    request = pb.ResolvePlaybackRequest(playback_id=playback_id)
    with pytest.raises(NotFound):
        await control.service("foghorn").commodore.ResolvePlayback(request)


async def test_resolving_an_ingest_claims_nothing(control: ControlPlane) -> None:
    member, stream, _ = await _setting(control)
    foghorn = control.service("foghorn").commodore
    target = await foghorn.ResolveIngest(pb.ResolveIngestRequest(stream_key=stream.stream_key))
    assert (target.stream_id, list(target.cluster_ids)) == (stream.id, ["default"])
    assert await _claim_state(member, stream) == "idle"
    with pytest.raises(NotFound):
        await foghorn.ResolveIngest(pb.ResolveIngestRequest(stream_key="sk_" + "9" * 32))


async def test_a_question_without_ids_is_refused(control: ControlPlane) -> None:
    _, stream, node = await _setting(control)
    with pytest.raises(Refusal):
        await node.caller.commodore.AdmitPublish(pb.AdmitPublishRequest(stream_key=stream.stream_key))
