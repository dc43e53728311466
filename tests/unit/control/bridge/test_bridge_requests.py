"""API requests are counted by tenant, sort of caller and operation, within bounds, and told as sums."""

from typing import Any, cast
from uuid import UUID

from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.control.bridge.api.requests import MOST_NAMES, OTHERS, RequestCounts
from frameworks.control.bridge.domain import Caller
from frameworks.control.bridge.transport.documents import Operation
from frameworks.kit.clock import FakeClock, uuid7
from frameworks.kit.identity import Principal, PrincipalKind


class Kept(list[events.Event]):
    """Where events go."""

    def offer(self, event: events.Event) -> bool:
        """Take it."""
        self.append(event)
        return True


def caller(tenant: UUID, subject: str = "u1", kind: PrincipalKind = PrincipalKind.USER) -> Caller:
    """Someone of a tenant."""
    return Caller(Principal(kind, subject, tenant))


def operation(name: str = "Me", kind: str = "query", cost: int = 4) -> Operation:
    """An operation that was asked."""
    return Operation(cast("Any", None), cast("Any", None), kind, name, frozenset(), cost)


async def test_requests_are_told_as_sums_and_once() -> None:
    kept, tenant = Kept(), uuid7()
    counts = RequestCounts(kept, FakeClock())
    counts.observe(caller(tenant, "u1"), operation(), 0.002, False)
    counts.observe(caller(tenant, "u2"), operation(), 0.001, True)
    counts.observe(caller(tenant, "t1", PrincipalKind.API_TOKEN), operation(kind="mutation"), 0, False)
    counts.tell()
    counts.tell()
    assert {UUID(bytes=event.tenant_id) for event in kept} == {tenant}
    found = {event.api_requests.auth_kind: event.api_requests for event in kept}
    assert len(kept) == 2
    user = found["user"]
    assert (user.operation_kind, user.operation, user.requests, user.errors) == ("query", "Me", 2, 1)
    assert (user.duration_us, user.complexity, len(user.callers)) == (3000, 8, 2)
    assert found["api_token"].requests == 1


async def test_tenants_are_kept_apart_and_the_public_is_not_counted() -> None:
    kept, clock = Kept(), FakeClock()
    counts = RequestCounts(kept, clock)
    for tenant in (uuid7(), uuid7()):
        counts.observe(caller(tenant), operation(), 0, False)
    counts.observe(Caller(), operation(), 0, False)
    counts.tell()
    assert len(kept) == 2


async def test_a_caller_that_makes_names_up_gets_one_row_for_the_rest() -> None:
    kept, tenant = Kept(), uuid7()
    counts = RequestCounts(kept, FakeClock())
    for number in range(MOST_NAMES + 50):
        counts.observe(caller(tenant, f"u{number}"), operation(f"Op{number}"), 0, False)
    counts.tell()
    assert len(kept) == MOST_NAMES + 1
    rest = next(e.api_requests for e in kept if e.api_requests.operation == OTHERS)
    assert rest.requests == 50
