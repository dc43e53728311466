"""Who may be believed: tokens of users, services and nodes, and everything that must not pass for one."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Forbidden, Unauthenticated
from frameworks.kit.identity import (
    PLATFORM,
    PUBLIC,
    Identity,
    NodeIdentity,
    Principal,
    PrincipalKind,
    Rule,
    TrustStore,
    Verifier,
    key_from_text,
    key_text,
    new_key,
    public_jwk,
    register_service,
)
from frameworks.kit.identity.keys import sign
from frameworks.kit.identity.trust import NoKey

TENANT = uuid4()
MINUTE = timedelta(minutes=1)


class Platform:
    """The trust of one installation, and a clock that moves when told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("bridge", "commodore", "quartermaster", "foghorn"):
            register_service(directory, name)
        self.clock = FakeClock()
        self.trust = TrustStore(directory)
        self.verifier = Verifier(self.trust, self.clock)

    def identity(self, service: str, **options: Any) -> Identity:
        """A service that signs."""
        return Identity(service, self.trust.private_key(service), self.clock, **options)

    def user(self, *, issuer: str = "commodore", lifetime: timedelta = 15 * MINUTE, **claims: Any) -> str:
        """A user's token."""
        given = {
            "sub": "u1",
            "tenant": str(TENANT),
            "kind": "user",
            "aud": [PLATFORM],
            "scopes": ["a"],
            "roles": ["owner"],
        }
        return self.identity(issuer).sign(given | claims, typ="user", lifetime=lifetime)

    def node(self, node_id: str = "n1", **claims: Any) -> NodeIdentity:
        """An enrolled node."""
        key = new_key()
        named = {
            "node_id": "n1",
            "cluster": "eu",
            "owner_tenant": str(TENANT),
            "cnf": {"jwk": public_jwk(key)},
        }
        issuer = self.identity(claims.pop("issuer", "quartermaster"))
        certificate = issuer.sign(named | claims, typ="node_cert", lifetime=60 * MINUTE)
        return NodeIdentity(node_id, key, certificate, self.clock)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A fresh installation."""
    return Platform(tmp_path / "keys")


def test_a_users_token_names_user_tenant_scopes_and_roles(platform: Platform) -> None:
    seen = platform.verifier.principal(platform.user(), "bridge")
    assert (seen.kind, seen.subject, seen.tenant) == (PrincipalKind.USER, "u1", TENANT)
    assert (seen.scopes, seen.roles) == (frozenset({"a"}), frozenset({"owner"}))
    assert seen.expires == platform.clock.now() + 15 * MINUTE


def test_an_api_tokens_bearer_is_told_from_a_user(platform: Platform) -> None:
    assert platform.verifier.principal(platform.user(kind="api_token"), "x").kind is PrincipalKind.API_TOKEN


def test_a_services_token_names_service_and_cluster_and_has_no_tenant(platform: Platform) -> None:
    seen = platform.verifier.principal(platform.identity("bridge", cluster="eu").bearer("purser"), "purser")
    assert (seen.kind, seen.subject, seen.cluster, seen.tenant) == (
        PrincipalKind.SERVICE,
        "bridge",
        "eu",
        None,
    )


def test_a_services_token_is_for_one_service(platform: Platform) -> None:
    with pytest.raises(Unauthenticated, match="another service"):
        platform.verifier.principal(platform.identity("bridge").bearer("purser"), "commodore")


def test_a_node_is_known_by_its_certificate(platform: Platform) -> None:
    seen = platform.verifier.principal(platform.node().bearer("decklog"), "decklog")
    assert (seen.kind, seen.subject, seen.cluster, seen.tenant) == (PrincipalKind.NODE, "n1", "eu", TENANT)


def test_a_node_can_not_use_another_nodes_name(platform: Platform) -> None:
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(platform.node("n2").bearer("decklog"), "decklog")


def test_a_node_can_not_use_another_nodes_certificate(platform: Platform) -> None:
    stolen = NodeIdentity("n1", new_key(), platform.node().certificate, platform.clock)
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(stolen.bearer("decklog"), "decklog")


def test_only_quartermaster_enrols_nodes(platform: Platform) -> None:
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(platform.node(issuer="bridge").bearer("decklog"), "decklog")


@pytest.mark.parametrize(
    "claims",
    [
        {"cnf": {}},
        {"cnf": "x"},
        {"cnf": {"jwk": {"kty": "oct", "k": "aa"}}},
        {"owner_tenant": "x"},
        {"cluster": 1},
    ],
)
def test_a_certificate_that_lacks_something_is_refused(platform: Platform, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(platform.node(**claims).bearer("decklog"), "decklog")


async def test_a_node_is_out_when_its_certificate_ends(platform: Platform) -> None:
    node = platform.node()
    await platform.clock.advance(59 * 60)
    assert platform.verifier.principal(node.bearer("decklog"), "decklog").subject == "n1"
    await platform.clock.advance(120)
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(node.bearer("decklog"), "decklog")


async def test_only_commodore_signs_in_users(platform: Platform) -> None:
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(platform.user(issuer="bridge"), "bridge")


def test_a_claimed_issuer_does_not_help(platform: Platform) -> None:
    claims = {
        "iss": "commodore",
        "sub": "u1",
        "tenant": str(TENANT),
        "kind": "user",
        "aud": PLATFORM,
        "exp": 4e9,
    }
    forged = sign(claims, platform.trust.private_key("bridge"), typ="user")
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(forged, "bridge")


@pytest.mark.parametrize(
    "claims",
    [
        {"tenant": "x"},
        {"tenant": None},
        {"kind": "service"},
        {"kind": None},
        {"sub": ""},
        {"aud": "other"},
        {"aud": None},
        {"aud": {PLATFORM: 1}},
        {"scopes": "a"},
        {"scopes": [1]},
        {"nbf": 4_000_000_000},
    ],
)
def test_a_users_token_with_a_wrong_claim_is_refused(platform: Platform, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(platform.user(**claims), "bridge")


@pytest.mark.parametrize("exp", ["soon", True, None, 1e300, float("nan")])
def test_an_expiry_that_is_no_instant_is_refused(platform: Platform, exp: object) -> None:
    claims = {
        "iss": "commodore",
        "sub": "u",
        "tenant": str(TENANT),
        "kind": "user",
        "aud": PLATFORM,
        "exp": exp,
    }
    token = sign(claims, platform.trust.private_key("commodore"), typ="user")
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(token, "bridge")


async def test_a_token_ends_half_a_minute_after_its_expiry_even_if_remembered(platform: Platform) -> None:
    token = platform.user(lifetime=MINUTE)
    await platform.clock.advance(60 + 29)
    assert platform.verifier.principal(token, "bridge").subject == "u1"
    await platform.clock.advance(2)
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(token, "bridge")


def test_another_sort_of_document_is_no_credential(platform: Platform) -> None:
    attribution = platform.identity("commodore").sign({"stream": "s"}, typ="attribution", lifetime=MINUTE)
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(attribution, "decklog")


def test_a_document_is_read_as_what_it_is(platform: Platform) -> None:
    attribution = platform.identity("commodore").sign({"stream": "s"}, typ="attribution", lifetime=MINUTE)
    claims = platform.verifier.claims(attribution, typ="attribution", issuer="commodore")
    claims["stream"] = "changed"
    again = platform.verifier.claims(attribution, typ="attribution", issuer="commodore")
    assert (again["stream"], again["iss"]) == ("s", "commodore")
    for typ, issuer in (("user", "commodore"), ("attribution", "foghorn")):
        with pytest.raises(Unauthenticated):
            platform.verifier.claims(attribution, typ=typ, issuer=issuer)


def b64(document: object) -> str:
    """A part of a compact token."""
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def test_no_other_algorithm_is_accepted(platform: Platform) -> None:
    public = public_jwk(platform.trust.private_key("commodore"))
    claims = {
        "iss": "commodore",
        "sub": "u",
        "tenant": str(TENANT),
        "kind": "user",
        "aud": PLATFORM,
        "exp": 4e9,
    }
    header = {"kid": public["kid"], "typ": "user"}
    secret = OctKey.import_key(json.dumps(public, sort_keys=True))
    confused = jwt.encode(header | {"alg": "HS256"}, dict(claims), secret)
    unsigned = f"{b64(header | {'alg': 'none'})}.{b64(claims)}."
    for token in (confused, unsigned):
        with pytest.raises(Unauthenticated):
            platform.verifier.principal(token, "bridge")


def test_a_key_of_ones_own_is_not_trusted(platform: Platform) -> None:
    mine = new_key()
    claims = {
        "iss": "commodore",
        "sub": "u",
        "tenant": str(TENANT),
        "kind": "user",
        "aud": PLATFORM,
        "exp": 4e9,
    }
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(sign(claims, mine, typ="user"), "bridge")


def test_a_changed_token_is_refused(platform: Platform) -> None:
    header, payload, signature = platform.user().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    for changed in (
        f"{header}.{b64(claims | {'tenant': str(UUID(int=1))})}.{signature}",
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
    ):
        with pytest.raises(Unauthenticated):
            platform.verifier.principal(changed, "bridge")


@pytest.mark.parametrize("deep", ["[" * 3000, '{"a":' * 600])
def test_a_deeply_nested_header_is_refused(platform: Platform, deep: str) -> None:
    header = base64.urlsafe_b64encode(deep.encode()).decode()
    with pytest.raises(Unauthenticated):
        platform.verifier.principal(f"{header}.e30.AA", "bridge")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """An installation that many examples may use."""
    return Platform(tmp_path_factory.mktemp("shared") / "keys")


@given(
    token=st.text()
    | st.binary().map(lambda raw: raw.decode("latin-1"))
    | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*")
)
def test_any_text_is_refused_as_a_credential(shared: Platform, token: str) -> None:
    with pytest.raises(Unauthenticated):
        shared.verifier.principal(token, "bridge")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["iss", "sub", "aud", "exp", "nbf", "iat", "tenant", "kind", "scopes", "roles", "cluster"]
)


@given(claims=st.dictionaries(NAMES, json_values), typ=st.sampled_from(["user", "service"]))
def test_any_signed_claims_are_read_or_refused(shared: Platform, claims: dict[str, Any], typ: str) -> None:
    valid = {
        "iss": "commodore",
        "aud": PLATFORM,
        "exp": 4_000_000_000,
        "sub": "u",
        "tenant": str(TENANT),
        "kind": "user",
    }
    token = sign(valid | claims, shared.trust.private_key("commodore"), typ=typ)
    try:
        assert shared.verifier.principal(token, PLATFORM).subject
    except Unauthenticated:
        return


def test_the_memory_of_verified_tokens_is_bounded(platform: Platform) -> None:
    verifier = Verifier(platform.trust, platform.clock, capacity=10)
    for number in range(50):
        verifier.principal(platform.user(sub=f"u{number}"), "bridge")
    assert len(verifier._verified) == 10


async def test_a_bearer_is_kept_until_half_of_its_life(platform: Platform) -> None:
    bridge = platform.identity("bridge")
    first = bridge.bearer("purser")
    await platform.clock.advance(140)
    assert bridge.bearer("purser") == first
    await platform.clock.advance(20)
    assert bridge.bearer("purser") != first


def test_a_service_registered_later_is_known_without_a_restart(platform: Platform) -> None:
    platform.verifier.principal(platform.user(), "bridge")
    register_service(platform.directory, "purser")
    token = platform.identity("purser").bearer("bridge")
    assert platform.verifier.principal(token, "bridge").subject == "purser"


def test_after_a_rotation_old_tokens_still_verify_and_new_ones_too(platform: Platform) -> None:
    old = platform.user()
    platform.trust.register("commodore", rotate=True)
    new = platform.user()
    for token in (old, new):
        assert platform.verifier.principal(token, "bridge").subject == "u1"
    assert len(platform.verifier.jwks("commodore")["keys"]) == 2


def test_the_key_set_shows_public_keys_only(platform: Platform) -> None:
    (key,) = platform.verifier.jwks("commodore")["keys"]
    assert key["kty"] == "OKP"
    assert "d" not in key
    assert OKPKey.import_key(key).kid == platform.trust.private_key("commodore").kid
    assert platform.verifier.jwks("nobody") == {"keys": []}


def test_registering_again_keeps_the_key(platform: Platform) -> None:
    before = platform.trust.private_key("bridge").kid
    register_service(platform.directory, "bridge")
    assert platform.trust.private_key("bridge").kid == before


def test_keys_are_readable_by_their_owner_only(platform: Platform) -> None:
    files = list(platform.directory.rglob("*.key"))
    assert len(files) == 5
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    assert platform.directory.stat().st_mode & 0o077 == 0


def test_a_list_of_keys_that_the_root_did_not_sign_is_refused(platform: Platform) -> None:
    forged = sign({"services": {"commodore": [public_jwk(new_key())]}}, new_key(), typ="bundle")
    (platform.directory / "bundle.jws").write_text(forged)
    with pytest.raises(Unauthenticated):
        platform.trust.public_keys()


def test_a_machine_without_the_root_key_registers_nothing(platform: Platform) -> None:
    (platform.directory / "root.key").unlink()
    with pytest.raises(NoKey, match="elsewhere"):
        register_service(platform.directory, "purser")


def test_a_service_that_is_not_registered_has_no_key(platform: Platform) -> None:
    with pytest.raises(NoKey, match="purser"):
        platform.trust.private_key("purser")


@pytest.mark.parametrize("name", ["../x", "", "A", "a/b"])
def test_a_name_that_is_no_services_is_refused(platform: Platform, name: str) -> None:
    with pytest.raises(ValueError, match="not a service name"):
        register_service(platform.directory, name)


def test_a_key_survives_its_text() -> None:
    key = new_key()
    assert key_from_text(key_text(key)).kid == key.kid
    with pytest.raises(ValueError, match="Ed25519"):
        key_from_text('{"kty": "oct", "k": "AA"}')


USER = Principal(
    PrincipalKind.USER, "u1", tenant=TENANT, scopes=frozenset({"streams:read"}), roles=frozenset({"owner"})
)
BRIDGE = Principal(PrincipalKind.SERVICE, "bridge")
NODE = Principal(PrincipalKind.NODE, "bridge", tenant=TENANT)


@pytest.mark.parametrize(
    ("rule", "principal"),
    [
        (Rule.allow(PrincipalKind.PUBLIC), PUBLIC),
        (Rule.allow(PrincipalKind.PUBLIC), NODE),
        (Rule.allow(PrincipalKind.USER), USER),
        (Rule.allow(PrincipalKind.USER, scope="streams:read", role="owner"), USER),
        (Rule.allow(PrincipalKind.SERVICE), BRIDGE),
        (Rule.allow(services=["bridge"]), BRIDGE),
        (Rule.allow(PrincipalKind.NODE, services=["foghorn"], scope="x"), NODE),
    ],
)
def test_whom_the_rule_names_may_call(rule: Rule, principal: Principal) -> None:
    rule.check(principal)


@pytest.mark.parametrize(
    ("rule", "principal"),
    [
        (Rule.allow(PrincipalKind.USER), BRIDGE),
        (Rule.allow(PrincipalKind.USER, scope="streams:write"), USER),
        (Rule.allow(PrincipalKind.USER, role="operator"), USER),
        (Rule.allow(services=["foghorn"]), BRIDGE),
        (Rule.allow(services=[]), BRIDGE),
        (Rule.allow(services=["bridge"]), NODE),
        (Rule.allow(), USER),
    ],
)
def test_whom_the_rule_does_not_name_is_forbidden(rule: Rule, principal: Principal) -> None:
    with pytest.raises(Forbidden):
        rule.check(principal)


def test_without_a_credential_one_is_asked_for() -> None:
    with pytest.raises(Unauthenticated):
        Rule.allow(PrincipalKind.USER).check(PUBLIC)
