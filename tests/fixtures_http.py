"""HTTP on this machine, as tests speak it."""

import ssl
from typing import Any

import httpx

_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(**options: Any) -> httpx.AsyncClient:
    """A client for loopback: it does not read the world's certificates, which costs more than all its requests."""
    return httpx.AsyncClient(verify=_TRUSTS_NOBODY, trust_env=False, **options)
