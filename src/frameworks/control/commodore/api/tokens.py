"""Calls about API tokens."""

from uuid import UUID

from frameworks.contracts.audit_trail import caller
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.commodore.api import encoding
from frameworks.control.commodore.domain.accounts import Invalid
from frameworks.control.commodore.domain.tokens import NoSuchToken
from frameworks.control.commodore.service.tokens import ApiTokens
from frameworks.kit.clock import from_micros, micros
from frameworks.kit.identity import PrincipalKind
from frameworks.kit.rpc import Call

_SEE_ALL = frozenset({"owner", "admin"})


class TokenCalls:
    """The API tokens of the caller's tenant; members see and end only their own."""

    def __init__(self, tokens: ApiTokens) -> None:
        self._tokens = tokens

    async def CreateApiToken(self, request: pb.CreateApiTokenRequest, call: Call) -> pb.ApiToken:
        """A new token; the answer is the only place that shows its value."""
        if request.expires_at >= 1 << 57:
            raise Invalid("The expiry is too far away.", field="expires_at")
        token, value = await self._tokens.create(
            call.tenant,
            UUID(call.principal.subject),
            call.principal.scopes,
            name=request.name,
            asked=request.scopes,
            expires_at=from_micros(request.expires_at) if request.expires_at else None,
            by=caller(call),
        )
        return encoding.api_token(token, value)

    async def ListApiTokens(self, request: pb.ListApiTokensRequest, call: Call) -> pb.ApiTokenPage:
        """The tokens the caller may see."""
        page = await self._tokens.of(
            call.tenant, encoding.asked(request.page, call, "api_tokens"), user_id=_only(call)
        )
        return pb.ApiTokenPage(
            tokens=map(encoding.api_token, page.rows), cursors=page.cursors, ends=encoding.ends(page)
        )

    async def RevokeApiToken(self, request: pb.RevokeApiTokenRequest, call: Call) -> pb.Done:
        """End a token."""
        token_id = encoding.identity(request.id, NoSuchToken)
        await self._tokens.revoke(call.tenant, token_id, user_id=_only(call), by=caller(call))
        return pb.Done()

    async def ExchangeApiToken(self, request: pb.ExchangeApiTokenRequest, call: Call) -> pb.AccessToken:
        """A short-lived access token for an API token's holder."""
        token, expires_at = await self._tokens.exchange(request.api_token)
        return pb.AccessToken(token=token, expires_at=micros(expires_at))


def _only(call: Call) -> UUID | None:
    """Whose tokens the caller may see: its own, or all for owners, admins and API tokens."""
    if call.principal.kind is PrincipalKind.API_TOKEN or call.principal.roles & _SEE_ALL:
        return None
    return UUID(call.principal.subject)
