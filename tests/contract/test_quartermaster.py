"""Quartermaster through RPC: tenants, clusters, nodes, enrolment and the registry, each within its tenant."""

import asyncio
import json

import pytest
from fixtures_control import PASSWORD, ControlPlane, Member

from frameworks.contracts.pb import commodore_v1_pb2 as commodore_pb
from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.quartermaster.module import MODULE
from frameworks.control.quartermaster.service.nodes import Nodes
from frameworks.control.quartermaster.service.registry import Registry
from frameworks.control.quartermaster.store import NodeStore, RegistryStore
from frameworks.kit.clock import random_text
from frameworks.kit.errors import Conflict, Fault, Forbidden, NotFound, Precondition, Refusal
from frameworks.kit.identity import new_key, public_jwk


def _public_key() -> str:
    return json.dumps(public_jwk(new_key()))


async def _edge(member: Member, name: str = "Studio") -> pb.CreatedEdgeCluster:
    return await member.caller.quartermaster.CreateEdgeCluster(
        pb.CreateEdgeClusterRequest(name=name, region="ams")
    )


def _enroll(token: str, node_id: str = "", public_key: str = "") -> pb.EnrollNodeRequest:
    return pb.EnrollNodeRequest(
        token=token, node_id=node_id or f"n-{random_text(8)}", public_key=public_key or _public_key()
    )


async def _refused(awaitable: object) -> str:
    with pytest.raises(Fault) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.code


async def test_a_tenant_is_made_once_per_key_even_by_many_at_once(control: ControlPlane) -> None:
    commodore = control.service("commodore").quartermaster
    request = pb.CreateTenantRequest(name="Acme", idempotency_key=random_text(20))
    made = await asyncio.gather(*(commodore.CreateTenant(request) for _ in range(8)))
    assert len({tenant.id for tenant in made}) == 1
    assert made[0].active
    assert made[0].primary_cluster_id == "default"


async def test_only_services_make_tenants(control: ControlPlane) -> None:
    member = await control.member()
    request = pb.CreateTenantRequest(name="Acme", idempotency_key=random_text(20))
    for caller in (control.public(), member.caller, control.service("bridge")):
        with pytest.raises(Fault):
            await caller.quartermaster.CreateTenant(request)


async def test_a_tenant_sees_and_changes_itself_only(control: ControlPlane) -> None:
    one, other = await control.member(), await control.member()
    mine = one.caller.quartermaster
    subdomain = random_text(10)
    update = pb.UpdateTenantRequest(name="Acme TV", subdomain=subdomain, primary_color="#FF0000")
    changed = await mine.UpdateTenant(update)
    assert (changed.name, changed.subdomain, changed.primary_color) == ("Acme TV", subdomain, "#ff0000")
    assert (await mine.GetTenant(pb.GetTenantRequest())) == changed
    with pytest.raises(Forbidden):
        await other.caller.quartermaster.GetTenant(pb.GetTenantRequest(tenant_id=one.tenant))
    with pytest.raises(Conflict):
        await other.caller.quartermaster.UpdateTenant(pb.UpdateTenantRequest(subdomain=subdomain))
    await mine.UpdateTenant(pb.UpdateTenantRequest(subdomain=""))
    await other.caller.quartermaster.UpdateTenant(pb.UpdateTenantRequest(subdomain=subdomain))


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"primary_color": "red"},
        {"subdomain": "a b"},
        {"custom_domain": "nodots"},
        {"logo_url": "javascript:alert(1)"},
    ],
)
async def test_a_bad_change_is_refused(control: ControlPlane, change: dict[str, str]) -> None:
    member = await control.member()
    assert await _refused(member.caller.quartermaster.UpdateTenant(pb.UpdateTenantRequest(**change))) == (
        "quartermaster.invalid"
    )


async def test_everybody_sees_the_shared_cluster_and_nobody_but_the_operator_its_nodes(
    control: ControlPlane,
) -> None:
    node = await control.node()
    member, operator = await control.member(), await control.member(operator=True)
    cluster = await member.caller.quartermaster.GetCluster(pb.GetClusterRequest(cluster_id="default"))
    assert (cluster.default_cluster, cluster.visibility, cluster.owned) == (True, "public", False)
    assert cluster.preferred
    nodes = pb.ListNodesRequest(cluster_id="default")
    assert not (await member.caller.quartermaster.ListNodes(nodes)).nodes
    with pytest.raises(NotFound):
        await member.caller.quartermaster.GetNode(pb.GetNodeRequest(node_id=node.id))
    assert node.id in {each.id for each in (await operator.caller.quartermaster.ListNodes(nodes)).nodes}


async def test_a_private_cluster_is_its_owners_alone(control: ControlPlane) -> None:
    owner, other = await control.member(), await control.member()
    created = await _edge(owner)
    cluster_id = created.cluster.id
    await control.public().quartermaster.EnrollNode(_enroll(created.token.token))
    theirs = other.caller.quartermaster
    with pytest.raises(NotFound):
        await theirs.GetCluster(pb.GetClusterRequest(cluster_id=cluster_id))
    for page in (
        await theirs.ListClusters(pb.ListClustersRequest()),
        await theirs.ListAvailableClusters(pb.ListAvailableClustersRequest()),
    ):
        assert cluster_id not in {cluster.id for cluster in page.clusters}
    access = await theirs.ListClusterAccess(pb.ListClusterAccessRequest())
    assert [each.cluster.id for each in access.access] == ["default"]
    assert not (await theirs.ListNodes(pb.ListNodesRequest(cluster_id=cluster_id))).nodes
    with pytest.raises(NotFound):
        await theirs.CreateEnrollmentToken(pb.CreateEnrollmentTokenRequest(cluster_id=cluster_id))
    with pytest.raises(NotFound):
        await theirs.SetPreferredCluster(pb.SetPreferredClusterRequest(cluster_id=cluster_id))
    mine = await owner.caller.quartermaster.ListNodes(pb.ListNodesRequest(cluster_id=cluster_id))
    assert [node.owner_tenant_id for node in mine.nodes] == [owner.tenant]


async def test_nobody_but_the_operator_adds_nodes_to_the_shared_cluster(control: ControlPlane) -> None:
    member = await control.member()
    request = pb.CreateEnrollmentTokenRequest(cluster_id="default")
    assert (
        await _refused(member.caller.quartermaster.CreateEnrollmentToken(request))
        == "quartermaster.not_owner"
    )
    operator = await control.member(operator=True)
    assert (await operator.caller.quartermaster.CreateEnrollmentToken(request)).token.startswith("bt_")


async def test_the_preferred_cluster_comes_first(control: ControlPlane) -> None:
    member = await control.member()
    created = await _edge(member)
    enrolled = await control.node(created.cluster.id, member)
    await enrolled.caller.quartermaster.ReportNode(pb.ReportNodeRequest())
    request = pb.GetRoutingRequest(tenant_id=member.tenant)
    commodore = control.service("commodore").quartermaster
    preferred = pb.SetPreferredClusterRequest(cluster_id=created.cluster.id)
    cluster = await member.caller.quartermaster.SetPreferredCluster(preferred)
    assert cluster.preferred
    assert next(iter((await commodore.GetRouting(request)).cluster_ids)) == created.cluster.id
    access = await member.caller.quartermaster.ListClusterAccess(pb.ListClusterAccessRequest())
    assert {each.cluster.id: each.access_level for each in access.access} == {
        created.cluster.id: "owner",
        "default": "shared",
    }


async def test_a_tenant_owns_at_most_five_clusters(control: ControlPlane) -> None:
    member = await control.member()
    for number in range(5):
        await _edge(member, f"Studio {number}")
    with pytest.raises(Precondition):
        await _edge(member)


async def test_cluster_pages_walk_every_cluster_once(control: ControlPlane) -> None:
    member = await control.member()
    made = {(await _edge(member, f"Studio {number}")).cluster.id for number in range(3)} | {"default"}
    seen: list[str] = []
    cursor = ""
    while True:
        request = pb.ListClustersRequest(page=pb.Page(first=2, after=cursor))
        page = await member.caller.quartermaster.ListClusters(request)
        seen += [cluster.id for cluster in page.clusters]
        cursor = page.cursors[-1]
        if not page.ends.has_next:
            break
    assert len(seen) == len(set(seen)) == page.ends.total
    assert set(seen) == made


async def test_of_fifty_enrolments_with_one_token_one_wins(control: ControlPlane) -> None:
    token = (await _edge(await control.member())).token.token
    public = control.public().quartermaster
    answers = await asyncio.gather(
        *(public.EnrollNode(_enroll(token)) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(answer, pb.NodeCertificate) for answer in answers) == 1
    assert {answer.code for answer in answers if isinstance(answer, Fault)} == {
        "quartermaster.bad_enrollment"
    }


async def test_a_repeated_enrolment_of_the_same_node_gets_the_same_identity(control: ControlPlane) -> None:
    token = (await _edge(await control.member())).token.token
    request = _enroll(token)
    public = control.public().quartermaster
    first, again = await public.EnrollNode(request), await public.EnrollNode(request)
    assert (first.node_id, first.cluster_id) == (again.node_id, again.cluster_id)
    other_key = _enroll(token, request.node_id)
    assert await _refused(public.EnrollNode(other_key)) == "quartermaster.bad_enrollment"


async def test_a_token_dies_at_its_hour(control: ControlPlane) -> None:
    member = await control.member()
    created = await _edge(member)
    request = pb.CreateEnrollmentTokenRequest(cluster_id=created.cluster.id, ttl_seconds=60)
    token = (await member.caller.quartermaster.CreateEnrollmentToken(request)).token
    await control.clock.advance(60)
    assert await _refused(control.public().quartermaster.EnrollNode(_enroll(token))) == (
        "quartermaster.bad_enrollment"
    )


async def test_a_node_id_belongs_to_its_first_owner(control: ControlPlane) -> None:
    one, other = await _edge(await control.member()), await _edge(await control.member())
    node_id, public = f"n-{random_text(8)}", control.public().quartermaster
    await public.EnrollNode(_enroll(one.token.token, node_id))
    stolen = _enroll(other.token.token, node_id)
    assert await _refused(public.EnrollNode(stolen)) == "quartermaster.node_taken"
    assert await public.EnrollNode(_enroll(other.token.token)), "a refused attempt does not use the token up"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node_id", "Bad Node"),
        ("node_id", "-x"),
        ("public_key", "{}"),
        ("public_key", "[" * 2000),
        ("public_key", json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"})),
        ("public_key", json.dumps({"kty": "RSA"})),
        ("token", "bt_" + "x" * 40),
        ("token", "x"),
    ],
)
async def test_a_malformed_enrolment_is_refused(control: ControlPlane, field: str, value: str) -> None:
    token = (await _edge(await control.member())).token.token
    request = _enroll(token)
    setattr(request, field, value)
    with pytest.raises(Refusal):
        await control.public().quartermaster.EnrollNode(request)


async def test_a_node_renews_its_certificate(control: ControlPlane) -> None:
    node = await control.node()
    await control.clock.advance(3600)
    renewed = await node.caller.quartermaster.RenewNodeCertificate(pb.RenewNodeCertificateRequest())
    assert (renewed.node_id, renewed.cluster_id) == (node.id, "default")


async def test_a_reporting_node_is_online_and_a_silent_one_goes_offline(control: ControlPlane) -> None:
    owner = await control.member()
    created = await _edge(owner)
    node = await control.node(created.cluster.id, owner)
    mine = owner.caller.quartermaster
    facts = pb.Node(region="ams", base_url="http://127.0.0.1:8080", cpu_cores=4, capabilities=["edge"])
    config = await node.caller.quartermaster.ReportNode(pb.ReportNodeRequest(facts=facts))
    assert (config.cluster_id, config.draining) == (created.cluster.id, False)
    seen = await mine.GetNode(pb.GetNodeRequest(node_id=node.id))
    assert (seen.status, seen.cpu_cores, list(seen.capabilities)) == ("online", 4, ["edge"])
    cluster_request = pb.GetClusterRequest(cluster_id=created.cluster.id)
    assert (await mine.GetCluster(cluster_request)).health == "healthy"
    await control.clock.advance(91)
    nodes = Nodes(
        NodeStore(control.quartermaster_db), control.clock, stale_after=MODULE.settings[0]().node_stale_after
    )
    assert await nodes.sweep() >= 1
    assert (await mine.GetNode(pb.GetNodeRequest(node_id=node.id))).status == "offline"
    assert (await mine.GetCluster(cluster_request)).health == "unhealthy"
    assert not (await mine.ListNodes(pb.ListNodesRequest(status="online"))).nodes


async def test_what_a_node_says_of_itself_is_checked(control: ControlPlane) -> None:
    node = await control.node()
    for facts in (
        pb.Node(base_url="file:///etc/passwd"),
        pb.Node(latitude=91),
        pb.Node(capabilities=["fly"]),
        pb.Node(region="x" * 101),
        pb.Node(memory_bytes=1 << 63),
    ):
        with pytest.raises(Refusal):
            await node.caller.quartermaster.ReportNode(pb.ReportNodeRequest(facts=facts))


async def test_instances_are_listed_for_the_owner_and_discovered_without_addresses(
    control: ControlPlane,
) -> None:
    instance_id = random_text(10)
    service = pb.ServiceInstance(
        id=instance_id, service="foghorn", cluster_id="default", address="10.0.0.1", port=1, health="healthy"
    )
    await control.service("foghorn").quartermaster.ReportInstances(
        pb.ReportInstancesRequest(instances=[service])
    )
    member, operator = await control.member(), await control.member(operator=True)
    listing = pb.ListServiceInstancesRequest(service="foghorn")
    assert not (await member.caller.quartermaster.ListServiceInstances(listing)).instances
    owned = (await operator.caller.quartermaster.ListServiceInstances(listing)).instances
    assert (instance_id, "10.0.0.1") in {(each.id, each.address) for each in owned}
    discovery = pb.DiscoverServicesRequest(type="foghorn")
    found = (await member.caller.quartermaster.DiscoverServices(discovery)).instances
    assert (instance_id, "", 0) in {(each.id, each.address, each.port) for each in found}
    await control.clock.advance(91)
    registry = Registry(
        RegistryStore(control.quartermaster_db),
        control.clock,
        stale_after=MODULE.settings[0]().instance_stale_after,
    )
    assert await registry.sweep() >= 1
    assert not (await member.caller.quartermaster.DiscoverServices(discovery)).instances


async def test_a_node_reports_only_what_it_runs(control: ControlPlane) -> None:
    node = await control.node()
    mine = pb.ServiceInstance(id=f"{node.id}/mist", service="mist", cluster_id="default", node_id=node.id)
    await node.caller.quartermaster.ReportInstances(pb.ReportInstancesRequest(instances=[mine]))
    for field in ("node_id", "cluster_id", "id"):
        forged = pb.ServiceInstance()
        forged.CopyFrom(mine)
        setattr(forged, field, "other")
        request = pb.ReportInstancesRequest(instances=[forged])
        with pytest.raises(Forbidden):
            await node.caller.quartermaster.ReportInstances(request)


async def test_a_deleted_account_closes_its_tenant_and_frees_its_key(control: ControlPlane) -> None:
    member = await control.member()
    address, commodore = member.session.user.email, control.service("commodore").quartermaster
    await member.caller.commodore.DeleteAccount(commodore_pb.DeleteAccountRequest(password=PASSWORD))
    await control.mails()
    routing = pb.GetRoutingRequest(tenant_id=member.tenant)
    assert not (await commodore.GetRouting(routing)).tenant_active
    assert (await control.member(address=address)).tenant != member.tenant
