"""Accounts: addresses, passwords, roles and what they allow."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import ClassVar
from uuid import UUID

from frameworks.kit.errors import Conflict, Forbidden, Kind, NotFound, Precondition, Refusal

VERIFY_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(hours=1)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128
ROLES = ("owner", "admin", "member", "viewer")

_READ = frozenset({"streams:read", "analytics:read", "infrastructure:read", "account:write"})
_WORK = _READ | {"streams:write", "developer:read", "developer:write"}
_ALL = _WORK | {"billing:read", "infrastructure:write"}
SCOPES_OF_ROLE: dict[str, frozenset[str]] = {"owner": _ALL, "admin": _ALL, "member": _WORK, "viewer": _READ}


class Invalid(Refusal):
    """A value that is not of the form it should have; `field` names it."""

    code: ClassVar[str] = "commodore.invalid"


class BadCredentials(Refusal):
    """Wrong e-mail or password; the answer never says which."""

    kind = Kind.UNAUTHENTICATED
    code = "commodore.invalid_credentials"


class BadProof(Refusal):
    """The proof of work is missing, wrong, late or used."""

    code = "commodore.bad_proof"


class BadLink(Refusal):
    """A mailed link that is unknown, expired or used."""

    code = "commodore.bad_link"


class Inactive(Forbidden):
    """The account is switched off."""

    code = "commodore.account_inactive"


class Unverified(Precondition):
    """The e-mail address is not confirmed yet."""

    code = "commodore.unverified"


class EmailTaken(Conflict):
    """Another account has this e-mail address."""

    code = "commodore.email_taken"


class OperatorStays(Forbidden):
    """Who runs the platform keeps the account."""

    code = "commodore.operator_stays"


class NoSuchUser(NotFound):
    """No such user."""

    code = "commodore.no_user"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person of a tenant."""

    id: UUID
    tenant_id: UUID
    email: str
    first_name: str = ""
    last_name: str = ""
    role: str = "owner"
    operator: bool = False
    verified: bool = False
    active: bool = True
    created_at: datetime

    @property
    def roles(self) -> frozenset[str]:
        """The tenant role, and `operator` for those who run the platform."""
        return frozenset({self.role, "operator"} if self.operator else {self.role})

    @property
    def scopes(self) -> frozenset[str]:
        """What the role allows."""
        return SCOPES_OF_ROLE[self.role]


class LinkKind(Enum):
    """What a mailed link does."""

    VERIFY = "verify"
    RESET = "reset"
    CHANGE = "change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A single-use link as it is kept: the hash of its token."""

    id: UUID
    user_id: UUID
    kind: LinkKind
    token_hash: str
    new_email: str = ""
    created_at: datetime
    expires_at: datetime


def email(text: str) -> str:
    """An address as it is kept: trimmed, lower case; raises Invalid."""
    value = text.strip().lower()
    if len(value) > 254 or not _EMAIL.fullmatch(value):
        raise Invalid("This is not an e-mail address.", field="email")
    return value


def email_hash(address: str) -> str:
    """What the directory finds an account by."""
    return digest(address.strip().lower())


def digest(secret: str) -> str:
    """The hash by which a secret is found; secrets have 160 random bits or more, so a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def password(text: str) -> str:
    """A password fit to be set; raises Invalid."""
    if not SHORTEST_PASSWORD <= len(text) <= LONGEST_PASSWORD:
        raise Invalid(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.", field="password"
        )
    return text


def person(text: str, field: str) -> str:
    """A name, possibly empty, on one line; raises Invalid."""
    value = " ".join(text.split())
    if len(value) > 100 or not value.isprintable():
        raise Invalid("A name has at most 100 printable characters.", field=field)
    return value


_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@(?:{_LABEL}\.)*{_LABEL}")
