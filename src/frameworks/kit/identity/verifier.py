"""Verifying: any credential of the platform becomes a `Principal`, any other signed document its claims."""

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from frameworks.kit.clock import Clock
from frameworks.kit.identity.keys import BadToken, Key, key_from_jwk, public_jwk, read, unverified_typ
from frameworks.kit.identity.principal import Principal, PrincipalKind
from frameworks.kit.identity.trust import TrustStore

PLATFORM = "frameworks"
"""The audience of tokens that any service may accept and pass on: those of users and API tokens."""

_LEEWAY = timedelta(seconds=30)
_USER_ISSUER = "commodore"
_NODE_ISSUER = "quartermaster"


class Verifier:
    """Checks credentials against the trust store; remembers a verified one by its hash until it expires."""

    def __init__(self, trust: TrustStore, clock: Clock, *, capacity: int = 10_000) -> None:
        self._trust = trust
        self._clock = clock
        self._capacity = capacity
        self._verified: OrderedDict[Hashable, tuple[datetime, Any]] = OrderedDict()
        self._keys: dict[str, tuple[str, Key]] = {}
        self._stamp = 0

    def principal(self, token: str, audience: str) -> Principal:
        """Who presents `token` to the service `audience`; raises Unauthenticated."""
        slot = (_digest(token), audience)
        known: Principal | None = self._recall(slot)
        if known is None:
            known = self._read_principal(token, audience)
            self._remember(slot, known.expires, known)
        return known

    def claims(self, token: str, *, typ: str, issuer: str, grace: timedelta = timedelta(0)) -> dict[str, Any]:
        """The claims of a valid document of sort `typ` signed by `issuer`; raises Unauthenticated.

        `grace` is for documents about the past: they are read that long after they expired.
        """
        slot = (_digest(token), typ, issuer, grace)
        known: dict[str, Any] | None = self._recall(slot)
        if known is None:
            known = self._read(token, typ, issuer, grace)
            self._remember(slot, _instant(known, "exp") + grace, known)
        return dict(known)

    def jwks(self, service: str) -> dict[str, list[dict[str, Any]]]:
        """The public keys of `service` as a JWK set, newest first, for others to verify its tokens with."""
        return {"keys": [public_jwk(key) for key in self._trust.public_keys().get(service, [])]}

    def _recall(self, slot: Hashable) -> Any:
        found = self._verified.get(slot)
        if found is None:
            return None
        if found[0] <= self._clock.now() - _LEEWAY:
            del self._verified[slot]
            return None
        self._verified.move_to_end(slot)
        return found[1]

    def _remember(self, slot: Hashable, expires: datetime, value: object) -> None:
        self._verified[slot] = (expires, value)
        if len(self._verified) > self._capacity:
            self._verified.popitem(last=False)

    def _read_principal(self, token: str, audience: str) -> Principal:
        match unverified_typ(token):
            case "user":
                return _user(self._read(token, "user", _USER_ISSUER))
            case "service":
                return _service(self._read(token, "service", None), audience)
            case "node":
                return self._node(token, audience)
            case _:
                raise BadToken("This document is not a credential.")

    def _read(
        self, token: str, typ: str, issuer: str | None, grace: timedelta = timedelta(0)
    ) -> dict[str, Any]:
        header, claims = read(token, self._signer)
        owner = self._keys[header["kid"]][0]
        if header.get("typ") != typ or claims.get("iss") != owner or issuer not in (None, owner):
            raise BadToken("The credential is of another sort or issuer.", typ=typ)
        self._check_times(claims, grace)
        return claims

    def _node(self, token: str, audience: str) -> Principal:
        certificates: list[dict[str, Any]] = []

        def certified(header: dict[str, Any]) -> Key:
            certificate = self.claims(str(header.get("crt", "")), typ="node_cert", issuer=_NODE_ISSUER)
            certificates.append(certificate)
            return key_from_jwk(_mapping(certificate, "cnf").get("jwk"))

        header, claims = read(token, certified)
        certificate = certificates[0]
        self._check_times(claims)
        if header.get("typ") != "node" or claims.get("sub") != certificate.get("node_id"):
            raise BadToken("The node's token does not match its certificate.")
        _check_audience(claims, {audience, PLATFORM})
        return Principal(
            PrincipalKind.NODE,
            _text(certificate, "node_id"),
            tenant=_uuid(certificate, "owner_tenant"),
            cluster=_text(certificate, "cluster"),
            region=_region(certificate),
            expires=min(_instant(claims, "exp"), _instant(certificate, "exp")),
        )

    def _signer(self, header: dict[str, Any]) -> Key:
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise BadToken("The credential names no key.")
        if kid not in self._keys:
            self._reload()
        if kid not in self._keys:
            raise BadToken("The credential is signed by a key that is not trusted.")
        return self._keys[kid][1]

    def _reload(self) -> None:
        stamp = self._trust.stamp()
        if stamp == self._stamp:
            return
        keys = self._trust.public_keys()
        self._keys = {str(key.kid): (name, key) for name, some in keys.items() for key in some}
        self._stamp = stamp

    def _check_times(self, claims: dict[str, Any], grace: timedelta = timedelta(0)) -> None:
        now = self._clock.now()
        if _instant(claims, "exp") <= now - _LEEWAY - grace:
            raise BadToken("The credential has expired.")
        for name in ("nbf", "iat"):
            if name in claims and _instant(claims, name) > now + _LEEWAY:
                raise BadToken("The credential is not valid yet.")


def _user(claims: dict[str, Any]) -> Principal:
    kind = claims.get("kind")
    if kind not in (PrincipalKind.USER.value, PrincipalKind.API_TOKEN.value):
        raise BadToken("The credential names no sort of user.")
    _check_audience(claims, {PLATFORM})
    return Principal(
        PrincipalKind(kind),
        _text(claims, "sub"),
        tenant=_uuid(claims, "tenant"),
        scopes=_names(claims, "scopes"),
        roles=_names(claims, "roles"),
        expires=_instant(claims, "exp"),
    )


def _service(claims: dict[str, Any], audience: str) -> Principal:
    _check_audience(claims, {audience})
    cluster = _text(claims, "cluster") if "cluster" in claims else None
    return Principal(
        PrincipalKind.SERVICE, _text(claims, "iss"), cluster=cluster, expires=_instant(claims, "exp")
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _check_audience(claims: dict[str, Any], accepted: set[str]) -> None:
    named = claims.get("aud")
    names = named if isinstance(named, list) else [named]
    if not any(isinstance(name, str) and name in accepted for name in names):
        raise BadToken("The credential is meant for another service.")


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise BadToken(f"The credential lacks {name}.")
    return value


def _region(certificate: dict[str, Any]) -> str | None:
    """Where the certificate says the node stands; older ones say nothing."""
    region = certificate.get("region")
    if region is not None and not isinstance(region, str):
        raise BadToken("The certificate's region is not a name.")
    return region


def _mapping(claims: dict[str, Any], name: str) -> dict[str, Any]:
    value = claims.get(name)
    if not isinstance(value, dict):
        raise BadToken(f"The credential lacks {name}.")
    return value


def _names(claims: dict[str, Any], name: str) -> frozenset[str]:
    value = claims.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadToken(f"The credential's {name} are not a list of names.")
    return frozenset(value)


def _uuid(claims: dict[str, Any], name: str) -> UUID:
    try:
        return UUID(_text(claims, name))
    except ValueError as error:
        raise BadToken(f"The credential's {name} is not an id.") from error


def _instant(claims: dict[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadToken(f"The credential lacks {name}.")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise BadToken(f"The credential's {name} is not an instant.") from error
