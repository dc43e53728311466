"""Registration: a tenant and its owner, made by people; whoever looks on learns nothing about other accounts."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from frameworks.control.commodore.domain.accounts import (
    EmailTaken,
    Link,
    LinkKind,
    User,
    email,
    email_hash,
    password,
    person,
)
from frameworks.control.commodore.domain.letters import LetterKind, Mail
from frameworks.control.commodore.service.links import Links
from frameworks.control.commodore.service.passwords import Passwords
from frameworks.control.commodore.service.proofs import Proofs
from frameworks.control.commodore.service.throttle import Throttle
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, uuid7

log = logs.get("commodore")

ANSWER = "Check your inbox: we sent you a link that confirms your address."


class Store(Protocol):
    """Where users are kept."""

    async def resolve_email(self, address: str) -> tuple[UUID, UUID] | None:
        """The tenant and user of an address."""

    async def user(self, tenant: UUID, user_id: UUID) -> tuple[User, str] | None:
        """A user and the hash of their password."""

    async def create(
        self, tenant: UUID, user: User, password_hash: str, link: Link | None, mail: Mail | None
    ) -> None:
        """Keep a new user and send the mail; raises EmailTaken."""

    async def replace_unverified(
        self, tenant: UUID, user: User, password_hash: str, link: Link, mail: Mail
    ) -> None:
        """Let a new registration of an unconfirmed address replace the one before."""

    async def send(self, tenant: UUID, link: Link | None, mail: Mail) -> None:
        """Keep a link and send the mail."""


class Tenants(Protocol):
    """Quartermaster, for registration."""

    async def create(self, name: str, idempotency_key: str, *, operator: bool = False) -> UUID:
        """The tenant made for this key, made now unless it exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What somebody who registers sends."""

    email: str
    password: str
    first_name: str
    last_name: str
    proof: str
    honeypot: str
    client: str


class Registration:
    """Makes accounts; every answer to a well-formed application is the same."""

    def __init__(
        self,
        store: Store,
        tenants: Tenants,
        proofs: Proofs,
        passwords: Passwords,
        links: Links,
        clock: Clock,
        *,
        clients: Throttle,
        emails: Throttle,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._proofs = proofs
        self._passwords = passwords
        self._links = links
        self._clock = clock
        self._clients = clients
        self._emails = emails

    async def register(self, application: Application) -> str:
        """Register somebody; raises Invalid, BadProof or TooOften. A robot that fills every field is told it worked."""
        address = email(application.email)
        chosen = password(application.password)
        names = person(application.first_name, "first_name"), person(application.last_name, "last_name")
        self._clients.count(application.client)
        password_hash = await self._passwords.hash(chosen)
        if application.honeypot:
            log.info("registration.trapped", client=application.client)
            return ANSWER
        await self._proofs.check(application.proof)
        self._emails.count(email_hash(address))
        await self._register(address, password_hash, names)
        return ANSWER

    async def _register(self, address: str, password_hash: str, names: tuple[str, str]) -> None:
        known = await self._store.resolve_email(address)
        if known is None:
            tenant = await self._tenants.create(_tenant_name(address, names), email_hash(address))
            user = self._user(tenant, address, names)
            link, token = self._links.new(user.id, LinkKind.VERIFY)
            mail = self._links.mail(LetterKind.VERIFY, address, link, token)
            try:
                await self._store.create(tenant, user, password_hash, link, mail)
            except EmailTaken:
                log.info("registration.raced", tenant_id=str(tenant))
            else:
                log.info("user.registered", tenant_id=str(tenant), user_id=str(user.id))
            return
        await self._again(known, address, password_hash, names)

    async def _again(
        self, known: tuple[UUID, UUID], address: str, password_hash: str, names: tuple[str, str]
    ) -> None:
        """The address is registered: confirm it again, or tell its owner."""
        tenant, user_id = known
        found = await self._store.user(tenant, user_id)
        if found is None or found[0].verified:
            await self._store.send(tenant, None, self._links.mail(LetterKind.KNOWN, address))
            return
        user = self._user(tenant, address, names, user_id)
        link, token = self._links.new(user_id, LinkKind.VERIFY)
        mail = self._links.mail(LetterKind.VERIFY, address, link, token)
        await self._store.replace_unverified(tenant, user, password_hash, link, mail)

    def _user(self, tenant: UUID, address: str, names: tuple[str, str], user_id: UUID | None = None) -> User:
        now = self._clock.now()
        return User(
            id=user_id or uuid7(now),
            tenant_id=tenant,
            email=address,
            first_name=names[0],
            last_name=names[1],
            created_at=now,
        )


def _tenant_name(address: str, names: tuple[str, str]) -> str:
    """What a tenant is called until its owner chooses: the person's name, or the address before the @."""
    return " ".join(name for name in names if name) or address.partition("@")[0]
