"""Accounts after registration: signing in, links from mails, and what users change about themselves."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from frameworks.control.commodore.domain.accounts import (
    BadCredentials,
    BadLink,
    Inactive,
    Link,
    LinkKind,
    NoSuchUser,
    OperatorStays,
    Unverified,
    User,
    digest,
    email,
    email_hash,
    password,
)
from frameworks.control.commodore.domain.letters import LetterKind, Mail
from frameworks.control.commodore.service.links import Links
from frameworks.control.commodore.service.passwords import Passwords
from frameworks.control.commodore.service.sessions import Session, Sessions
from frameworks.control.commodore.service.throttle import Throttle
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock

log = logs.get("commodore")

_WRONG = "The e-mail address or the password is wrong."
_DEAD_LINK = "This link was used already or is too old. Ask for a new one."


class Store(Protocol):
    """Where users and links are kept."""

    async def resolve_email(self, address: str) -> tuple[UUID, UUID] | None:
        """The tenant and user of an address."""

    async def resolve_link(self, token_hash: str) -> tuple[UUID, UUID] | None:
        """The tenant and link of a mailed token."""

    async def user(self, tenant: UUID, user_id: UUID) -> tuple[User, str] | None:
        """A user and the hash of their password."""

    async def use_link(self, tenant: UUID, link_id: UUID, kind: LinkKind, now: datetime) -> Link | None:
        """Use a link up, once."""

    async def send(self, tenant: UUID, link: Link | None, mail: Mail) -> None:
        """Keep a link and send the mail."""

    async def verify(self, tenant: UUID, user_id: UUID, at: datetime) -> None:
        """Mark the user's address as confirmed."""

    async def set_password(
        self, tenant: UUID, user_id: UUID, password_hash: str, *, changed_at: datetime | None = None
    ) -> None:
        """Replace the hash of a password."""

    async def set_email(
        self, tenant: UUID, user_id: UUID, address: str, mail: Mail, changed_at: datetime
    ) -> None:
        """Replace a user's address and tell the old one; raises EmailTaken."""

    async def delete(self, tenant: UUID, user_id: UUID, now: datetime) -> bool:
        """Switch a user off; with the last one goes the tenant. Whether this was the last one."""


class Accounts:
    """What a person does with an account."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        passwords: Passwords,
        links: Links,
        clock: Clock,
        *,
        clients: Throttle,
        sign_ins: Throttle,
        mails: Throttle,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._passwords = passwords
        self._links = links
        self._clock = clock
        self._clients = clients
        self._sign_ins = sign_ins
        self._mails = mails

    async def sign_in(self, address: str, secret: str, client: str) -> Session:
        """A session; raises BadCredentials, then Inactive, then Unverified, so that only the owner learns more."""
        self._clients.count(client)
        self._sign_ins.count(email_hash(address))
        found = await self._by_email(address)
        if not await self._passwords.verify(found[1] if found else None, secret[:1024]) or found is None:
            raise BadCredentials(_WRONG)
        user, kept = found
        if not user.active:
            raise Inactive("This account is switched off.")
        if not user.verified:
            raise Unverified("Confirm your e-mail address first: we sent you a link.")
        if self._passwords.is_outdated(kept):
            await self._store.set_password(user.tenant_id, user.id, await self._passwords.hash(secret))
        log.info("user.signed_in", tenant_id=str(user.tenant_id), user_id=str(user.id))
        return await self._sessions.open(user)

    async def verify_email(self, token: str) -> Session:
        """Confirm an address by the mailed token, and sign its owner in; raises BadLink."""
        tenant, link = await self._use(token, LinkKind.VERIFY)
        await self._store.verify(tenant, link.user_id, self._clock.now())
        log.info("user.verified", tenant_id=str(tenant), user_id=str(link.user_id))
        return await self._sessions.open(await self.me(tenant, link.user_id))

    async def request_reset(self, address: str, client: str) -> None:
        """Mail a link that sets a new password, if the address has an account; the answer is always the same."""
        self._clients.count(client)
        self._mails.count(email_hash(address))
        found = await self._by_email(address)
        if found is None or not found[0].active:
            return
        user = found[0]
        link, token = self._links.new(user.id, LinkKind.RESET)
        await self._store.send(
            user.tenant_id, link, self._links.mail(LetterKind.RESET, user.email, link, token)
        )

    async def reset_password(self, token: str, chosen: str) -> None:
        """Set a new password by the mailed token, and end all sessions; raises Invalid or BadLink."""
        password_hash = await self._passwords.hash(password(chosen))
        tenant, link = await self._use(token, LinkKind.RESET)
        now = self._clock.now()
        await self._store.set_password(tenant, link.user_id, password_hash, changed_at=now)
        await self._store.verify(tenant, link.user_id, now)
        await self._sessions.close_all(tenant, link.user_id)

    async def confirm_email(self, token: str) -> None:
        """Change an address by the token mailed to the new one; raises BadLink or EmailTaken."""
        tenant, link = await self._use(token, LinkKind.CHANGE)
        user = await self.me(tenant, link.user_id)
        told = self._links.mail(LetterKind.CHANGED, user.email)
        await self._store.set_email(tenant, user.id, link.new_email, told, self._clock.now())
        log.info("user.email_changed", tenant_id=str(tenant), user_id=str(user.id))

    async def me(self, tenant: UUID, user_id: UUID) -> User:
        """The user; raises NoSuchUser."""
        found = await self._store.user(tenant, user_id)
        if found is None or not found[0].active:
            raise NoSuchUser("There is no such user.")
        return found[0]

    async def change_password(self, tenant: UUID, user_id: UUID, current: str, chosen: str) -> None:
        """Replace the password and end all sessions; raises Invalid or BadCredentials."""
        password(chosen)
        user = await self._proven(tenant, user_id, current)
        password_hash = await self._passwords.hash(chosen)
        await self._store.set_password(tenant, user.id, password_hash, changed_at=self._clock.now())
        await self._sessions.close_all(tenant, user.id)

    async def change_email(self, tenant: UUID, user_id: UUID, current: str, new_email: str) -> None:
        """Mail a link to the new address that makes it this user's; the answer does not tell whether it is free."""
        address = email(new_email)
        self._mails.count(str(user_id))
        user = await self._proven(tenant, user_id, current)
        if await self._store.resolve_email(address) is not None:
            await self._store.send(tenant, None, self._links.mail(LetterKind.KNOWN, address))
            return
        link, token = self._links.new(user.id, LinkKind.CHANGE, new_email=address)
        await self._store.send(tenant, link, self._links.mail(LetterKind.CHANGE, address, link, token))

    async def delete(self, tenant: UUID, user_id: UUID, current: str) -> None:
        """Delete the account; the last one takes the tenant, its streams and tokens along.

        Raises BadCredentials, and OperatorStays: those who run the platform do not close it by accident.
        """
        user = await self._proven(tenant, user_id, current)
        if user.operator:
            raise OperatorStays("An operator's account can not be deleted here.")
        await self._sessions.close_all(tenant, user.id)
        last = await self._store.delete(tenant, user.id, self._clock.now())
        log.info("user.deleted", tenant_id=str(tenant), user_id=str(user_id), tenant_closed=last)

    async def _proven(self, tenant: UUID, user_id: UUID, current: str) -> User:
        self._sign_ins.count(str(user_id))
        found = await self._store.user(tenant, user_id)
        if not await self._passwords.verify(found[1] if found else None, current[:1024]) or found is None:
            raise BadCredentials("The password is wrong.")
        return found[0]

    async def _by_email(self, address: str) -> tuple[User, str] | None:
        known = await self._store.resolve_email(address)
        return await self._store.user(*known) if known else None

    async def _use(self, token: str, kind: LinkKind) -> tuple[UUID, Link]:
        found = await self._store.resolve_link(digest(token))
        link = await self._store.use_link(*found, kind, self._clock.now()) if found else None
        if found is None or link is None:
            raise BadLink(_DEAD_LINK)
        return found[0], link
