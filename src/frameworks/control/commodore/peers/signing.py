"""What Commodore signs: access tokens and attributions, as `kit.identity.Verifier` reads them."""

from datetime import timedelta
from uuid import UUID

from frameworks.control.commodore.domain.accounts import User
from frameworks.control.commodore.domain.tokens import ApiToken
from frameworks.kit.clock import Clock
from frameworks.kit.identity import PLATFORM, Identity


class TokenSigner:
    """Signs with the service's own key."""

    def __init__(self, identity: Identity, clock: Clock, *, attribution: timedelta) -> None:
        self._identity = identity
        self._clock = clock
        self._attribution = attribution

    def user_token(self, user: User, lifetime: timedelta) -> str:
        """An access token that says who the user is and what they may do."""
        claims = {
            "sub": str(user.id),
            "aud": PLATFORM,
            "kind": "user",
            "tenant": str(user.tenant_id),
            "scopes": sorted(user.scopes),
            "roles": sorted(user.roles),
        }
        return self._identity.sign(claims, typ="user", lifetime=lifetime)

    def api_token(self, tenant: UUID, token: ApiToken, lifetime: timedelta) -> str:
        """An access token with the scopes of an API token."""
        claims = {
            "sub": str(token.id),
            "aud": PLATFORM,
            "kind": "api_token",
            "tenant": str(tenant),
            "scopes": list(token.scopes),
            "roles": [],
        }
        return self._identity.sign(claims, typ="user", lifetime=lifetime)

    def attribution(
        self, *, tenant: UUID, stream: UUID, cluster: str, node: str, role: str, epoch: int
    ) -> str:
        """The signed leave of a node to act and report for a stream."""
        claims = {
            "tenant": str(tenant),
            "stream": str(stream),
            "cluster": cluster,
            "node": node,
            "role": role,
            "epoch": epoch,
            "nbf": int(self._clock.now().timestamp()),
        }
        return self._identity.sign(claims, typ="attribution", lifetime=self._attribution)
