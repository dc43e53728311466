"""API tokens and refresh tokens: their form and the rules of their lives."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from frameworks.control.commodore.domain.accounts import Invalid
from frameworks.kit.errors import NotFound, Unauthenticated

REFRESH_PREFIX = "fr_"
RACE = timedelta(minutes=10)
LAST_USED_STEP = timedelta(minutes=1)
MOST_API_TOKENS = 100
API_SCOPES = frozenset(
    {
        "streams:read",
        "streams:write",
        "analytics:read",
        "developer:read",
        "developer:write",
        "billing:read",
        "infrastructure:read",
        "infrastructure:write",
    }
)


class BadSession(Unauthenticated):
    """A refresh token that no longer opens a session."""

    code = "commodore.bad_session"


class BadApiToken(Unauthenticated):
    """An API token that is unknown, revoked or expired."""

    code = "commodore.bad_api_token"


class NoSuchToken(NotFound):
    """No such API token."""

    code = "commodore.no_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token as it is kept; `family` is the session it belongs to."""

    id: UUID
    user_id: UUID
    family: UUID
    parent: UUID | None
    token_hash: str
    issued_at: datetime
    expires_at: datetime
    rotated_at: datetime | None = None
    revoked_at: datetime | None = None


class Verdict(Enum):
    """What to do with a refresh token that is presented."""

    ROTATE = auto()
    """Its first use, or one of several tabs at once: a fresh pair."""
    RECOVER = auto()
    """The answer to its first use was lost: a fresh pair instead of the one nobody received."""
    REVOKE = auto()
    """Used again although its successor is in use, so two hold the session: end it for both."""
    REFUSE = auto()
    """Expired or revoked."""


def judge(token: RefreshToken, *, successor_used: bool, now: datetime) -> Verdict:
    """What presenting `token` now means."""
    if token.revoked_at is not None or token.expires_at <= now:
        return Verdict.REFUSE
    if token.rotated_at is None or now - token.rotated_at <= RACE:
        return Verdict.ROTATE
    return Verdict.REVOKE if successor_used else Verdict.RECOVER


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """An API token as its owner sees it later: without its value."""

    id: UUID
    user_id: UUID
    name: str
    scopes: tuple[str, ...]
    status: str
    last_used_at: datetime | None
    expires_at: datetime | None
    created_at: datetime


def scopes(asked: Iterable[str], held: frozenset[str]) -> frozenset[str]:
    """The scopes a token may carry: known ones that its maker holds, reading included in writing; raises Invalid."""
    wanted = frozenset(asked)
    unknown = wanted - API_SCOPES
    if unknown or not wanted:
        raise Invalid(f"Choose scopes among {', '.join(sorted(API_SCOPES))}.", field="scopes")
    full = with_reads(wanted)
    if not full <= held:
        raise Invalid(f"You do not hold {', '.join(sorted(full - held))} yourself.", field="scopes")
    return full


def with_reads(given: frozenset[str]) -> frozenset[str]:
    """Writing includes reading."""
    reads = {scope.removesuffix(":write") + ":read" for scope in given if scope.endswith(":write")}
    return given | (reads & API_SCOPES)


def split_api_token(text: str) -> tuple[str, str]:
    """The public id and the secret of an API token; raises BadApiToken."""
    match = _API_TOKEN.fullmatch(text)
    if match is None:
        raise BadApiToken("This API token is not valid.")
    return match[1], match[2]


_API_TOKEN = re.compile(r"fw_([a-z0-9]{16})_([a-z0-9]{40})")
