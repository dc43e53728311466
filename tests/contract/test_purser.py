"""Purser through RPC: limits, and suspensions that only operators set."""

import pytest
from fixtures_control import ControlPlane

from frameworks.contracts.pb import purser_v1_pb2 as pb
from frameworks.kit.errors import Forbidden, Refusal, Unauthenticated


async def test_a_tenant_has_the_limits_of_the_free_plan(control: ControlPlane) -> None:
    member = await control.member()
    limits = await member.caller.purser.GetLimits(pb.GetLimitsRequest())
    assert (limits.plan, limits.max_streams, limits.max_viewers) == ("free", 3, 200)
    assert not limits.suspended


async def test_a_tenant_sees_its_own_limits_only(control: ControlPlane) -> None:
    one, other = await control.member(), await control.member()
    with pytest.raises(Forbidden):
        await one.caller.purser.GetLimits(pb.GetLimitsRequest(tenant_id=other.tenant))


async def test_an_operator_suspends_a_tenant_and_lifts_it_again(control: ControlPlane) -> None:
    member, other, operator = (
        await control.member(),
        await control.member(),
        await control.member(operator=True),
    )
    request = pb.SetSuspensionRequest(tenant_id=member.tenant, suspended=True, reason="Unpaid.")
    await operator.caller.purser.SetSuspension(request)
    limits = await member.caller.purser.GetLimits(pb.GetLimitsRequest())
    assert (limits.suspended, limits.suspended_reason) == (True, "Unpaid.")
    assert not (await other.caller.purser.GetLimits(pb.GetLimitsRequest())).suspended
    await operator.caller.purser.SetSuspension(pb.SetSuspensionRequest(tenant_id=member.tenant))
    assert not (await member.caller.purser.GetLimits(pb.GetLimitsRequest())).suspended


async def test_nobody_else_suspends_anybody(control: ControlPlane) -> None:
    member = await control.member()
    request = pb.SetSuspensionRequest(tenant_id=member.tenant, suspended=True, reason="Spite.")
    for caller in (member.caller, control.service("bridge")):
        with pytest.raises(Forbidden):
            await caller.purser.SetSuspension(request)
    with pytest.raises(Unauthenticated):
        await control.public().purser.SetSuspension(request)


@pytest.mark.parametrize(
    ("tenant", "reason"), [("x", "Unpaid."), ("", "Unpaid."), ("own", ""), ("own", "x" * 501)]
)
async def test_a_bad_suspension_is_refused(control: ControlPlane, tenant: str, reason: str) -> None:
    named = (await control.member()).tenant if tenant == "own" else tenant
    request = pb.SetSuspensionRequest(tenant_id=named, suspended=True, reason=reason)
    with pytest.raises(Refusal):
        await control.service("cli").purser.SetSuspension(request)
