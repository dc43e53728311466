"""Who is in front of us: `X-Forwarded-*` is believed from named proxies, and removed from anyone else."""

import ipaddress
from dataclasses import dataclass
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix"
"""Names whoever connects over a unix socket."""

_FORWARDED = (
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"forwarded",
)


@dataclass(frozen=True, slots=True)
class Proxies:
    """Addresses of the proxies in front of a listener; none by default."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def named(cls, names: tuple[str, ...]) -> "Proxies":
        """From addresses, networks (`10.0.0.0/8`) and `unix`; raises ValueError on anything else."""
        networks = tuple(ipaddress.ip_network(name) for name in names if name != UNIX)
        return cls(networks, UNIX in names)

    def apply(self, scope: Any) -> Any:
        """The scope as the client in front of our proxies made it."""
        forwarded = {name: value for name, value in scope["headers"] if name in _FORWARDED}
        if not forwarded:
            return scope
        headers = [(name, value) for name, value in scope["headers"] if name not in _FORWARDED]
        if not self._trusts(scope.get("client")):
            return {**scope, "headers": headers}
        scheme = _text(forwarded, b"x-forwarded-proto", scope["scheme"])
        if b"x-forwarded-host" in forwarded:
            headers = [pair for pair in headers if pair[0] != b"host"]
            headers.append((b"host", forwarded[b"x-forwarded-host"]))
        client = self._client(_text(forwarded, b"x-forwarded-for", ""), scope.get("client"))
        return {**scope, "headers": headers, "client": client, "scheme": _scheme(scheme, scope["type"])}

    def _client(self, chain: str, peer: Any) -> Any:
        """The nearest address that is not one of ours: what is to its left was written by whoever it is."""
        for hop in reversed([part.strip() for part in chain.split(",")]):
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                return peer
            peer = (hop, 0)
            if not self._trusts(peer):
                return peer
        return peer

    def _trusts(self, client: Any) -> bool:
        if client is None:
            return self.unix
        try:
            address = ipaddress.ip_address(client[0])
        except ValueError:
            return False
        return any(address in network for network in self.networks)


NONE = Proxies()
"""Nobody is in front of the listener."""


def _text(forwarded: dict[bytes, bytes], name: bytes, default: str) -> str:
    return forwarded[name].decode("latin-1") if name in forwarded else default


def _scheme(scheme: str, kind: str) -> str:
    secure = scheme.strip().lower() in {"https", "wss"}
    if kind == "websocket":
        return "wss" if secure else "ws"
    return "https" if secure else "http"
