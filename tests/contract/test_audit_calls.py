"""Every call that changes something in the control plane leaves a line in the audit trail, or a reason why not."""

from collections.abc import Awaitable, Callable

import pytest
from fixtures_control import PASSWORD, ControlPlane

from frameworks.contracts.audit import ACTIONS
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.contracts.pb import purser_v1_pb2 as purser_pb
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster_pb
from frameworks.kit.clock import random_text
from frameworks.kit.errors import Unauthenticated

READS = ("Get", "List", "Resolve", "Validate", "Discover")
REASONS = {
    "IssueChallenge": "keeps nothing",
    "Refresh": "goes on with a session that was told of; one it ends is told of as session.revoked",
    "ExchangeApiToken": "comes with requests, which are counted as api-requests",
    "AdmitPublish": "told as stream-ingest",
    "RenewClaims": "each second of each publisher, told as stream-ingest when it ends",
    "ReleaseClaim": "told as stream-ingest",
    "StandingChanged": "passes on what Purser told of",
    "RenewNodeCertificate": "gives an enrolled node nothing it did not have",
    "ReportNode": "a node's state, told as node-lifecycle",
    "ReportInstances": "the state of services, told by the registry",
}
"""Calls that leave no line of their own, and why."""

Act = Callable[[], Awaitable[object]]
Scene = Callable[[ControlPlane], Awaitable[Act]]


def _address() -> str:
    return f"{random_text(10)}@example.org"


async def _mailed(control: ControlPlane, address: str) -> str:
    return next(mail.token for mail in await control.mails() if mail.to == address and mail.token)


async def registering(control: ControlPlane, address: str = "") -> Act:
    address = address or _address()
    request = pb.RegisterRequest(
        email=address, password=PASSWORD, client=address, proof=await control.proof()
    )
    return lambda: control.public().commodore.Register(request)


async def confirming(control: ControlPlane) -> Act:
    address = _address()
    await (await registering(control, address))()
    request = pb.VerifyEmailRequest(token=await _mailed(control, address))
    return lambda: control.public().commodore.VerifyEmail(request)


async def signing_in(control: ControlPlane) -> Act:
    address = (await control.member()).session.user.email
    return lambda: control.signed_in(address)


async def signing_out(control: ControlPlane) -> Act:
    request = pb.SignOutRequest(refresh_token=(await control.member()).session.refresh_token)
    return lambda: control.public().commodore.SignOut(request)


async def signing_out_everywhere(control: ControlPlane) -> Act:
    member = await control.member()
    return lambda: member.caller.commodore.SignOutEverywhere(pb.SignOutEverywhereRequest())


async def asking_for_a_reset(control: ControlPlane, address: str = "") -> Act:
    address = address or (await control.member()).session.user.email
    request = pb.RequestPasswordResetRequest(email=address, client=address)
    return lambda: control.public().commodore.RequestPasswordReset(request)


async def resetting(control: ControlPlane) -> Act:
    address = (await control.member()).session.user.email
    await (await asking_for_a_reset(control, address))()
    request = pb.ResetPasswordRequest(token=await _mailed(control, address), password=PASSWORD + " 2")
    return lambda: control.public().commodore.ResetPassword(request)


async def changing_the_password(control: ControlPlane) -> Act:
    member = await control.member()
    request = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=PASSWORD + " 2")
    return lambda: member.caller.commodore.ChangePassword(request)


async def changing_the_address(control: ControlPlane, address: str = "") -> Act:
    member = await control.member()
    request = pb.ChangeEmailRequest(password=PASSWORD, new_email=address or _address())
    return lambda: member.caller.commodore.ChangeEmail(request)


async def confirming_another_address(control: ControlPlane) -> Act:
    address = _address()
    await (await changing_the_address(control, address))()
    request = pb.ConfirmEmailChangeRequest(token=await _mailed(control, address))
    return lambda: control.public().commodore.ConfirmEmailChange(request)


async def deleting_an_account(control: ControlPlane) -> Act:
    member = await control.member()
    return lambda: member.caller.commodore.DeleteAccount(pb.DeleteAccountRequest(password=PASSWORD))


async def making_a_stream(control: ControlPlane) -> Act:
    member = await control.member()
    return lambda: member.caller.commodore.CreateStream(pb.CreateStreamRequest(title="One"))


def of_a_stream(act: Callable[[str], object], method: str) -> Scene:
    """A call of an owner about a stream that is there."""

    async def scene(control: ControlPlane) -> Act:
        commodore = (await control.member()).caller.commodore
        stream = await commodore.CreateStream(pb.CreateStreamRequest(title="One"))
        request = act(stream.id)
        call: Callable[[object], Awaitable[object]] = getattr(commodore, method)
        return lambda: call(request)

    return scene


async def ending_a_key(control: ControlPlane) -> Act:
    commodore = (await control.member()).caller.commodore
    stream = await commodore.CreateStream(pb.CreateStreamRequest(title="One"))
    key = await commodore.CreateStreamKey(pb.CreateStreamKeyRequest(stream_id=stream.id, name="k"))
    request = pb.DeactivateStreamKeyRequest(stream_id=stream.id, key_id=key.id)
    return lambda: commodore.DeactivateStreamKey(request)


async def making_a_token(control: ControlPlane) -> Act:
    member = await control.member()
    request = pb.CreateApiTokenRequest(name="t", scopes=["streams:read"])
    return lambda: member.caller.commodore.CreateApiToken(request)


async def revoking_a_token(control: ControlPlane) -> Act:
    commodore = (await control.member()).caller.commodore
    token = await commodore.CreateApiToken(pb.CreateApiTokenRequest(name="t", scopes=["streams:read"]))
    return lambda: commodore.RevokeApiToken(pb.RevokeApiTokenRequest(id=token.id))


async def ensuring_another_password(control: ControlPlane) -> Act:
    member = await control.member()
    request = pb.EnsureUserRequest(email=member.session.user.email, password=PASSWORD + " 2")
    return lambda: control.service("cli").commodore.EnsureUser(request)


async def ensuring_an_operator(control: ControlPlane) -> Act:
    member = await control.member()
    request = pb.EnsureUserRequest(email=member.session.user.email, password=PASSWORD, operator=True)
    return lambda: control.service("cli").commodore.EnsureUser(request)


async def ensuring_a_stream(control: ControlPlane) -> Act:
    request = pb.EnsureStreamRequest(tenant_id=(await control.member()).tenant, title="Ensured")
    return lambda: control.service("cli").commodore.EnsureStream(request)


async def making_a_tenant(control: ControlPlane) -> Act:
    request = quartermaster_pb.CreateTenantRequest(name="T", idempotency_key=random_text(20))
    return lambda: control.service("cli").quartermaster.CreateTenant(request)


async def changing_a_tenant(control: ControlPlane) -> Act:
    member = await control.member()
    request = quartermaster_pb.UpdateTenantRequest(name="Another name", primary_color="#fff000")
    return lambda: member.caller.quartermaster.UpdateTenant(request)


async def closing_a_tenant(control: ControlPlane) -> Act:
    request = quartermaster_pb.DeleteTenantRequest(tenant_id=(await control.member()).tenant)
    return lambda: control.service("cli").quartermaster.DeleteTenant(request)


async def preferring_a_cluster(control: ControlPlane) -> Act:
    member = await control.member()
    request = quartermaster_pb.SetPreferredClusterRequest(cluster_id="default")
    return lambda: member.caller.quartermaster.SetPreferredCluster(request)


async def making_a_cluster(control: ControlPlane) -> Act:
    member = await control.member()
    request = quartermaster_pb.CreateEdgeClusterRequest(name="Edge", region="eu")
    return lambda: member.caller.quartermaster.CreateEdgeCluster(request)


async def issuing_an_enrolment(control: ControlPlane) -> Act:
    request = quartermaster_pb.CreateEnrollmentTokenRequest(cluster_id="default")
    return lambda: control.service("cli").quartermaster.CreateEnrollmentToken(request)


async def enrolling(control: ControlPlane) -> Act:
    return lambda: control.node()


async def suspending(control: ControlPlane, tenant: str = "") -> Act:
    tenant = tenant or (await control.member()).tenant
    request = purser_pb.SetSuspensionRequest(tenant_id=tenant, suspended=True, reason="Unpaid.")
    return lambda: control.service("cli").purser.SetSuspension(request)


async def lifting(control: ControlPlane) -> Act:
    tenant = (await control.member()).tenant
    await (await suspending(control, tenant))()
    request = purser_pb.SetSuspensionRequest(tenant_id=tenant)
    return lambda: control.service("cli").purser.SetSuspension(request)


TOLD: list[tuple[str, str, Scene]] = [
    ("Register", "user.registered", registering),
    ("VerifyEmail", "user.verified", confirming),
    ("SignIn", "user.signed_in", signing_in),
    ("SignOut", "user.signed_out", signing_out),
    ("SignOutEverywhere", "user.signed_out_everywhere", signing_out_everywhere),
    ("RequestPasswordReset", "user.password_reset_requested", asking_for_a_reset),
    ("ResetPassword", "user.password_changed", resetting),
    ("ChangePassword", "user.password_changed", changing_the_password),
    ("ChangeEmail", "user.email_change_requested", changing_the_address),
    ("ConfirmEmailChange", "user.email_changed", confirming_another_address),
    ("DeleteAccount", "user.deleted", deleting_an_account),
    ("CreateStream", "stream.created", making_a_stream),
    ("CreateStream", "key.created", making_a_stream),
    (
        "UpdateStream",
        "stream.updated",
        of_a_stream(lambda id: pb.UpdateStreamRequest(id=id, title="Two"), "UpdateStream"),
    ),
    ("DeleteStream", "stream.deleted", of_a_stream(lambda id: pb.DeleteStreamRequest(id=id), "DeleteStream")),
    (
        "RotateStreamKey",
        "key.rotated",
        of_a_stream(lambda id: pb.RotateStreamKeyRequest(id=id), "RotateStreamKey"),
    ),
    (
        "CreateStreamKey",
        "key.created",
        of_a_stream(lambda id: pb.CreateStreamKeyRequest(stream_id=id, name="k"), "CreateStreamKey"),
    ),
    ("DeactivateStreamKey", "key.revoked", ending_a_key),
    ("CreateApiToken", "token.created", making_a_token),
    ("RevokeApiToken", "token.revoked", revoking_a_token),
    ("EnsureUser", "user.password_changed", ensuring_another_password),
    ("EnsureUser", "user.operator_changed", ensuring_an_operator),
    ("EnsureStream", "stream.created", ensuring_a_stream),
    ("CreateTenant", "tenant.created", making_a_tenant),
    ("UpdateTenant", "tenant.updated", changing_a_tenant),
    ("DeleteTenant", "tenant.closed", closing_a_tenant),
    ("SetPreferredCluster", "cluster.preferred", preferring_a_cluster),
    ("CreateEdgeCluster", "cluster.created", making_a_cluster),
    ("CreateEnrollmentToken", "enrollment.issued", issuing_an_enrolment),
    ("EnrollNode", "node.enrolled", enrolling),
    ("SetSuspension", "tenant.suspended", suspending),
    ("SetSuspension", "tenant.unsuspended", lifting),
]
"""Method, the action it is told as, and how to come to do it."""

SERVICES = {
    "CommodoreService": pb.DESCRIPTOR,
    "QuartermasterService": quartermaster_pb.DESCRIPTOR,
    "PurserService": purser_pb.DESCRIPTOR,
}


def test_every_call_is_a_read_or_told_or_has_a_reason() -> None:
    methods = {m.name for name, d in SERVICES.items() for m in d.services_by_name[name].methods}
    reads = {method for method in methods if method.startswith(READS)}
    told = {method for method, _, _ in TOLD}
    assert methods == reads | told | REASONS.keys()
    assert sum(map(len, (reads, told, REASONS))) == len(methods)
    assert all(REASONS.values())


def test_every_action_is_seen_to_be_told() -> None:
    assert {action for _, action, _ in TOLD} | {"session.revoked"} == ACTIONS.keys()


@pytest.mark.parametrize(("method", "action", "scene"), TOLD, ids=[f"{m}-{a}" for m, a, _ in TOLD])
async def test_what_is_done_is_told(control: ControlPlane, method: str, action: str, scene: Scene) -> None:
    act = await scene(control)
    before = {entry.event_id for entry in await control.whole_trail()}
    await act()
    told = [entry for entry in await control.whole_trail() if entry.event_id not in before]
    assert action in {entry.action for entry in told}, method
    assert all(entry.actor_kind and entry.resource and entry.tenant.int for entry in told)


async def test_a_refresh_token_used_by_two_is_told(control: ControlPlane) -> None:
    member, public = await control.member(), control.public().commodore
    first = pb.RefreshRequest(refresh_token=member.session.refresh_token)
    second = await public.Refresh(first)
    await public.Refresh(pb.RefreshRequest(refresh_token=second.refresh_token))
    await control.clock.advance(601)
    with pytest.raises(Unauthenticated):
        await public.Refresh(first)
    (revoked,) = (e for e in await control.told(member.tenant) if e.action == "session.revoked")
    assert (revoked.actor_kind, revoked.actor) == ("service", "commodore")


async def test_a_suspension_is_told_once_with_who_did_it_and_without_the_reason(
    control: ControlPlane,
) -> None:
    member, operator = await control.member(), await control.member(operator=True)
    for suspended in (True, False, False):
        request = purser_pb.SetSuspensionRequest(
            tenant_id=member.tenant, suspended=suspended, reason="Owes us a lot."
        )
        await operator.caller.purser.SetSuspension(request)
    trail = [e for e in await control.told(member.tenant) if "suspended" in e.action]
    assert [e.action for e in trail] == ["tenant.suspended", "tenant.unsuspended"]
    assert {(e.actor_kind, e.actor, e.resource) for e in trail} == {
        ("user", operator.session.user.id, member.tenant)
    }
    assert "Owes" not in "".join(map(repr, trail))


async def test_nothing_is_told_of_what_changed_nothing(control: ControlPlane) -> None:
    member = await control.member()
    ended = pb.SignOutRequest(refresh_token=member.session.refresh_token)
    for _ in range(2):
        await control.public().commodore.SignOut(ended)
    taken = (await control.member()).session.user.email
    await member.caller.commodore.ChangeEmail(pb.ChangeEmailRequest(password=PASSWORD, new_email=taken))
    ensured = pb.EnsureUserRequest(email=member.session.user.email, password=PASSWORD)
    await control.service("cli").commodore.EnsureUser(ensured)
    actions = [entry.action for entry in await control.told(member.tenant)]
    assert not {"user.password_changed", "user.operator_changed"} & set(actions)
    assert (actions.count("user.signed_out"), actions.count("user.email_change_requested")) == (1, 0)


async def test_no_address_is_in_the_trail_of_its_change(control: ControlPlane) -> None:
    address = _address()
    act = await changing_the_address(control, address)
    await act()
    request = pb.ConfirmEmailChangeRequest(token=await _mailed(control, address))
    await control.public().commodore.ConfirmEmailChange(request)
    changed = [e for e in await control.whole_trail() if e.action.startswith("user.email")]
    assert changed
    assert "example.org" not in "".join(map(repr, changed))
