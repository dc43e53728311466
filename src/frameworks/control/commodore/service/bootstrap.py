"""The first start: a user that exists, is confirmed, and has the password given."""

from typing import Protocol
from uuid import UUID

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

    async def set_password(self, tenant: UUID, user_id: UUID, password_hash: str) -> None:
        """Replace the hash of a password."""

    async def set_operator(self, tenant: UUID, user_id: UUID, *, operator: bool) -> None:
        """Make a user one of those who run the platform, or no longer."""

    async def verify(self, tenant: UUID, user_id: UUID) -> None:
        """Mark the user's address as confirmed."""


class Bootstrap:
    """What the command line makes sure of; repeating it changes nothing but the password."""

    def __init__(self, store: Store, tenants: Tenants, passwords: Passwords, clock: Clock) -> None:
        self._store = store
        self._tenants = tenants
        self._passwords = passwords
        self._clock = clock

    async def ensure_user(
        self, address: str, chosen: str, *, first_name: str, last_name: str, operator: bool
    ) -> User:
        """A confirmed owner; an existing user keeps the tenant. Raises Invalid."""
        address, password_hash = email(address), await self._passwords.hash(password(chosen))
        known = await self._store.resolve_email(address)
        if known is None:
            known = await self._create(address, password_hash, (first_name, last_name), operator=operator)
        else:
            await self._store.set_password(*known, password_hash)
            await self._store.set_operator(*known, operator=operator)
            await self._store.verify(*known)
        found = await self._store.user(*known)
        assert found is not None
        log.info("user.ensured", tenant_id=str(known[0]), user_id=str(known[1]), operator=operator)
        return found[0]

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
