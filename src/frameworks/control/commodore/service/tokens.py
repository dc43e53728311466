"""API tokens: made by users, exchanged by Bridge for short access tokens."""

import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.control.commodore.domain.accounts import Invalid, digest
from frameworks.control.commodore.domain.streams import title
from frameworks.control.commodore.domain.tokens import (
    LAST_USED_STEP,
    ApiToken,
    BadApiToken,
    NoSuchToken,
    scopes,
    split_api_token,
)
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, random_text, uuid7
from frameworks.kit.paging import Paged, Window

log = logs.get("commodore")


class Store(Protocol):
    """Where API tokens are kept, by hash."""

    async def resolve_api_token(self, public_id: str) -> tuple[UUID, UUID] | None:
        """The tenant and id of an API token."""

    async def create(
        self, tenant: UUID, token: ApiToken, public_id: str, secret_hash: str, *, by: Actor | None = None
    ) -> None:
        """Keep a new token."""

    async def token(self, tenant: UUID, token_id: UUID, now: datetime) -> tuple[ApiToken, str, bool] | None:
        """A token, the hash of its secret, and whether its maker is active."""

    async def tokens(
        self, tenant: UUID, window: Window, now: datetime, user_id: UUID | None
    ) -> Paged[ApiToken]:
        """The tenant's tokens, or one user's."""

    async def revoke(
        self,
        tenant: UUID,
        token_id: UUID,
        user_id: UUID | None,
        now: datetime,
        *,
        by: Actor | None = None,
    ) -> bool:
        """Revoke a token; False when there is none."""

    async def touch(self, tenant: UUID, token_id: UUID, now: datetime, step: timedelta) -> None:
        """Note that a token was used."""


class Signer(Protocol):
    """Signs access tokens."""

    def api_token(self, tenant: UUID, token: ApiToken, lifetime: timedelta) -> str:
        """An access token with the scopes of an API token."""


class ApiTokens:
    """The API tokens of each tenant."""

    def __init__(self, store: Store, signer: Signer, clock: Clock, *, lifetime: timedelta) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._lifetime = min(lifetime, timedelta(minutes=5))

    async def create(
        self,
        tenant: UUID,
        user_id: UUID,
        held: frozenset[str],
        *,
        name: str,
        asked: Iterable[str],
        expires_at: datetime | None,
        by: Actor | None = None,
    ) -> tuple[ApiToken, str]:
        """A token with at most its maker's scopes, and its value, shown only here; raises Invalid."""
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise Invalid("The expiry must be in the future.", field="expires_at")
        token = ApiToken(
            id=uuid7(now),
            user_id=user_id,
            name=title(name, field="name"),
            scopes=tuple(sorted(scopes(asked, held))),
            status="active",
            last_used_at=None,
            expires_at=expires_at,
            created_at=now,
        )
        public_id, secret = random_text(16), random_text(40)
        await self._store.create(tenant, token, public_id, digest(secret), by=by)
        log.info("api_token.created", tenant_id=str(tenant), token_id=str(token.id))
        return token, f"fw_{public_id}_{secret}"

    async def of(self, tenant: UUID, window: Window, *, user_id: UUID | None) -> Paged[ApiToken]:
        """The tenant's tokens, or only one user's."""
        return await self._store.tokens(tenant, window, self._clock.now(), user_id)

    async def revoke(
        self, tenant: UUID, token_id: UUID, *, user_id: UUID | None, by: Actor | None = None
    ) -> None:
        """End a token; access tokens made of it live on for their few minutes. Raises NoSuchToken."""
        if not await self._store.revoke(tenant, token_id, user_id, self._clock.now(), by=by):
            raise NoSuchToken("There is no such token.")
        log.info("api_token.revoked", tenant_id=str(tenant), token_id=str(token_id))

    async def exchange(self, value: str) -> tuple[str, datetime]:
        """An access token for an API token's holder, and when it expires; raises BadApiToken."""
        public_id, secret = split_api_token(value)
        known = await self._store.resolve_api_token(public_id)
        now = self._clock.now()
        found = await self._store.token(*known, now) if known else None
        if known is None or found is None:
            raise BadApiToken("This API token is not valid.")
        token, secret_hash, active = found
        if not hmac.compare_digest(secret_hash, digest(secret)) or token.status != "active" or not active:
            raise BadApiToken("This API token is not valid.")
        lifetime = min(self._lifetime, token.expires_at - now) if token.expires_at else self._lifetime
        await self._note_use(known[0], token, now)
        return self._signer.api_token(known[0], token, lifetime), now + lifetime

    async def _note_use(self, tenant: UUID, token: ApiToken, now: datetime) -> None:
        if token.last_used_at is None or now - token.last_used_at >= LAST_USED_STEP:
            await self._store.touch(tenant, token.id, now, LAST_USED_STEP)
