"""API tokens, kept as hashes of their secrets."""

from datetime import datetime, timedelta
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.contracts.audit_trail import note
from frameworks.control.commodore.domain.accounts import Invalid
from frameworks.control.commodore.domain.tokens import MOST_API_TOKENS, ApiToken
from frameworks.control.commodore.store import directory
from frameworks.kit.paging import Paged, Position, Window, paged
from frameworks.kit.sql import Database, Row

_COLUMNS = """t.id, t.user_id, t.name, t.scopes, t.last_used_at, t.expires_at, t.created_at,
    CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked' WHEN t.expires_at <= $2 THEN 'expired' ELSE 'active' END
      AS status"""


class ApiTokenStore:
    """API tokens in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_api_token(self, public_id: str) -> tuple[UUID, UUID] | None:
        """The tenant and id of an API token."""
        return await directory.resolve(self._db, "api_token", public_id)

    async def create(
        self, tenant: UUID, token: ApiToken, public_id: str, secret_hash: str, *, by: Actor | None = None
    ) -> None:
        """Keep a new token; raises Invalid when there are too many."""
        async with self._db.tenant(tenant) as c:
            count = await c.fetchval(
                "SELECT count(*) FROM commodore.api_tokens WHERE tenant_id = $1 AND revoked_at IS NULL",
                tenant,
            )
            if count >= MOST_API_TOKENS:
                raise Invalid(f"A tenant has at most {MOST_API_TOKENS} API tokens. Revoke one.", field="name")
            await directory.enter(c, tenant, "api_token", public_id, token.id)
            await c.execute(
                """INSERT INTO commodore.api_tokens
                   (tenant_id, id, user_id, name, secret_hash, scopes, expires_at, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
                tenant,
                token.id,
                token.user_id,
                token.name,
                secret_hash,
                list(token.scopes),
                token.expires_at,
                token.created_at,
            )
            await note(
                c,
                "commodore",
                tenant,
                "token.created",
                token.id,
                at=token.created_at,
                by=by,
                attributes={"scopes": ",".join(token.scopes), "user": token.user_id},
            )

    async def token(self, tenant: UUID, token_id: UUID, now: datetime) -> tuple[ApiToken, str, bool] | None:
        """A token of this tenant, the hash of its secret, and whether its maker is still active."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                f"""SELECT {_COLUMNS}, t.secret_hash, u.active FROM commodore.api_tokens t
                    JOIN commodore.users u ON u.tenant_id = t.tenant_id AND u.id = t.user_id
                    WHERE t.tenant_id = $1 AND t.id = $3""",
                tenant,
                now,
                token_id,
            )
        return (_token(row), row["secret_hash"], row["active"]) if row else None

    async def tokens(
        self, tenant: UUID, window: Window, now: datetime, user_id: UUID | None
    ) -> Paged[ApiToken]:
        """The tenant's tokens, or one user's."""
        condition = "t.tenant_id = $1 AND ($3::uuid IS NULL OR t.user_id = $3)"
        clause, values = window.clause(4, at="t.created_at", id="t.id")
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                f"SELECT {_COLUMNS} FROM commodore.api_tokens t WHERE {condition}{clause}",
                tenant,
                now,
                user_id,
                *values,
            )
            total = await c.fetchval(
                """SELECT count(*) FROM commodore.api_tokens t
                   WHERE t.tenant_id = $1 AND ($2::uuid IS NULL OR t.user_id = $2)""",
                tenant,
                user_id,
            )
        found = [_token(row) for row in rows]
        return paged(found, window, total, lambda row: Position(row.created_at, str(row.id)))

    async def revoke(
        self,
        tenant: UUID,
        token_id: UUID,
        user_id: UUID | None,
        now: datetime,
        *,
        by: Actor | None = None,
    ) -> bool:
        """Revoke a token (of one user, if given); False when there is none."""
        async with self._db.tenant(tenant) as c:
            tag = await c.execute(
                """UPDATE commodore.api_tokens SET revoked_at = coalesce(revoked_at, $3)
                   WHERE tenant_id = $1 AND id = $2 AND ($4::uuid IS NULL OR user_id = $4)""",
                tenant,
                token_id,
                now,
                user_id,
            )
            await directory.remove(c, tenant, "api_token", token_id)
            is_ended = tag != "UPDATE 0"
            if is_ended:
                await note(c, "commodore", tenant, "token.revoked", token_id, at=now, by=by)
        return is_ended

    async def touch(self, tenant: UUID, token_id: UUID, now: datetime, step: timedelta) -> None:
        """Note that a token was used, at most once per `step`."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                """UPDATE commodore.api_tokens SET last_used_at = $3
                   WHERE tenant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $4)""",
                tenant,
                token_id,
                now,
                now - step,
            )


def _token(row: Row) -> ApiToken:
    values = {name: value for name, value in row.items() if name not in ("secret_hash", "active")}
    return ApiToken(**values | {"scopes": tuple(row["scopes"])})
