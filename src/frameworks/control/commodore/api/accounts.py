"""Calls about accounts: what anybody may ask, and what users do with their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from frameworks.contracts.metrics import commodore as metrics
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.commodore.api import encoding
from frameworks.control.commodore.service.accounts import Accounts
from frameworks.control.commodore.service.proofs import Proofs
from frameworks.control.commodore.service.registration import Application, Registration
from frameworks.control.commodore.service.sessions import Sessions
from frameworks.kit.errors import Refusal
from frameworks.kit.metrics import Counter
from frameworks.kit.rpc import Call


class PublicCalls:
    """What needs no credential but what it carries."""

    def __init__(
        self,
        registration: Registration,
        accounts: Accounts,
        sessions: Sessions,
        proofs: Proofs,
        key_set: Callable[[], str],
    ) -> None:
        self._registration = registration
        self._accounts = accounts
        self._sessions = sessions
        self._proofs = proofs
        self._key_set = key_set

    async def IssueChallenge(self, request: pb.IssueChallengeRequest, call: Call) -> pb.Challenge:
        """A proof-of-work challenge."""
        return pb.Challenge(json=self._proofs.issue())

    async def Register(self, request: pb.RegisterRequest, call: Call) -> pb.RegisterResponse:
        """Register a tenant and its owner."""
        application = Application(
            email=request.email,
            password=request.password,
            first_name=request.first_name,
            last_name=request.last_name,
            proof=request.proof,
            honeypot=request.honeypot,
            client=request.client,
        )
        async with _counted(metrics.REGISTRATIONS):
            return pb.RegisterResponse(message=await self._registration.register(application))

    async def VerifyEmail(self, request: pb.VerifyEmailRequest, call: Call) -> pb.Session:
        """Confirm an address and sign its owner in."""
        return encoding.session(await self._accounts.verify_email(request.token))

    async def SignIn(self, request: pb.SignInRequest, call: Call) -> pb.Session:
        """Open a session."""
        async with _counted(metrics.SIGN_INS):
            return encoding.session(
                await self._accounts.sign_in(request.email, request.password, request.client)
            )

    async def Refresh(self, request: pb.RefreshRequest, call: Call) -> pb.Session:
        """Continue a session."""
        return encoding.session(await self._sessions.refresh(request.refresh_token))

    async def SignOut(self, request: pb.SignOutRequest, call: Call) -> pb.Done:
        """End a session."""
        await self._sessions.close(request.refresh_token)
        return pb.Done()

    async def RequestPasswordReset(self, request: pb.RequestPasswordResetRequest, call: Call) -> pb.Done:
        """Mail a link that sets a new password."""
        await self._accounts.request_reset(request.email, request.client)
        return pb.Done()

    async def ResetPassword(self, request: pb.ResetPasswordRequest, call: Call) -> pb.Done:
        """Set a new password by a mailed link."""
        await self._accounts.reset_password(request.token, request.password)
        return pb.Done()

    async def ConfirmEmailChange(self, request: pb.ConfirmEmailChangeRequest, call: Call) -> pb.Done:
        """Change an address by a mailed link."""
        await self._accounts.confirm_email(request.token)
        return pb.Done()

    async def GetKeySet(self, request: pb.GetKeySetRequest, call: Call) -> pb.KeySet:
        """The public keys that access tokens verify with."""
        return pb.KeySet(json=self._key_set())


class OwnAccountCalls:
    """What the signed-in user does with the account."""

    def __init__(self, accounts: Accounts, sessions: Sessions) -> None:
        self._accounts = accounts
        self._sessions = sessions

    async def GetMe(self, request: pb.GetMeRequest, call: Call) -> pb.User:
        """The calling user."""
        return encoding.user(await self._accounts.me(call.tenant, _self(call)))

    async def ChangePassword(self, request: pb.ChangePasswordRequest, call: Call) -> pb.Done:
        """Replace the password and end all sessions."""
        await self._accounts.change_password(
            call.tenant, _self(call), request.current_password, request.new_password
        )
        return pb.Done()

    async def ChangeEmail(self, request: pb.ChangeEmailRequest, call: Call) -> pb.Done:
        """Mail a link to a new address."""
        await self._accounts.change_email(call.tenant, _self(call), request.password, request.new_email)
        return pb.Done()

    async def SignOutEverywhere(self, request: pb.SignOutEverywhereRequest, call: Call) -> pb.Done:
        """End every session of the calling user."""
        await self._sessions.close_all(call.tenant, _self(call), asked=True)
        return pb.Done()

    async def DeleteAccount(self, request: pb.DeleteAccountRequest, call: Call) -> pb.Done:
        """Delete the account."""
        await self._accounts.delete(call.tenant, _self(call), request.password)
        return pb.Done()


def _self(call: Call) -> UUID:
    return UUID(call.principal.subject)


@asynccontextmanager
async def _counted(counter: Counter) -> AsyncIterator[None]:
    try:
        yield
    except Refusal as refusal:
        counter.labels(outcome=refusal.code).inc()
        raise
    counter.labels(outcome="ok").inc()
