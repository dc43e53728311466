"""Clusters, nodes and service instances: a tenant's own edge, as the published SDK makes and sees it."""

import pytest
from fixtures_answered import SdkFactory, answers
from fixtures_edge import Edge, bearer, quartermaster_of
from fixtures_platform import Platform, Tenant
from livepeer_frameworks.errors import ResultError
from livepeer_frameworks.graphql import BootstrapEdgeInput, CreateEdgeClusterInput, InstanceStatus, NodeStatus
from livepeer_frameworks.results import expect_result

from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster
from frameworks.kit.clock import random_text


@pytest.fixture
async def edge(platform: Platform, tenant: Tenant) -> Edge:
    """A node of the tenant's own cluster, enrolled by gRPC; it has not reported yet."""
    return await Edge.join(platform, tenant, name="Ours")


async def clusters_of(platform: Platform, tenant: Tenant) -> dict[str, quartermaster.Cluster]:
    """The clusters Quartermaster shows to a tenant, by id."""
    found = await quartermaster_of(platform).ListClusters(
        quartermaster.ListClustersRequest(), metadata=bearer(tenant.access_token)
    )
    return {cluster.id: cluster for cluster in found.clusters}


@answers("CreateEdgeCluster", "BootstrapEdge")
async def test_a_cluster_and_its_node_are_made_by_the_sdk_alone(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    fw = sdk(tenant)
    given = CreateEdgeClusterInput(clusterName="Studio", shortDescription="In the cellar")
    made = expect_result(
        (await fw.create_edge_cluster(given)).create_edge_cluster, "CreateEdgeClusterResponse"
    )
    kept = (await clusters_of(platform, tenant))[made.cluster.cluster_id]
    assert (kept.name, kept.short_description, kept.visibility) == ("Studio", "In the cellar", "private")
    assert kept.owner_tenant_id == tenant.tenant_id

    token = made.bootstrap_token.token
    assert token is not None
    answer = (await sdk().bootstrap_edge(BootstrapEdgeInput(token=token))).bootstrap_edge
    joined = expect_result(answer, "BootstrapEdgeResponse")
    assert joined.cluster_id == kept.id
    assert joined.cert_pem is not None
    assert joined.key_pem is not None
    edge = Edge.of(platform, tenant, joined.node_id, kept.id, joined.cert_pem, joined.key_pem)
    await edge.report(region="cellar")
    assert (await clusters_of(platform, tenant))[kept.id].healthy_nodes == 1
    again = (await sdk().bootstrap_edge(BootstrapEdgeInput(token=token))).bootstrap_edge
    with pytest.raises(ResultError):
        expect_result(again, "BootstrapEdgeResponse")


@answers("CreateEnrollmentToken")
async def test_an_enrollment_token_admits_one_more_node(
    platform: Platform, tenant: Tenant, edge: Edge, sdk: SdkFactory
) -> None:
    answer = await sdk(tenant).create_enrollment_token(edge.cluster_id, name="second", ttl="1h")
    made = expect_result(answer.create_enrollment_token, "CreateEnrollmentTokenResponse").bootstrap_token
    assert (made.name, made.cluster_id) == ("second", edge.cluster_id)
    assert made.token is not None
    answer2 = await sdk().bootstrap_edge(
        BootstrapEdgeInput(token=made.token, preferredNodeId=f"second-{random_text(8)}")
    )
    assert expect_result(answer2.bootstrap_edge, "BootstrapEdgeResponse").cluster_id == edge.cluster_id
    assert (await clusters_of(platform, tenant))[edge.cluster_id].node_count == 2
    refused = await sdk(tenant).create_enrollment_token("default")
    assert refused.create_enrollment_token.typename__ == "AuthError"


@answers("GetCluster", "GetClustersConnection")
async def test_a_cluster_follows_its_nodes_health(tenant: Tenant, edge: Edge, sdk: SdkFactory) -> None:
    fw = sdk(tenant)
    before = (await fw.get_cluster(edge.cluster_id)).cluster
    assert before is not None
    assert (before.cluster_name, before.health_status) == ("Ours", "unhealthy")
    await edge.report()
    after = (await fw.get_cluster(before.id)).cluster
    assert after is not None
    assert after.health_status == "healthy"
    listed = (await fw.get_clusters_connection()).clusters_connection
    assert {e.node.cluster_id: e.node.health_status for e in listed.edges}[edge.cluster_id] == "healthy"
    assert {e.node.cluster_id for e in listed.edges} == {"default", edge.cluster_id}


@answers("GetClustersAccessConnection", "GetClustersAvailableConnection", "SetPreferredCluster")
async def test_access_follows_ownership_and_preference(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    fw = sdk(tenant)
    page = (await fw.get_clusters_access_connection()).clusters_access_connection
    assert {e.node.cluster_id: e.node.access_level for e in page.edges} == {"default": "shared"}
    edge = await Edge.join(platform, tenant, name="Ours")
    page = (await fw.get_clusters_access_connection()).clusters_access_connection
    levels = {e.node.cluster_id: e.node.access_level for e in page.edges}
    assert levels == {"default": "shared", edge.cluster_id: "owner"}
    available = (await fw.get_clusters_available_connection()).clusters_available_connection
    assert [e.node.cluster_id for e in available.edges] == ["default"]

    assert not (await clusters_of(platform, tenant))[edge.cluster_id].preferred
    answer = await fw.set_preferred_cluster(edge.cluster_id)
    assert expect_result(answer.set_preferred_cluster, "Cluster").cluster_id == edge.cluster_id
    assert (await clusters_of(platform, tenant))[edge.cluster_id].preferred
    missing = await fw.set_preferred_cluster("no-such-cluster")
    assert missing.set_preferred_cluster.typename__ == "NotFoundError"


@answers("GetNodesConnection", "GetClusterNodesConnection")
async def test_nodes_are_seen_as_they_report(tenant: Tenant, edge: Edge, sdk: SdkFactory) -> None:
    fw = sdk(tenant)
    page = (await fw.get_nodes_connection()).nodes_connection
    assert [(e.node.node_id, e.node.last_heartbeat) for e in page.edges] == [(edge.node_id, None)]
    await edge.report(region="attic", latitude=52.5, longitude=13.25, cpu_cores=8)
    of_cluster = (await fw.get_cluster_nodes_connection(edge.cluster_id)).cluster
    assert of_cluster is not None
    assert of_cluster.nodes_connection is not None
    (seen,) = [e.node for e in of_cluster.nodes_connection.edges]
    assert (seen.region, seen.latitude, seen.longitude, seen.cpu_cores) == ("attic", 52.5, 13.25, 8)
    assert seen.last_heartbeat is not None
    healthy = await fw.get_nodes_connection(cluster_id=edge.cluster_id, status=NodeStatus.HEALTHY)
    assert healthy.nodes_connection.total_count == 1
    lost = await fw.get_nodes_connection(cluster_id=edge.cluster_id, status=NodeStatus.UNHEALTHY)
    assert lost.nodes_connection.total_count == 0


@answers("GetNodesConnection")
async def test_a_node_of_the_fleet_shows_what_the_router_sees(platform: Platform, sdk: SdkFactory) -> None:
    operator = await platform.tenant(operator=True)
    page = (await sdk(operator).get_nodes_connection(cluster_id="default")).nodes_connection
    (node,) = [e.node for e in page.edges]
    assert node.live_state is not None
    assert node.live_state.is_healthy
    assert node.routing_impact_preview.active_streams >= 1


@answers(
    "GetServiceInstancesConnection",
    "GetServiceInstancesHealth",
    "GetAnalyticsInfraServiceInstancesHealth",
    "GetDiscoverServicesConnection",
)
async def test_service_instances_are_seen_as_they_report(tenant: Tenant, edge: Edge, sdk: SdkFactory) -> None:
    fw = sdk(tenant)
    facts = {"protocol": "http", "port": 8080, "version": "3.5"}
    instance = await edge.report_instance("mist", status="running", health="healthy", **facts)
    await edge.report_instance("transcoder", status="starting", health="unhealthy")

    running = await fw.get_service_instances_connection(
        cluster_id=edge.cluster_id, status=InstanceStatus.RUNNING
    )
    (seen,) = [e.node for e in running.analytics.infra.service_instances_connection.edges]
    assert (seen.instance_id, seen.service_id, seen.port, seen.version) == (instance, "mist", 8080, "3.5")
    health = (await fw.get_service_instances_health()).service_instances_health
    assert health is not None
    assert {h.service_id: h.status for h in health} == {"mist": "healthy", "transcoder": "unhealthy"}
    found = await fw.get_discover_services_connection("mist", cluster_id=edge.cluster_id)
    assert [e.node.instance_id for e in found.discover_services_connection.edges] == [instance]

    await edge.report_instance("mist", status="running", health="unhealthy", **facts)
    nested = await fw.get_analytics_infra_service_instances_health("mist")
    assert nested.analytics.infra.service_instances_health is not None
    assert [h.status for h in nested.analytics.infra.service_instances_health] == ["unhealthy"]
    found = await fw.get_discover_services_connection("mist", cluster_id=edge.cluster_id)
    assert found.discover_services_connection.total_count == 0
