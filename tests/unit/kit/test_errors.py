"""The table of kinds is total, and every sort of failure knows its place in it."""

import grpc
import pytest

from frameworks.kit.errors import (
    CODES,
    Conflict,
    Fault,
    Forbidden,
    Kind,
    Limited,
    NotFound,
    Refusal,
    Unavailable,
)


def test_every_kind_has_codes_for_every_transport() -> None:
    assert set(CODES) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_the_codes_of_a_kind_exist(kind: Kind) -> None:
    codes = CODES[kind]
    assert codes.grpc in grpc.StatusCode.__members__
    assert 400 <= codes.http < 600
    assert codes.graphql == codes.graphql.upper()


def test_two_kinds_never_share_a_grpc_status() -> None:
    assert len({codes.grpc for codes in CODES.values()}) == len(CODES)


def test_a_refusal_is_no_unavailability() -> None:
    assert not issubclass(Refusal, Unavailable)
    assert all(issubclass(kind, Refusal) for kind in (Forbidden, NotFound, Conflict, Limited))


def test_a_fault_keeps_its_facts_apart_from_its_sentence() -> None:
    fault = Limited("Slow down.", retry_after=3)
    assert fault.message == str(fault) == "Slow down."
    assert fault.facts == {"retry_after": 3}


def test_a_bare_fault_counts_as_a_bug() -> None:
    assert Fault("odd").kind is Kind.INTERNAL
