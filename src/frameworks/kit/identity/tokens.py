"""Signing: a service's own identity, and a node's, which carries the certificate it was enrolled with."""

from datetime import timedelta
from typing import Any

from frameworks.kit.clock import Clock
from frameworks.kit.identity.keys import Key, sign

_BEARER = timedelta(minutes=5)
_AUDIENCES = 256


class _Bearers:
    """Short-lived tokens by audience, signed again at half life."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}

    def fresh(self, audience: str) -> str | None:
        kept = self._kept.get(audience)
        return kept[1] if kept and self._clock.monotonic() < kept[0] else None

    def keep(self, audience: str, token: str) -> str:
        if len(self._kept) >= _AUDIENCES:
            self._kept.clear()
        self._kept[audience] = (self._clock.monotonic() + _BEARER.total_seconds() / 2, token)
        return token


class Identity:
    """A service's own key: it signs what the service vouches for, and the tokens it calls others with."""

    def __init__(self, service: str, key: Key, clock: Clock, *, cluster: str | None = None) -> None:
        self.service = service
        self._key = key
        self._clock = clock
        self._cluster = {"cluster": cluster} if cluster else {}
        self._bearers = _Bearers(clock)

    def sign(self, claims: dict[str, Any], *, typ: str, lifetime: timedelta) -> str:
        """A signed document of sort `typ`, valid for `lifetime`; adds `iss`, `iat` and `exp` to `claims`."""
        return sign(claims | {"iss": self.service} | _times(self._clock, lifetime), self._key, typ=typ)

    def bearer(self, audience: str) -> str:
        """A token that says "this is me" to the service `audience`; signed anew at half its life."""
        token = self._bearers.fresh(audience)
        if token is None:
            claims = {"sub": self.service, "aud": audience} | self._cluster
            token = self._bearers.keep(audience, self.sign(claims, typ="service", lifetime=_BEARER))
        return token


class NodeIdentity:
    """A node's own key and the certificate that binds it to a cluster and its owner."""

    def __init__(self, node_id: str, key: Key, certificate: str, clock: Clock) -> None:
        self.node_id = node_id
        self.certificate = certificate
        self._key = key
        self._clock = clock
        self._bearers = _Bearers(clock)

    def bearer(self, audience: str) -> str:
        """A token that says "this is me" to `audience`, verifiable without asking the control plane."""
        token = self._bearers.fresh(audience)
        if token is None:
            claims = {"sub": self.node_id, "aud": audience} | _times(self._clock, _BEARER)
            token = self._bearers.keep(audience, sign(claims, self._key, typ="node", crt=self.certificate))
        return token


def _times(clock: Clock, lifetime: timedelta) -> dict[str, Any]:
    now = clock.now()
    return {"iat": int(now.timestamp()), "exp": int((now + lifetime).timestamp())}
