"""Sessions: short access tokens, and refresh tokens that change with each use."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from frameworks.control.commodore.domain.accounts import Inactive, User, digest
from frameworks.control.commodore.domain.tokens import (
    REFRESH_PREFIX,
    BadSession,
    RefreshToken,
    Verdict,
    judge,
)
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, random_text, uuid7

log = logs.get("commodore")


class Store(Protocol):
    """Where refresh tokens are kept, by hash."""

    async def resolve_refresh(self, token_hash: str) -> tuple[UUID, UUID] | None:
        """The tenant and id of a refresh token."""

    async def open(self, tenant: UUID, token: RefreshToken) -> None:
        """Keep the first token of a session."""

    async def rotate(
        self,
        tenant: UUID,
        token_id: UUID,
        now: datetime,
        judge: Callable[[RefreshToken, bool], Verdict],
        succeed: Callable[[RefreshToken], RefreshToken],
    ) -> tuple[Verdict, RefreshToken | None]:
        """Judge a token under its lock and carry the verdict out; the successor, if there is one."""

    async def close(self, tenant: UUID, token_id: UUID, now: datetime) -> None:
        """End the session a token belongs to."""

    async def close_all(self, tenant: UUID, user_id: UUID, now: datetime, *, asked: bool = False) -> None:
        """End every session of a user."""


class Users(Protocol):
    """Where users are kept."""

    async def user(self, tenant: UUID, user_id: UUID) -> tuple[User, str] | None:
        """A user and the hash of their password."""


class Signer(Protocol):
    """Signs access tokens."""

    def user_token(self, user: User, lifetime: timedelta) -> str:
        """An access token that says who the user is and what they may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a client holds to be the user."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    user: User


class Sessions:
    """Opens, continues and ends sessions."""

    def __init__(
        self,
        store: Store,
        users: Users,
        signer: Signer,
        clock: Clock,
        *,
        access: timedelta,
        refresh: timedelta,
    ) -> None:
        self._store = store
        self._users = users
        self._signer = signer
        self._clock = clock
        self._access = access
        self._refresh = refresh

    async def open(self, user: User) -> Session:
        """A new session of a user who has proven who they are."""
        value, token = self._new(user.id, family=None, parent=None)
        await self._store.open(user.tenant_id, token)
        return self._session(user, value, token)

    async def refresh(self, refresh_token: str) -> Session:
        """Continue a session with a fresh pair; raises BadSession. A token used by two ends the session."""
        found = await self._store.resolve_refresh(digest(refresh_token))
        if found is None:
            raise BadSession("Sign in again.")
        tenant, token_id = found
        now = self._clock.now()
        values: list[str] = []

        def succeed(used: RefreshToken) -> RefreshToken:
            value, token = self._new(used.user_id, family=used.family, parent=used.id)
            values.append(value)
            return token

        verdict, successor = await self._store.rotate(
            tenant, token_id, now, lambda token, used: judge(token, successor_used=used, now=now), succeed
        )
        if verdict is Verdict.REVOKE:
            log.warning("session.stolen", tenant_id=str(tenant), token_id=str(token_id))
        if successor is None:
            raise BadSession("Sign in again.")
        return self._session(await self._active(tenant, successor.user_id), values[0], successor)

    async def close(self, refresh_token: str) -> None:
        """End a session; nothing happens when there is none."""
        found = await self._store.resolve_refresh(digest(refresh_token))
        if found is not None:
            await self._store.close(*found, self._clock.now())

    async def close_all(self, tenant: UUID, user_id: UUID, *, asked: bool = False) -> None:
        """End every session of a user; access tokens live on for their few minutes.

        `asked` says that this was all the user wanted, and no part of something else.
        """
        await self._store.close_all(tenant, user_id, self._clock.now(), asked=asked)
        log.info("sessions.closed", tenant_id=str(tenant), user_id=str(user_id))

    async def _active(self, tenant: UUID, user_id: UUID) -> User:
        found = await self._users.user(tenant, user_id)
        if found is None or not found[0].active:
            raise Inactive("This account is switched off.")
        return found[0]

    def _new(self, user_id: UUID, *, family: UUID | None, parent: UUID | None) -> tuple[str, RefreshToken]:
        now = self._clock.now()
        value = REFRESH_PREFIX + random_text(48)
        token = RefreshToken(
            id=uuid7(now),
            user_id=user_id,
            family=family or uuid7(now),
            parent=parent,
            token_hash=digest(value),
            issued_at=now,
            expires_at=now + self._refresh,
        )
        return value, token

    def _session(self, user: User, value: str, token: RefreshToken) -> Session:
        return Session(
            access_token=self._signer.user_token(user, self._access),
            access_expires_at=self._clock.now() + self._access,
            refresh_token=value,
            refresh_expires_at=token.expires_at,
            user=user,
        )
