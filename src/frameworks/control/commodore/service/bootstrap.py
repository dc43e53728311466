"""The first start: a user that exists, is confirmed, and has the password given."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.control.commodore.domain.accounts import Link, User, email, email_hash, password, person
from frameworks.control.commodore.domain.letters import Mail
from frameworks.control.commodore.service.passwords import Passwords
from frameworks.control.commodore.service.registration import Tenants
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, uuid7

log = logs.get("commodore")


class Store(Protocol):
    """Where users are kept."""

    async def resolve_email(self, address: str) -> tuple[UUID, UUID] | None:
        """The tenant and user of an address."""

    async def user(self, tenant: UUID, user_id: UUID) -> tuple[User, str] | None:
        """A user and the hash of their password."""

    async def create(
        self, tenant: UUID, user: User, password_hash: str, link: Link | None, mail: Mail | None
    ) -> None:
        """Keep a new user."""

    async def set_password(
        self,
        tenant: UUID,
        user_id: UUID,
        password_hash: str,
        *,
        changed_at: datetime | None = None,
        by: Actor | None = None,
    ) -> None:
        """Replace the hash of a password."""

    async def set_operator(
        self, tenant: UUID, user_id: UUID, at: datetime, *, operator: bool, by: Actor | None = None
    ) -> None:
        """Make a user one of those who run the platform, or no longer."""

    async def verify(self, tenant: UUID, user_id: UUID, at: datetime, *, by: Actor | None = None) -> None:
        """Mark the user's address as confirmed."""


class Bootstrap:
    """What the command line makes sure of; repeating it changes nothing but the password."""

    def __init__(self, store: Store, tenants: Tenants, passwords: Passwords, clock: Clock) -> None:
        self._store = store
        self._tenants = tenants
        self._passwords = passwords
        self._clock = clock

    async def ensure_user(
        self, address: str, chosen: str, *, first_name: str, last_name: str, operator: bool, by: Actor
    ) -> User:
        """A confirmed owner; an existing user keeps the tenant. Raises Invalid."""
        address, chosen = email(address), password(chosen)
        known = await self._store.resolve_email(address)
        if known is None:
            password_hash = await self._passwords.hash(chosen)
            known = await self._create(address, password_hash, (first_name, last_name), operator=operator)
        else:
            now = self._clock.now()
            if not await self._has(known, chosen):
                password_hash = await self._passwords.hash(chosen)
                await self._store.set_password(*known, password_hash, changed_at=now, by=by)
            await self._store.set_operator(*known, now, operator=operator, by=by)
            await self._store.verify(*known, now, by=by)
        found = await self._store.user(*known)
        assert found is not None
        log.info("user.ensured", tenant_id=str(known[0]), user_id=str(known[1]), operator=operator)
        return found[0]

    async def _has(self, known: tuple[UUID, UUID], chosen: str) -> bool:
        found = await self._store.user(*known)
        return found is not None and await self._passwords.verify(found[1], chosen)

    async def _create(
        self, address: str, password_hash: str, names: tuple[str, str], *, operator: bool
    ) -> tuple[UUID, UUID]:
        first, last = person(names[0], "first_name"), person(names[1], "last_name")
        name = "Operator" if operator else " ".join(filter(None, (first, last))) or address.partition("@")[0]
        tenant = await self._tenants.create(name, email_hash(address), operator=operator)
        now = self._clock.now()
        user = User(
            id=uuid7(now),
            tenant_id=tenant,
            email=address,
            first_name=first,
            last_name=last,
            operator=operator,
            verified=True,
            created_at=now,
        )
        await self._store.create(tenant, user, password_hash, None, None)
        return tenant, user.id
