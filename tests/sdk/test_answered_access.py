"""API tokens, the tenant, and the public look-ups of players and encoders."""

import pytest
from fixtures_answered import SdkFactory, answers, make_stream
from fixtures_edge import bearer, quartermaster_of
from fixtures_http import http_client
from fixtures_platform import Platform, Tenant, push
from livepeer_frameworks.errors import AuthenticationError, GraphQLError
from livepeer_frameworks.graphql import (
    CreateDeveloperTokenInput,
    MediaIngestProtocol,
    MediaViewerProtocol,
    UpdateTenantInput,
)
from livepeer_frameworks.results import expect_result

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster


async def tokens_of(platform: Platform, tenant: Tenant) -> dict[str, str]:
    """The tokens Commodore has for a tenant: name and status."""
    found = await platform.commodore.ListApiTokens(
        commodore.ListApiTokensRequest(), metadata=bearer(tenant.access_token)
    )
    return {token.name: token.status for token in found.tokens}


@answers("CreateDeveloperToken", "RevokeDeveloperToken")
async def test_a_developer_token_works_within_its_scopes_until_it_is_revoked(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    owner = sdk(tenant, token=tenant.access_token)
    answer = await owner.create_developer_token(
        CreateDeveloperTokenInput(name="CI", permissions="streams:read", expiresIn=7)
    )
    made = expect_result(answer.create_developer_token, "DeveloperToken")
    assert made.permissions == ["streams:read"]
    assert await tokens_of(platform, tenant) == {"CI": "active", "test": "active"}

    stream = await make_stream(platform, tenant, "Seen by CI")
    ci = sdk(tenant, token=made.token_value)
    assert [s.stream_id for s in (await ci.list_streams()).streams_connection.nodes] == [stream.id]
    with pytest.raises(GraphQLError, match="streams:write"):
        await ci.list_stream_keys(stream.id)

    revoked = await owner.revoke_developer_token(made.id)
    assert expect_result(revoked.revoke_developer_token, "DeleteSuccess").deleted_id == made.id
    assert (await tokens_of(platform, tenant))["CI"] == "revoked"


@answers("ListDeveloperTokens")
async def test_developer_tokens_are_listed_without_their_secrets(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    made = await platform.commodore.CreateApiToken(
        commodore.CreateApiTokenRequest(name="Listed", scopes=["analytics:read"]),
        metadata=bearer(tenant.access_token),
    )
    listed = (await sdk(tenant).list_developer_tokens()).developer_tokens_connection
    assert {t.token_name: t.status for t in listed.nodes} == {"Listed": "active", "test": "active"}
    assert all(token.token_value is None for token in listed.nodes)
    await platform.commodore.RevokeApiToken(
        commodore.RevokeApiTokenRequest(id=made.id), metadata=bearer(tenant.access_token)
    )
    listed = (await sdk(tenant).list_developer_tokens()).developer_tokens_connection
    assert {t.token_name: t.status for t in listed.nodes}["Listed"] == "revoked"


@answers("GetTenant")
async def test_the_tenant_is_read_as_quartermaster_has_it(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    found = (await sdk(tenant).get_tenant()).tenant
    assert found is not None
    assert (found.name, found.cluster) == ("Test", "default")
    await quartermaster_of(platform).UpdateTenant(
        quartermaster.UpdateTenantRequest(name="Renamed"), metadata=bearer(tenant.access_token)
    )
    again = (await sdk(tenant).get_tenant()).tenant
    assert again is not None
    assert (again.id, again.name) == (found.id, "Renamed")


@answers("UpdateTenant")
async def test_a_tenant_renames_and_brands_itself(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    owner = sdk(tenant, token=tenant.access_token)
    given = UpdateTenantInput(name="Channel Nine", settings={"primaryColor": "#102030"})
    answer = await owner.update_tenant(given)
    assert expect_result(answer.update_tenant, "Tenant").name == "Channel Nine"
    kept = await quartermaster_of(platform).GetTenant(
        quartermaster.GetTenantRequest(), metadata=bearer(tenant.access_token)
    )
    assert (kept.name, kept.primary_color) == ("Channel Nine", "#102030")
    refused = await sdk(tenant).update_tenant(UpdateTenantInput(name="By a token"))
    assert refused.update_tenant.typename__ == "AuthError"


@answers("GetStreamingConfig")
async def test_the_streaming_config_names_the_preferred_cluster(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    found = (await sdk(tenant).get_streaming_config()).streaming_config
    assert found is not None
    assert found.preferred_cluster_label == "Default"
    assert found.rtmp_port == platform.port("rtmp")
    registry = quartermaster_of(platform)
    made = await registry.CreateEdgeCluster(
        quartermaster.CreateEdgeClusterRequest(name="Ours"), metadata=bearer(tenant.access_token)
    )
    await registry.SetPreferredCluster(
        quartermaster.SetPreferredClusterRequest(cluster_id=made.cluster.id),
        metadata=bearer(tenant.access_token),
    )
    again = (await sdk(tenant).get_streaming_config()).streaming_config
    assert again is not None
    assert again.preferred_cluster_label == "Ours"


@answers("ResolveViewerEndpoint")
async def test_players_learn_where_a_live_stream_is(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    made = await make_stream(platform, tenant, "To watch")
    public = sdk()
    with pytest.raises(GraphQLError) as offline:
        await public.resolve_viewer_endpoint(made.playback_id)
    assert offline.value.code == "STREAM_OFFLINE"
    encoder = await push(f"{platform.rtmp_url}/{made.key}")
    try:
        await platform.live(made.playback_id)
        found = (
            await public.resolve_viewer_endpoint(made.playback_id, MediaViewerProtocol.HLS)
        ).resolve_viewer_endpoint
    finally:
        await encoder.stop()
    assert found is not None
    assert found.primary is not None
    assert found.metadata is not None
    assert (found.metadata.title, found.metadata.is_live) == ("To watch", True)
    assert found.primary.protocol == "hls"
    assert found.primary.outputs is not None
    assert found.primary.outputs["HLS"]["url"] == found.primary.url
    assert found.primary.url.startswith(platform.url("media"))
    with pytest.raises(GraphQLError):
        await public.resolve_viewer_endpoint("no-such-stream")


@answers("ResolveIngestEndpoint")
async def test_encoders_learn_where_their_key_may_push(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    made = await make_stream(platform, tenant, "To push")
    found = (await sdk().resolve_ingest_endpoint(made.key, MediaIngestProtocol.RTMP)).resolve_ingest_endpoint
    assert found is not None
    assert found.primary.rtmp_url is not None
    assert found.primary.rtmp_url.startswith(platform.rtmp_url)
    assert found.metadata is not None
    assert found.metadata.stream_id == made.id
    assert found.metadata.tenant_id == tenant.tenant_id
    await platform.commodore.RotateStreamKey(
        commodore.RotateStreamKeyRequest(id=made.id), metadata=bearer(tenant.access_token)
    )
    with pytest.raises(GraphQLError, match="key"):
        await sdk().resolve_ingest_endpoint(made.key)


async def test_a_token_nobody_made_is_refused(platform: Platform, sdk: SdkFactory) -> None:
    with pytest.raises(AuthenticationError):
        await sdk(token="fw_nobody_made_this").list_streams()
    async with http_client() as http:
        answer = await http.post(f"{platform.url('front')}/graphql", json={"query": "{ tenant { id } }"})
    assert answer.status_code in (401, 402)
