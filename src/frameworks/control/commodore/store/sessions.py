"""Sessions: families of refresh tokens, each kept as a hash."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from frameworks.contracts.audit import user
from frameworks.contracts.audit_trail import note
from frameworks.control.commodore.domain.tokens import RefreshToken, Verdict
from frameworks.control.commodore.store import directory
from frameworks.kit.sql import Connection, Database

_COLUMNS = "id, user_id, family, parent, token_hash, issued_at, expires_at, rotated_at, revoked_at"


class SessionStore:
    """Refresh tokens in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_refresh(self, token_hash: str) -> tuple[UUID, UUID] | None:
        """The tenant and id of a refresh token."""
        return await directory.resolve(self._db, "refresh", token_hash)

    async def open(self, tenant: UUID, token: RefreshToken) -> None:
        """Keep the first token of a session."""
        who = user(token.user_id)
        async with self._db.tenant(tenant) as c:
            await _insert(c, tenant, token)
            await note(c, "commodore", tenant, "user.signed_in", token.user_id, at=token.issued_at, by=who)

    async def rotate(
        self,
        tenant: UUID,
        token_id: UUID,
        now: datetime,
        judge: Callable[[RefreshToken, bool], Verdict],
        succeed: Callable[[RefreshToken], RefreshToken],
    ) -> tuple[Verdict, RefreshToken | None]:
        """Judge a presented token under its row's lock and carry the verdict out; the successor, if there is one."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                f"SELECT {_COLUMNS} FROM commodore.refresh_tokens WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
                tenant,
                token_id,
            )
            if row is None:
                return Verdict.REFUSE, None
            token = RefreshToken(**row)
            verdict = judge(token, await _successor_used(c, tenant, token_id))
            if verdict is Verdict.REVOKE:
                await _revoke_family(c, tenant, token.family, now)
                await note(c, "commodore", tenant, "session.revoked", token.family, at=now, by=None)
            if verdict in (Verdict.REVOKE, Verdict.REFUSE):
                return verdict, None
            if verdict is Verdict.RECOVER:
                await _revoke_successors(c, tenant, token_id, now)
            successor = succeed(token)
            await c.execute(
                """UPDATE commodore.refresh_tokens SET rotated_at = coalesce(rotated_at, $3)
                   WHERE tenant_id = $1 AND id = $2""",
                tenant,
                token_id,
                now,
            )
            await _insert(c, tenant, successor)
            return verdict, successor

    async def close(self, tenant: UUID, token_id: UUID, now: datetime) -> None:
        """End the session a token belongs to."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                "SELECT family, user_id FROM commodore.refresh_tokens WHERE tenant_id = $1 AND id = $2",
                tenant,
                token_id,
            )
            if row is not None and await _revoke_family(c, tenant, row["family"], now):
                of = row["user_id"]
                await note(c, "commodore", tenant, "user.signed_out", of, at=now, by=user(of))

    async def close_all(self, tenant: UUID, user_id: UUID, now: datetime, *, asked: bool = False) -> None:
        """End every session of a user; `asked` says that this was all the user wanted."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                """UPDATE commodore.refresh_tokens SET revoked_at = $3
                   WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL""",
                tenant,
                user_id,
                now,
            )
            if asked:
                what = tenant, "user.signed_out_everywhere", user_id
                await note(c, "commodore", *what, at=now, by=user(user_id))


async def _insert(c: Connection, tenant: UUID, token: RefreshToken) -> None:
    await c.execute(
        """INSERT INTO commodore.refresh_tokens
           (tenant_id, id, user_id, family, parent, token_hash, issued_at, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        tenant,
        token.id,
        token.user_id,
        token.family,
        token.parent,
        token.token_hash,
        token.issued_at,
        token.expires_at,
    )
    await directory.enter(c, tenant, "refresh", token.token_hash, token.id, token.expires_at)


async def _successor_used(c: Connection, tenant: UUID, token_id: UUID) -> bool:
    used: bool = await c.fetchval(
        """SELECT EXISTS (SELECT FROM commodore.refresh_tokens
           WHERE tenant_id = $1 AND parent = $2 AND rotated_at IS NOT NULL)""",
        tenant,
        token_id,
    )
    return used


async def _revoke_successors(c: Connection, tenant: UUID, token_id: UUID, now: datetime) -> None:
    await c.execute(
        """UPDATE commodore.refresh_tokens SET revoked_at = $3
           WHERE tenant_id = $1 AND parent = $2 AND revoked_at IS NULL""",
        tenant,
        token_id,
        now,
    )


async def _revoke_family(c: Connection, tenant: UUID, family: UUID, now: datetime) -> bool:
    """Whether there was something left to revoke."""
    tag = await c.execute(
        """UPDATE commodore.refresh_tokens SET revoked_at = $3
           WHERE tenant_id = $1 AND family = $2 AND revoked_at IS NULL""",
        tenant,
        family,
        now,
    )
    return tag != "UPDATE 0"
