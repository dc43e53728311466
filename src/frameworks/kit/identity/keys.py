"""Ed25519 keys as JWKs, and the one pinned way to sign and read tokens with them (RFC 7515, RFC 9864)."""

import json
from collections.abc import Callable
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter

from frameworks.kit.errors import Unauthenticated

Key = OKPKey
ALGORITHM = "Ed25519"


class _Registry(jws.JWSRegistry):
    max_header_length = 4096
    max_payload_length = 65_536
    max_signature_length = 128


_REGISTRY = _Registry({"crt": HeaderParameter("Node certificate", "str")}, algorithms=[ALGORITHM])


class BadToken(Unauthenticated):
    """A token that is malformed, expired, of another sort, or not signed by whom it names."""

    code = "auth.bad_token"


def new_key() -> Key:
    """A fresh Ed25519 key pair; its `kid` is its RFC 7638 thumbprint."""
    return OKPKey.generate_key("Ed25519", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)


def key_text(key: Key) -> str:
    """The private key as text, for a file that only its owner reads."""
    return json.dumps(key.as_dict(private=True), sort_keys=True)


def key_from_text(text: str) -> Key:
    """The key that `key_text` wrote; raises ValueError if it is not one."""
    return key_from_jwk(json.loads(text))


def key_from_jwk(jwk: Any) -> Key:
    """The Ed25519 key in a JWK; raises ValueError if it is not one."""
    if not isinstance(jwk, dict) or jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
        raise ValueError("not an Ed25519 JWK")
    try:
        key = OKPKey.import_key(jwk)
    except (JoseError, TypeError) as error:
        raise ValueError(f"not an Ed25519 JWK: {error}") from error
    key.ensure_kid()
    return key


def public_jwk(key: Key) -> dict[str, Any]:
    """The public half, as others may see it."""
    return dict(key.as_dict(private=False))


def sign(claims: dict[str, Any], key: Key, *, typ: str, crt: str | None = None) -> str:
    """A compact token over `claims`; `typ` keeps one sort from passing for another (RFC 8725 §3.11)."""
    header: dict[str, Any] = {"alg": ALGORITHM, "typ": typ}
    header |= {"kid": key.kid} if crt is None else {"crt": crt}
    return jwt.encode(header, dict(claims), key, registry=_REGISTRY)


def read(token: str, find: Callable[[dict[str, Any]], Key]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token that verifies under the key `find(header)` gives; raises BadToken."""
    try:
        verified = jwt.decode(token, lambda unverified: find(unverified.headers()), registry=_REGISTRY)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise BadToken("The credential does not verify.", reason=type(error).__name__) from error
    return verified.header, verified.claims


def unverified_typ(token: str) -> str:
    """The `typ` a token claims, to choose how to verify it; raises BadToken when it is not a token at all."""
    try:
        typ = jws.extract_compact(token.encode(), registry=_REGISTRY).headers().get("typ")
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadToken("The credential is malformed.") from error
    return typ if isinstance(typ, str) else ""
