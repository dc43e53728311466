"""The audit trail: what is done in each service of the control plane is history, once, with who did it."""

from fixtures_platform import Platform, Tenant, eventually
from flow_processes import everywhere
from flow_stores import rows

from frameworks.contracts.pb.purser_v1_pb2 import SetSuspensionRequest
from frameworks.contracts.pb.purser_v1_pb2_grpc import PurserServiceStub

TRAIL = """SELECT source, action, actor_kind, actor, resource FROM periscope.service_events_v
    WHERE tenant_id = {tenant:UUID} ORDER BY occurred_at, event_id"""

pytestmark = everywhere


async def test_every_service_tells_what_was_done_and_by_whom(platform: Platform, tenant: Tenant) -> None:
    await tenant.stream("A title nobody else may read")
    purser = platform.host.peer(PurserServiceStub, service="cli")
    for suspended in (True, False):
        request = SetSuspensionRequest(tenant_id=tenant.tenant_id, suspended=suspended, reason="Unpaid.")
        await purser.SetSuspension(request)
    wanted = {
        ("quartermaster", "tenant.created", "service", "quartermaster", tenant.tenant_id),
        ("purser", "tenant.suspended", "service", "cli", tenant.tenant_id),
        ("purser", "tenant.unsuspended", "service", "cli", tenant.tenant_id),
        ("commodore", "user.signed_in", "user", tenant.user_id, tenant.user_id),
    }

    async def told() -> list[tuple[str, ...]]:
        return [tuple(row.values()) for row in await rows(platform, TRAIL, tenant=tenant.tenant_id)]

    async def complete() -> bool:
        found = await told()
        return wanted <= set(found) and "stream.created" in {line[1] for line in found}

    await eventually(complete, what="the trail of three services")
    lines = [line for line in await told() if line in wanted]
    assert len(lines) == len(wanted)
    assert "nobody else" not in str(await told())
