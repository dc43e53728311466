"""Users and the links mailed to them."""

from datetime import datetime
from uuid import UUID

import msgspec

from frameworks.contracts.audit import ANYBODY, Actor
from frameworks.contracts.audit import user as actor
from frameworks.contracts.audit_trail import note
from frameworks.control.commodore.domain.accounts import EmailTaken, Link, LinkKind, User, email_hash
from frameworks.control.commodore.domain.letters import Mail
from frameworks.control.commodore.store import directory
from frameworks.kit import outbox
from frameworks.kit.sql import Connection, Database, Row, UniqueViolation

_ASKED = {
    LinkKind.RESET: "user.password_reset_requested",
    LinkKind.CHANGE: "user.email_change_requested",
}
_COLUMNS = "id, tenant_id, email, first_name, last_name, role, operator, verified, active, created_at"


class AccountStore:
    """Users in PostgreSQL; mails leave through the outbox of the same transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_email(self, address: str) -> tuple[UUID, UUID] | None:
        """The tenant and user of an address."""
        return await directory.resolve(self._db, "email", email_hash(address))

    async def resolve_link(self, token_hash: str) -> tuple[UUID, UUID] | None:
        """The tenant and link of a mailed token."""
        return await directory.resolve(self._db, "link", token_hash)

    async def system_spend_proof(self, challenge: str, expires_at: datetime) -> bool:
        """Whether this challenge was not answered before; it is now."""
        async with self._db.system() as c:
            tag = await c.execute(
                """INSERT INTO commodore.spent_proofs (challenge, expires_at) VALUES ($1, $2)
                   ON CONFLICT (challenge) DO NOTHING""",
                challenge,
                expires_at,
            )
        return tag == "INSERT 0 1"

    async def user(self, tenant: UUID, user_id: UUID) -> tuple[User, str] | None:
        """A user of this tenant and the hash of their password."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                f"SELECT {_COLUMNS}, password_hash FROM commodore.users WHERE tenant_id = $1 AND id = $2",
                tenant,
                user_id,
            )
        return (_user(row), row["password_hash"]) if row else None

    async def create(
        self, tenant: UUID, user: User, password_hash: str, link: Link | None, mail: Mail | None
    ) -> None:
        """Keep a new user and send the mail; raises EmailTaken."""
        try:
            async with self._db.tenant(tenant) as c:
                await directory.enter(c, tenant, "email", email_hash(user.email), user.id)
                await c.execute(
                    """INSERT INTO commodore.users (tenant_id, id, email, password_hash, first_name, last_name,
                         role, operator, verified, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
                    tenant,
                    user.id,
                    user.email,
                    password_hash,
                    user.first_name,
                    user.last_name,
                    user.role,
                    user.operator,
                    user.verified,
                    user.created_at,
                )
                await _mail(c, tenant, link, mail)
                # Without a mail nobody registered: the platform made its own user.
                who = actor(user.id) if mail is not None else None
                await note(c, "commodore", tenant, "user.registered", user.id, at=user.created_at, by=who)
        except UniqueViolation as error:
            raise EmailTaken("Another account has this e-mail address.") from error

    async def replace_unverified(
        self, tenant: UUID, user: User, password_hash: str, link: Link, mail: Mail
    ) -> None:
        """Let a new registration of an address nobody confirmed replace the one before."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                """UPDATE commodore.users SET password_hash = $3, first_name = $4, last_name = $5
                   WHERE tenant_id = $1 AND id = $2 AND NOT verified""",
                tenant,
                user.id,
                password_hash,
                user.first_name,
                user.last_name,
            )
            await _mail(c, tenant, link, mail)
            who = actor(user.id)
            await note(c, "commodore", tenant, "user.registered", user.id, at=link.created_at, by=who)

    async def send(self, tenant: UUID, link: Link | None, mail: Mail) -> None:
        """Keep a link, which ends older ones of its kind, and send the mail."""
        async with self._db.tenant(tenant) as c:
            await _mail(c, tenant, link, mail)
            if link is not None and (action := _ASKED.get(link.kind)):
                who = actor(link.user_id) if link.kind is LinkKind.CHANGE else ANYBODY
                await note(c, "commodore", tenant, action, link.user_id, at=link.created_at, by=who)

    async def use_link(self, tenant: UUID, link_id: UUID, kind: LinkKind, now: datetime) -> Link | None:
        """Use a link up, once; None when it is used, late or of another kind."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                """UPDATE commodore.links SET used_at = $4
                   WHERE tenant_id = $1 AND id = $2 AND kind = $3 AND used_at IS NULL AND expires_at > $4
                   RETURNING id, user_id, kind, token_hash, new_email, created_at, expires_at""",
                tenant,
                link_id,
                kind.value,
                now,
            )
        return Link(**dict(row) | {"kind": kind}) if row else None

    async def verify(self, tenant: UUID, user_id: UUID, at: datetime, *, by: Actor | None = None) -> None:
        """Mark the user's address as confirmed; without `by` the user did it."""
        async with self._db.tenant(tenant) as c:
            tag = await c.execute(
                """UPDATE commodore.users SET verified = true
                   WHERE tenant_id = $1 AND id = $2 AND NOT verified""",
                tenant,
                user_id,
            )
            if tag == "UPDATE 1":
                who = by or actor(user_id)
                await note(c, "commodore", tenant, "user.verified", user_id, at=at, by=who)

    async def set_password(
        self,
        tenant: UUID,
        user_id: UUID,
        password_hash: str,
        *,
        changed_at: datetime | None = None,
        by: Actor | None = None,
    ) -> None:
        """Replace the hash of a password; `changed_at` says that another one was chosen, by the user unless `by`."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                "UPDATE commodore.users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2",
                tenant,
                user_id,
                password_hash,
            )
            if changed_at is not None:
                who = by or actor(user_id)
                await note(c, "commodore", tenant, "user.password_changed", user_id, at=changed_at, by=who)

    async def set_operator(
        self, tenant: UUID, user_id: UUID, at: datetime, *, operator: bool, by: Actor | None = None
    ) -> None:
        """Make a user one of those who run the platform, or no longer."""
        said = {"operator": operator}
        async with self._db.tenant(tenant) as c:
            tag = await c.execute(
                "UPDATE commodore.users SET operator = $3 WHERE tenant_id = $1 AND id = $2 AND operator <> $3",
                tenant,
                user_id,
                operator,
            )
            if tag == "UPDATE 1":
                what = tenant, "user.operator_changed", user_id
                await note(c, "commodore", *what, at=at, by=by, attributes=said)

    async def set_email(
        self, tenant: UUID, user_id: UUID, address: str, mail: Mail, changed_at: datetime
    ) -> None:
        """Replace a user's address and tell the old one; raises EmailTaken."""
        try:
            async with self._db.tenant(tenant) as c:
                await directory.remove(c, tenant, "email", user_id)
                await directory.enter(c, tenant, "email", email_hash(address), user_id)
                await c.execute(
                    "UPDATE commodore.users SET email = $3, verified = true WHERE tenant_id = $1 AND id = $2",
                    tenant,
                    user_id,
                    address,
                )
                await _mail(c, tenant, None, mail)
                who = actor(user_id)
                await note(c, "commodore", tenant, "user.email_changed", user_id, at=changed_at, by=who)
        except UniqueViolation as error:
            raise EmailTaken("Another account has this e-mail address.") from error

    async def delete(self, tenant: UUID, user_id: UUID, now: datetime) -> bool:
        """Switch a user off and free the address; with the last one go streams, tokens and the tenant.

        Returns whether this was the last one.
        """
        async with self._db.tenant(tenant) as c:
            await c.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 3))", str(tenant))
            await c.execute(
                """UPDATE commodore.users SET active = false, deleted_at = $3, email = '', first_name = '',
                     last_name = '', password_hash = '' WHERE tenant_id = $1 AND id = $2""",
                tenant,
                user_id,
                now,
            )
            await directory.remove(c, tenant, "email", user_id)
            left = await c.fetchval(
                "SELECT count(*) FROM commodore.users WHERE tenant_id = $1 AND active", tenant
            )
            await note(c, "commodore", tenant, "user.deleted", user_id, at=now, by=actor(user_id))
            if left == 0:
                await _close_tenant(c, tenant, now)
        return bool(left == 0)


async def _close_tenant(c: Connection, tenant: UUID, now: datetime) -> None:
    for table in ("refresh_tokens", "api_tokens"):
        await c.execute(
            f"UPDATE commodore.{table} SET revoked_at = $2 WHERE tenant_id = $1 AND revoked_at IS NULL",
            tenant,
            now,
        )
    await c.execute(
        "UPDATE commodore.streams SET deleted_at = $2 WHERE tenant_id = $1 AND deleted_at IS NULL",
        tenant,
        now,
    )
    await c.execute("DELETE FROM commodore.directory WHERE tenant_id = $1", tenant)
    await outbox.add(c, "commodore", "tenant.closed", str(tenant), str(tenant).encode())


async def _mail(c: Connection, tenant: UUID, link: Link | None, mail: Mail | None) -> None:
    if link is not None:
        await c.execute(
            """UPDATE commodore.links SET used_at = $4
               WHERE tenant_id = $1 AND user_id = $2 AND kind = $3 AND used_at IS NULL""",
            tenant,
            link.user_id,
            link.kind.value,
            link.created_at,
        )
        await c.execute(
            """INSERT INTO commodore.links
               (tenant_id, id, user_id, kind, token_hash, new_email, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
            tenant,
            link.id,
            link.user_id,
            link.kind.value,
            link.token_hash,
            link.new_email,
            link.created_at,
            link.expires_at,
        )
        await directory.enter(c, tenant, "link", link.token_hash, link.id, link.expires_at)
    if mail is not None:
        await outbox.add(c, "commodore", "mail", email_hash(mail.to), msgspec.json.encode(mail))


def _user(row: Row) -> User:
    return User(**{name: value for name, value in row.items() if name != "password_hash"})
