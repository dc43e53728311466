"""Rules of Quartermaster's and Purser's domains, and of the messages made of them."""

import dataclasses
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.contracts.pb import commodore_v1_pb2 as commodore_pb
from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.contracts.permissions import purser as purser_rules
from frameworks.contracts.permissions import quartermaster as quartermaster_rules
from frameworks.control.commodore.domain.admission import Admission, RefusedIngest
from frameworks.control.commodore.domain.streams import Stream
from frameworks.control.commodore.domain.tokens import ApiToken
from frameworks.control.commodore.service.resolution import IngestTarget
from frameworks.control.commodore.service.sessions import Session
from frameworks.control.purser.api import SERVICE as PURSER
from frameworks.control.quartermaster.api import SERVICE as QUARTERMASTER
from frameworks.control.quartermaster.domain import (
    BadEnrollment,
    Cluster,
    ClusterAccess,
    Enrollment,
    Invalid,
    Node,
    ServiceInstance,
    Tenant,
    admit_enrollment,
    cluster_health,
    public_key,
    tenant_changes,
)
from frameworks.control.quartermaster.service.enrollment import Certificate
from frameworks.kit.sql import mismatches

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = Enrollment(
    id=UUID(int=1), cluster_id="c", name="n", expires_at=NOW + timedelta(hours=1), created_at=NOW
)


def test_a_fresh_token_is_consumed() -> None:
    assert admit_enrollment(TOKEN, "n1", "k1", NOW)


def test_a_used_token_serves_its_own_node_only() -> None:
    used = dataclasses.replace(TOKEN, used_at=NOW, node_id="n1", public_key="k1")
    assert not admit_enrollment(used, "n1", "k1", NOW + timedelta(days=9))
    for node, key in (("n1", "k2"), ("n2", "k1")):
        with pytest.raises(BadEnrollment):
            admit_enrollment(used, node, key, NOW)


def test_an_unknown_or_late_token_is_refused_alike() -> None:
    with pytest.raises(BadEnrollment) as unknown:
        admit_enrollment(None, "n1", "k1", NOW)
    with pytest.raises(BadEnrollment) as late:
        admit_enrollment(TOKEN, "n1", "k1", TOKEN.expires_at)
    assert unknown.value.message == late.value.message


@pytest.mark.parametrize(
    ("nodes", "healthy", "said"),
    [(0, 0, "unhealthy"), (2, 0, "unhealthy"), (2, 1, "degraded"), (2, 2, "healthy")],
)
def test_a_cluster_is_as_healthy_as_its_nodes(nodes: int, healthy: int, said: str) -> None:
    assert cluster_health(nodes, healthy) == said


@given(st.one_of(st.text(), st.dictionaries(st.text(), st.integers() | st.text()).map(json.dumps)))
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        public_key(text)


def test_a_private_key_loses_its_private_half() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "d": "secret"}
    assert "secret" not in public_key(json.dumps(jwk))


@given(
    st.dictionaries(
        st.sampled_from(["name", "subdomain", "custom_domain", "logo_url", "primary_color"]), st.text()
    )
)
def test_changes_are_checked_or_refused(changes: dict[str, str]) -> None:
    with suppress(Invalid):
        checked = tenant_changes(changes)
        assert checked.keys() == changes.keys()
        assert tenant_changes(checked) == checked


def test_what_a_tenant_may_not_change_is_refused() -> None:
    with pytest.raises(Invalid):
        tenant_changes({"operator": "true"})


@pytest.mark.parametrize(
    ("message", "kind", "unsent"),
    [
        (pb.Tenant, Tenant, set()),
        (pb.Cluster, Cluster, set()),
        (pb.ClusterAccess, ClusterAccess, set()),
        (pb.Node, Node, set()),
        (pb.EnrollmentToken, Enrollment, {"used_at", "node_id", "public_key"}),
        (pb.NodeCertificate, Certificate, set()),
        (pb.ServiceInstance, ServiceInstance, set()),
        (commodore_pb.Stream, Stream, set()),
        (commodore_pb.Session, Session, set()),
        (commodore_pb.ApiToken, ApiToken, {"user_id"}),
        (commodore_pb.RefusedIngest, RefusedIngest, set()),
        (commodore_pb.Admission, Admission, set()),
        (commodore_pb.IngestTarget, IngestTarget, set()),
    ],
)
def test_every_field_of_a_value_is_a_field_of_its_message(
    message: type, kind: type, unsent: set[str]
) -> None:
    names = {field.name for field in dataclasses.fields(kind)}
    assert mismatches(message, names)[1] == unsent


def test_every_call_has_a_rule() -> None:
    assert {method.name for method in QUARTERMASTER.methods} == quartermaster_rules.RULES.keys()
    assert {method.name for method in PURSER.methods} == purser_rules.RULES.keys()
