"""Who is calling: principals, rules, trust, and the tokens that carry an identity between processes."""

from frameworks.kit.identity.keys import Key, key_from_text, key_text, new_key, public_jwk
from frameworks.kit.identity.principal import PUBLIC, Principal, PrincipalKind, Rule
from frameworks.kit.identity.tokens import Identity, NodeIdentity
from frameworks.kit.identity.trust import TrustStore, register_service
from frameworks.kit.identity.verifier import PLATFORM, Verifier

__all__ = [
    "PLATFORM",
    "PUBLIC",
    "Identity",
    "Key",
    "NodeIdentity",
    "Principal",
    "PrincipalKind",
    "Rule",
    "TrustStore",
    "Verifier",
    "key_from_text",
    "key_text",
    "new_key",
    "public_jwk",
    "register_service",
]
