"""One `Principal` per request, and the `Rule` that says which principals may make a call."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

from frameworks.kit.errors import Forbidden, Unauthenticated

NEVER = datetime.max.replace(tzinfo=UTC)


class PrincipalKind(Enum):
    """The sorts of caller there are."""

    USER = "user"
    API_TOKEN = "api_token"
    SERVICE = "service"
    NODE = "node"
    PUBLIC = "public"

    # Members are single objects; Enum's own hash is a Python function, and rules are checked on every call.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller as its verified credential describes it; the only source of a tenant."""

    kind: PrincipalKind
    subject: str
    """User id, token id, service name or node id; empty for the public."""
    tenant: UUID | None = None
    """The tenant acted for; of a node, the tenant that owns it; None for services and the public."""
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    cluster: str | None = None
    region: str | None = None
    """Where a node stands, perhaps nowhere; None for everybody else, and when its certificate does not tell."""
    expires: datetime = NEVER


PUBLIC = Principal(PrincipalKind.PUBLIC, "")
"""Whoever calls without a credential."""

_BEARERS = frozenset({PrincipalKind.USER, PrincipalKind.API_TOKEN})


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may make a call: `kinds`, narrowed by `scope` and `role` (users, API tokens) and by `services`."""

    kinds: frozenset[PrincipalKind]
    scope: str | None = None
    """The scope that users and API tokens must hold."""
    services: frozenset[str] | None = None
    """The services that may call; None means any, when `kinds` has services at all."""
    role: str | None = None
    """The role that users and API tokens must hold."""

    @classmethod
    def allow(
        cls,
        *kinds: PrincipalKind,
        scope: str | None = None,
        services: Iterable[str] | None = None,
        role: str | None = None,
    ) -> "Rule":
        """A rule for `kinds`; naming `services` admits those services too, and no others."""
        named = None if services is None else frozenset(services)
        admitted = frozenset(kinds) | ({PrincipalKind.SERVICE} if named is not None else frozenset())
        return cls(admitted, scope, named, role)

    def check(self, principal: Principal) -> None:
        """Return if `principal` may call; raises Unauthenticated (no credential) or Forbidden."""
        if PrincipalKind.PUBLIC in self.kinds:
            return
        if principal.kind is PrincipalKind.PUBLIC:
            raise Unauthenticated("Sign in or send a token to do this.")
        if principal.kind not in self.kinds:
            raise Forbidden("This sort of caller may not do this.", caller=principal.kind.value)
        if principal.kind in _BEARERS:
            self._check_bearer(principal)
        if principal.kind is PrincipalKind.SERVICE:
            self._check_service(principal)

    def _check_service(self, principal: Principal) -> None:
        if self.services is not None and principal.subject not in self.services:
            raise Forbidden("This service may not do this.", caller=principal.subject)

    def _check_bearer(self, principal: Principal) -> None:
        if self.scope is not None and self.scope not in principal.scopes:
            raise Forbidden(f"This needs the scope {self.scope}.", scope=self.scope)
        if self.role is not None and self.role not in principal.roles:
            raise Forbidden(f"This needs the role {self.role}.", role=self.role)
