"""How often the API is asked, by whom and for what: counted here, told once a minute, never who asked what."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from frameworks.contracts import topics
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.control.bridge.domain import Caller
from frameworks.control.bridge.peers import SERVICE
from frameworks.control.bridge.transport.documents import Operation
from frameworks.kit.clock import Clock, micros, uuid7
from frameworks.kit.identity import PrincipalKind

KINDS = {PrincipalKind.USER: "user", PrincipalKind.API_TOKEN: "api_token"}
MOST_ROWS = 20_000
MOST_NAMES = 100
"""Operation names of one tenant and minute that are told apart."""
OTHERS = "(others)"
MOST_CALLERS = 100
LONGEST_NAME = 80


class Outgoing(Protocol):
    """Where events go."""

    def offer(self, event: events.Event) -> bool:
        """Take the event; False when too many wait."""


class _Row(NamedTuple):
    tenant: UUID
    auth: str
    kind: str
    name: str


@dataclass(slots=True)
class _Count:
    requests: int = 0
    errors: int = 0
    duration_us: int = 0
    complexity: int = 0
    callers: set[int] = field(default_factory=set)


class RequestCounts:
    """Counts operations of tenants; the public has no tenant and is not counted."""

    def __init__(self, outgoing: Outgoing, clock: Clock) -> None:
        self._outgoing = outgoing
        self._clock = clock
        self._counts: dict[_Row, _Count] = {}
        self._names: dict[UUID, set[str]] = {}

    def observe(self, caller: Caller, operation: Operation, seconds: float, failed: bool) -> None:
        """Count one operation that ran."""
        principal, auth = caller.principal, KINDS.get(caller.principal.kind)
        if auth is None or principal.tenant is None:
            return
        row = _Row(principal.tenant, auth, operation.kind, self._name(principal.tenant, operation.name))
        count = self._counts.get(row)
        if count is None:
            if len(self._counts) >= MOST_ROWS:
                self.tell()
            count = self._counts[row] = _Count()
        count.requests += 1
        count.errors += failed
        count.duration_us += round(seconds * 1e6)
        count.complexity += operation.cost
        if len(count.callers) < MOST_CALLERS:
            count.callers.add(_hash(principal.subject))

    def tell(self) -> None:
        """Hand on what was counted, and begin anew."""
        counts, self._counts, self._names = self._counts, {}, {}
        for event in self._events(counts.items()):
            self._outgoing.offer(event)

    async def tell_forever(self, every: timedelta) -> None:
        """Tell now and then."""
        while True:
            await self._clock.sleep(every.total_seconds())
            self.tell()

    def _name(self, tenant: UUID, name: str) -> str:
        names = self._names.setdefault(tenant, set())
        name = name[:LONGEST_NAME]
        if name not in names and len(names) >= MOST_NAMES:
            return OTHERS
        names.add(name)
        return name

    def _events(self, counts: Iterable[tuple[_Row, _Count]]) -> Iterable[events.Event]:
        now = micros(self._clock.now())
        for row, count in counts:
            yield events.Event(
                event_id=uuid7().bytes,
                type=topics.API_REQUESTS.name,
                occurred_at=now,
                schema_version=topics.SCHEMA_VERSION,
                tenant_id=row.tenant.bytes,
                node_id=SERVICE,
                source=SERVICE,
                api_requests=events.ApiRequests(
                    auth_kind=row.auth,
                    operation_kind=row.kind,
                    operation=row.name,
                    requests=count.requests,
                    errors=count.errors,
                    duration_us=count.duration_us,
                    complexity=count.complexity,
                    callers=sorted(count.callers),
                ),
            )


def _hash(subject: str) -> int:
    return int.from_bytes(hashlib.blake2b(subject.encode(), digest_size=8, person=b"caller").digest(), "big")
