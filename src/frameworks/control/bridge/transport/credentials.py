"""What a request brings to prove who it is: a bearer token, or the console's cookie from its own pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ACCESS_COOKIE = "fw_access"
REFRESH_COOKIE = "fw_refresh"
CSRF_HEADER = "x-frameworks-csrf"
"""A header that other origins can not send: no preflight allows it. The console sends it with every POST."""

LONGEST_TOKEN = 8192


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token, if any, and where the request comes from."""

    token: str | None
    address: str


def of_request(headers: Mapping[str, str], cookies: Mapping[str, str], address: str) -> Credentials:
    """Of an HTTP request: the cookie counts only together with `CSRF_HEADER`."""
    token = bearer(headers.get("authorization"))
    if token is None and headers.get(CSRF_HEADER):
        token = _bounded(cookies.get(ACCESS_COOKIE))
    return Credentials(token, address)


def of_socket(
    payload: Mapping[str, Any], headers: Mapping[str, str], cookies: Mapping[str, str], address: str
) -> Credentials:
    """Of a socket's connection_init: the cookie counts only when the page came from this very host."""
    given = next((v for k, v in payload.items() if k.lower() == "authorization" and isinstance(v, str)), None)
    token = bearer(given)
    if token is None and same_origin(headers):
        token = _bounded(cookies.get(ACCESS_COOKIE))
    return Credentials(token, address)


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header; other text stands for itself and will not verify."""
    if not header:
        return None
    scheme, _, token = header.partition(" ")
    return _bounded(token.strip() if scheme.lower() == "bearer" else header)


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether the page that opened this connection was served by the host it connects to."""
    origin = headers.get("origin")
    return bool(origin) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _bounded(token: str | None) -> str | None:
    return token[:LONGEST_TOKEN] if token else None
