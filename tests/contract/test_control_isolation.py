"""Every read of Commodore's and Quartermaster's stores, asked with another tenant's ids, finds nothing."""

from uuid import UUID

import pytest
from fixtures_control import ControlPlane, Member

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster_pb
from frameworks.control.commodore.domain.accounts import LinkKind, digest
from frameworks.control.commodore.domain.claims import Claim, Refused
from frameworks.control.commodore.domain.tokens import RefreshToken, Verdict
from frameworks.control.commodore.store import (
    AccountStore,
    AdmissionStore,
    ApiTokenStore,
    SessionStore,
    StreamStore,
)
from frameworks.control.quartermaster.domain import NoSuchCluster, NotEntitled
from frameworks.control.quartermaster.store import ClusterStore, NodeStore, TenantStore
from frameworks.kit.errors import NotFound
from frameworks.kit.paging import Window


async def _two(control: ControlPlane) -> tuple[Member, UUID]:
    """A tenant with a stream, and another tenant's id."""
    owner, other = await control.member(), await control.member()
    await owner.caller.commodore.CreateStream(pb.CreateStreamRequest(title="Secret"))
    return owner, UUID(other.tenant)


async def test_users_links_and_sessions_stay_within_their_tenant(control: ControlPlane) -> None:
    owner, other = await _two(control)
    store, sessions, now = AccountStore(control.db), SessionStore(control.db), control.clock.now()
    assert await store.user(other, UUID(owner.session.user.id)) is None
    await control.mails()
    address = owner.session.user.email
    reset = pb.RequestPasswordResetRequest(email=address, client=address)
    await control.public().commodore.RequestPasswordReset(reset)
    (mail,) = await control.mails()
    link = await store.resolve_link(digest(mail.token))
    assert link is not None
    assert await store.use_link(other, link[1], LinkKind.RESET, now) is None
    token = await sessions.resolve_refresh(digest(owner.session.refresh_token))
    assert token is not None

    def never(found: object, used: object = None) -> RefreshToken:
        raise AssertionError("another tenant's token was found")

    assert (await sessions.rotate(other, token[1], now, never, never))[0] is Verdict.REFUSE  # type: ignore[arg-type]


async def test_streams_keys_and_tokens_stay_within_their_tenant(control: ControlPlane) -> None:
    owner, other = await _two(control)
    store, tokens, now = StreamStore(control.db), ApiTokenStore(control.db), control.clock.now()
    (stream,) = (await owner.caller.commodore.ListStreams(pb.ListStreamsRequest())).streams
    window, stream_id = Window("x"), UUID(stream.id)
    assert (await store.streams(other, window, now, "")).total == 0
    assert not await store.some(other, [stream_id], [stream.playback_id], now)
    assert await store.titled(other, "Secret", now) is None
    with pytest.raises(NotFound):
        await store.keys(other, stream_id, window)
    made = pb.CreateApiTokenRequest(name="t", scopes=["streams:read"])
    token = await owner.caller.commodore.CreateApiToken(made)
    assert await tokens.token(other, UUID(token.id), now) is None
    assert (await tokens.tokens(other, window, now, None)).total == 0


async def test_claims_and_refusals_stay_within_their_tenant(control: ControlPlane) -> None:
    owner, other = await _two(control)
    store, node = AdmissionStore(control.db), await control.node()
    (stream,) = (await owner.caller.commodore.ListStreams(pb.ListStreamsRequest())).streams
    for connection in ("a", "b"):
        ask = pb.AdmitPublishRequest(
            stream_key=stream.stream_key, boot_id="1", connection_id=connection, trigger_id=connection
        )
        await node.caller.commodore.AdmitPublish(ask)
    stream_id = UUID(stream.id)
    key = await store.resolve_key(digest(stream.stream_key))
    assert key is not None
    assert await store.key(other, key[1]) is None
    assert await store.epoch(other, stream_id) == 0
    assert await store.epoch(UUID(owner.tenant), stream_id) == 1
    assert not await store.refusals(other, stream_id, 50)
    seen: list[Claim | None] = []

    def look(current: Claim | None, key_active: bool) -> Refused:
        seen.append(current)
        return Refused("none")

    await store.renew(other, {stream_id: look})
    assert seen == [None]
    assert not await store.release(other, stream_id, lambda current: current)


async def test_clusters_and_nodes_stay_within_their_tenant(control: ControlPlane) -> None:
    owner, other = await _two(control)
    created = await owner.caller.quartermaster.CreateEdgeCluster(
        quartermaster_pb.CreateEdgeClusterRequest(name="Private")
    )
    node = await control.node(created.cluster.id, owner)
    db, now, window = control.quartermaster_db, control.clock.now(), Window("x", limit=500)
    clusters, nodes = ClusterStore(db), NodeStore(db)
    with pytest.raises(NoSuchCluster):
        await clusters.cluster(other, created.cluster.id, now)
    with pytest.raises(NotEntitled):
        await clusters.require_entitled(other, created.cluster.id, now)
    assert created.cluster.id not in {each.id for each in (await clusters.clusters(other, window, now)).rows}
    assert [each.cluster.id for each in (await clusters.access(other, window, now)).rows] == ["default"]
    assert await clusters.routing(other, now) == (["default"], True)
    assert await nodes.node(other, node.id) is None
    assert (await nodes.nodes(other, window)).total == 0
    found = await TenantStore(db).tenant(other)
    assert found is not None
    assert found.id == other
