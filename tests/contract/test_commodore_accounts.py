"""Accounts of Commodore through RPC: registration, sessions, mailed links, deletion."""

import json
from base64 import b64decode, b64encode

import pytest
from fixtures_control import PASSWORD, ControlPlane, solved

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.commodore.domain.letters import LetterKind
from frameworks.kit.clock import random_text
from frameworks.kit.errors import Fault, Forbidden, Limited, NotFound, Precondition, Refusal, Unauthenticated


def _address() -> str:
    return f"{random_text(10)}@example.org"


async def _application(control: ControlPlane, address: str, **over: str) -> pb.RegisterRequest:
    fields = {"email": address, "password": PASSWORD, "client": address, "proof": ""} | over
    if not fields["proof"]:
        fields["proof"] = await control.proof()
    return pb.RegisterRequest(**fields)


async def _registered(control: ControlPlane, address: str) -> str:
    """Register an address; the token mailed to it."""
    await control.mails()
    await control.public().commodore.Register(await _application(control, address))
    (mail,) = await control.mails()
    return mail.token


async def _code(awaitable: object) -> str:
    with pytest.raises(Fault) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.code


def _sign_in(address: str, password: str = PASSWORD, client: str = "") -> pb.SignInRequest:
    return pb.SignInRequest(email=address, password=password, client=client or address)


async def test_a_registered_address_signs_in_after_it_was_confirmed(control: ControlPlane) -> None:
    address, public = _address(), control.public().commodore
    token = await _registered(control, address)
    assert await _code(public.SignIn(_sign_in(address))) == "commodore.unverified"
    session = await public.VerifyEmail(pb.VerifyEmailRequest(token=token))
    assert session.user.verified
    assert session.user.email == address
    assert (await public.SignIn(_sign_in(address.upper()))).user.id == session.user.id


async def test_a_confirmation_link_works_once(control: ControlPlane) -> None:
    token = await _registered(control, _address())
    await control.public().commodore.VerifyEmail(pb.VerifyEmailRequest(token=token))
    with pytest.raises(Refusal):
        await control.public().commodore.VerifyEmail(pb.VerifyEmailRequest(token=token))


async def test_a_confirmation_link_dies_after_a_day(control: ControlPlane) -> None:
    token = await _registered(control, _address())
    await control.clock.advance(24 * 3600)
    with pytest.raises(Refusal):
        await control.public().commodore.VerifyEmail(pb.VerifyEmailRequest(token=token))


async def test_a_filled_honeypot_gets_the_same_answer_and_no_account(control: ControlPlane) -> None:
    public, address = control.public().commodore, _address()
    await control.mails()
    honest = await public.Register(await _application(control, _address()))
    trapped = await public.Register(await _application(control, address, honeypot="+31 6 1234"))
    assert honest == trapped
    assert len(await control.mails()) == 1
    assert await _code(public.SignIn(_sign_in(address))) == "commodore.invalid_credentials"


async def test_a_known_address_gets_the_same_answer_and_a_mail(control: ControlPlane) -> None:
    member = await control.member()
    await control.mails()
    public = control.public().commodore
    answer = await public.Register(await _application(control, member.session.user.email))
    assert answer == await public.Register(await _application(control, _address()))
    assert [mail.kind for mail in await control.mails()] == [LetterKind.KNOWN, LetterKind.VERIFY]


async def test_registering_twice_before_confirming_makes_one_tenant_with_the_later_password(
    control: ControlPlane,
) -> None:
    address, public = _address(), control.public().commodore
    first = await _registered(control, address)
    await public.Register(await _application(control, address, password="another password"))
    (mail,) = await control.mails()
    assert await _code(public.VerifyEmail(pb.VerifyEmailRequest(token=first))) == "commodore.bad_link"
    session = await public.VerifyEmail(pb.VerifyEmailRequest(token=mail.token))
    assert (await public.SignIn(_sign_in(address, "another password"))).user == session.user


async def test_a_proof_is_good_once(control: ControlPlane) -> None:
    proof = await control.proof()
    public = control.public().commodore
    await public.Register(await _application(control, _address(), proof=proof))
    again = await _application(control, _address(), proof=proof)
    assert await _code(public.Register(again)) == "commodore.bad_proof"


async def test_a_late_proof_is_refused(control: ControlPlane) -> None:
    proof = await control.proof()
    await control.clock.advance(601)
    request = await _application(control, _address(), proof=proof)
    assert await _code(control.public().commodore.Register(request)) == "commodore.bad_proof"


async def test_a_proof_for_a_challenge_of_ones_own_is_refused(control: ControlPlane) -> None:
    issued = json.loads((await control.public().commodore.IssueChallenge(pb.IssueChallengeRequest())).json)
    forged = json.loads(b64decode(solved(issued)))
    forged["salt"] = forged["salt"].replace("expires=1", "expires=9")
    proof = b64encode(json.dumps(forged).encode()).decode()
    request = await _application(control, _address(), proof=proof)
    assert await _code(control.public().commodore.Register(request)) == "commodore.bad_proof"


@pytest.mark.parametrize("proof", ["x", "e30=", "bnVsbA==", "W10=", "A" * 5000, b64encode(b"\xff").decode()])
async def test_garbage_for_a_proof_is_refused(control: ControlPlane, proof: str) -> None:
    request = await _application(control, _address(), proof=proof)
    assert await _code(control.public().commodore.Register(request)) == "commodore.bad_proof"


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "nobody"), ("email", "a@b@c"), ("password", "short"), ("first_name", "x" * 101)],
)
async def test_a_bad_application_is_refused(control: ControlPlane, field: str, value: str) -> None:
    request = await _application(control, _address(), **{field: value})
    assert await _code(control.public().commodore.Register(request)) == "commodore.invalid"


async def test_the_sixth_account_of_a_client_must_wait(control: ControlPlane) -> None:
    client, public = random_text(8), control.public().commodore
    for _ in range(5):
        await public.Register(await _application(control, _address(), client=client))
    with pytest.raises(Limited) as caught:
        await public.Register(await _application(control, _address(), client=client))
    assert caught.value.facts["retry_after"] > 0


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(control: ControlPlane) -> None:
    member = await control.member()
    answers = []
    for address in (member.session.user.email, _address()):
        with pytest.raises(Unauthenticated) as caught:
            await control.public().commodore.SignIn(_sign_in(address, "wrong password"))
        answers.append((caught.value.code, caught.value.message))
    assert answers[0] == answers[1]


async def test_guessing_one_accounts_password_is_slowed_down(control: ControlPlane) -> None:
    address = (await control.member()).session.user.email
    for number in range(9):
        with pytest.raises(Unauthenticated):
            await control.public().commodore.SignIn(_sign_in(address, "guess", f"client{number}"))
    with pytest.raises(Limited):
        await control.public().commodore.SignIn(_sign_in(address, PASSWORD, "another"))


async def test_an_access_token_verifies_with_the_published_keys(control: ControlPlane) -> None:
    member = await control.member()
    principal = control.host.verifier().principal(member.session.access_token, "anything")
    assert str(principal.tenant) == member.tenant
    assert {"streams:read", "streams:write", "account:write"} <= principal.scopes
    assert principal.roles == {"owner"}
    keys = json.loads((await control.public().commodore.GetKeySet(pb.GetKeySetRequest())).json)
    assert "d" not in keys["keys"][0]


async def test_a_session_goes_on_with_a_new_refresh_token(control: ControlPlane) -> None:
    member, public = await control.member(), control.public().commodore
    first = member.session.refresh_token
    second = await public.Refresh(pb.RefreshRequest(refresh_token=first))
    assert second.refresh_token != first
    assert second.user == member.session.user
    assert (await public.Refresh(pb.RefreshRequest(refresh_token=second.refresh_token))).access_token


async def test_two_tabs_that_refresh_at_once_both_go_on(control: ControlPlane) -> None:
    member, public = await control.member(), control.public().commodore
    request = pb.RefreshRequest(refresh_token=member.session.refresh_token)
    one, other = await public.Refresh(request), await public.Refresh(request)
    for each in (one, other):
        assert (await public.Refresh(pb.RefreshRequest(refresh_token=each.refresh_token))).access_token


async def test_a_refresh_token_replayed_after_its_successor_was_used_ends_the_session(
    control: ControlPlane,
) -> None:
    member, public = await control.member(), control.public().commodore
    first = pb.RefreshRequest(refresh_token=member.session.refresh_token)
    second = await public.Refresh(first)
    third = await public.Refresh(pb.RefreshRequest(refresh_token=second.refresh_token))
    await control.clock.advance(601)
    assert await _code(public.Refresh(first)) == "commodore.bad_session"
    assert await _code(public.Refresh(pb.RefreshRequest(refresh_token=third.refresh_token))) == (
        "commodore.bad_session"
    )


async def test_a_session_whose_refresh_answer_was_lost_is_recovered(control: ControlPlane) -> None:
    member, public = await control.member(), control.public().commodore
    first = pb.RefreshRequest(refresh_token=member.session.refresh_token)
    lost = await public.Refresh(first)
    await control.clock.advance(601)
    recovered = await public.Refresh(first)
    assert await _code(public.Refresh(pb.RefreshRequest(refresh_token=lost.refresh_token))) == (
        "commodore.bad_session"
    )
    assert (await public.Refresh(pb.RefreshRequest(refresh_token=recovered.refresh_token))).access_token


async def test_signing_out_ends_one_session_and_signing_out_everywhere_ends_all(
    control: ControlPlane,
) -> None:
    member, public = await control.member(), control.public().commodore
    other = await control.signed_in(member.session.user.email)
    third = await control.signed_in(member.session.user.email)
    await public.SignOut(pb.SignOutRequest(refresh_token=member.session.refresh_token))
    ended = pb.RefreshRequest(refresh_token=member.session.refresh_token)
    assert await _code(public.Refresh(ended)) == "commodore.bad_session"
    await public.Refresh(pb.RefreshRequest(refresh_token=other.session.refresh_token))
    await member.caller.commodore.SignOutEverywhere(pb.SignOutEverywhereRequest())
    for each in (other, third):
        token = pb.RefreshRequest(refresh_token=each.session.refresh_token)
        assert await _code(public.Refresh(token)) == "commodore.bad_session"


async def test_a_forgotten_password_is_replaced_by_a_mailed_link(control: ControlPlane) -> None:
    member, public = await control.member(), control.public().commodore
    address = member.session.user.email
    await control.mails()
    await public.RequestPasswordReset(pb.RequestPasswordResetRequest(email=address, client=address))
    (mail,) = await control.mails()
    assert mail.kind is LetterKind.RESET
    request = pb.ResetPasswordRequest(token=mail.token, password="a new password")
    await public.ResetPassword(request)
    assert await _code(public.SignIn(_sign_in(address))) == "commodore.invalid_credentials"
    assert (await public.SignIn(_sign_in(address, "a new password"))).access_token
    assert await _code(public.ResetPassword(request)) == "commodore.bad_link"


async def test_a_reset_for_an_unknown_address_sends_nothing(control: ControlPlane) -> None:
    await control.mails()
    request = pb.RequestPasswordResetRequest(email=_address(), client=_address())
    assert await control.public().commodore.RequestPasswordReset(request) == pb.Done()
    assert await control.mails() == []


async def test_a_reset_link_does_not_confirm_another_change(control: ControlPlane) -> None:
    member, public = await control.member(), control.public().commodore
    address = member.session.user.email
    await control.mails()
    await public.RequestPasswordReset(pb.RequestPasswordResetRequest(email=address, client=address))
    (mail,) = await control.mails()
    assert await _code(public.ConfirmEmailChange(pb.ConfirmEmailChangeRequest(token=mail.token))) == (
        "commodore.bad_link"
    )


async def test_an_address_changes_when_the_new_one_confirms_it(control: ControlPlane) -> None:
    member, public, new = await control.member(), control.public().commodore, _address()
    await control.mails()
    await member.caller.commodore.ChangeEmail(pb.ChangeEmailRequest(password=PASSWORD, new_email=new))
    (mail,) = await control.mails()
    assert mail.to == new
    assert (await member.caller.commodore.GetMe(pb.GetMeRequest())).email == member.session.user.email
    await public.ConfirmEmailChange(pb.ConfirmEmailChangeRequest(token=mail.token))
    assert [mail.to for mail in await control.mails()] == [member.session.user.email]
    assert (await public.SignIn(_sign_in(new))).user.id == member.session.user.id
    assert await _code(public.SignIn(_sign_in(member.session.user.email))) == "commodore.invalid_credentials"


async def test_changing_the_password_needs_the_old_one(control: ControlPlane) -> None:
    member = await control.member()
    wrong = pb.ChangePasswordRequest(current_password="wrong", new_password="a new password")
    assert await _code(member.caller.commodore.ChangePassword(wrong)) == "commodore.invalid_credentials"
    right = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="a new password")
    await member.caller.commodore.ChangePassword(right)
    session = await control.public().commodore.SignIn(_sign_in(member.session.user.email, "a new password"))
    assert session.user.id == member.session.user.id


async def test_a_deleted_account_is_gone_and_its_address_free(control: ControlPlane) -> None:
    member, public = await control.member(), control.public().commodore
    address = member.session.user.email
    stream = await member.caller.commodore.CreateStream(pb.CreateStreamRequest(title="Gone"))
    token = await member.caller.commodore.CreateApiToken(
        pb.CreateApiTokenRequest(name="t", scopes=["streams:read"])
    )
    await member.caller.commodore.DeleteAccount(pb.DeleteAccountRequest(password=PASSWORD))
    assert await _code(public.SignIn(_sign_in(address))) == "commodore.invalid_credentials"
    with pytest.raises(NotFound):
        await member.caller.commodore.GetMe(pb.GetMeRequest())
    foghorn = control.service("foghorn").commodore
    with pytest.raises(NotFound):
        await foghorn.ResolvePlayback(pb.ResolvePlaybackRequest(playback_id=stream.playback_id))
    exchange = pb.ExchangeApiTokenRequest(api_token=token.value)
    with pytest.raises(Unauthenticated):
        await control.service("bridge").commodore.ExchangeApiToken(exchange)
    again = await _registered(control, address)
    assert again


async def test_an_operators_account_is_not_deleted_by_accident(control: ControlPlane) -> None:
    operator = await control.member(operator=True)
    with pytest.raises(Forbidden):
        await operator.caller.commodore.DeleteAccount(pb.DeleteAccountRequest(password=PASSWORD))


async def test_only_the_command_line_may_ensure_users(control: ControlPlane) -> None:
    request = pb.EnsureUserRequest(email=_address(), password=PASSWORD)
    for caller in (control.public(), control.service("bridge"), (await control.member()).caller):
        with pytest.raises((Forbidden, Unauthenticated)):
            await caller.commodore.EnsureUser(request)


async def test_an_operator_belongs_to_the_operators_tenant(control: ControlPlane) -> None:
    one, other = await control.member(operator=True), await control.member(operator=True)
    assert one.tenant == other.tenant
    assert one.session.user.operator
    principal = control.host.verifier().principal(one.session.access_token, "x")
    assert "operator" in principal.roles


async def test_ensuring_a_user_again_keeps_the_user_and_sets_the_password(control: ControlPlane) -> None:
    member = await control.member()
    address = member.session.user.email
    again = pb.EnsureUserRequest(email=address, password="changed password")
    assert (await control.service("cli").commodore.EnsureUser(again)).id == member.session.user.id
    assert (await control.public().commodore.SignIn(_sign_in(address, "changed password"))).access_token


async def test_an_unverified_account_is_told_so_only_after_the_right_password(control: ControlPlane) -> None:
    address = _address()
    await _registered(control, address)
    public = control.public().commodore
    assert await _code(public.SignIn(_sign_in(address, "wrong"))) == "commodore.invalid_credentials"
    with pytest.raises(Precondition):
        await public.SignIn(_sign_in(address))
