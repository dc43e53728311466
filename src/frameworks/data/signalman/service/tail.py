"""The newest records of the log, of every tenant: what lets a replica resume after its own restart.

A tenant whose first subscriber comes is shown what happened while history had not caught up yet.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from frameworks.data.signalman.domain import positions

RECORD_BYTES = 300
"""What a record takes beside its value."""


@dataclass(frozen=True, slots=True)
class Raw:
    """One record as the log has it: events of one tenant."""

    tenant: UUID
    partition: int
    offset: int
    value: bytes


class Tail:
    """Records since `floor`, by tenant; the oldest give way when they take too much memory."""

    def __init__(self, octets: int) -> None:
        self.floor: list[int] = []
        self._octets = octets
        self._held = 0
        self._records: deque[Raw] = deque()
        self._by_tenant: dict[UUID, deque[Raw]] = {}

    def begin(self, floor: Sequence[int]) -> None:
        """Forget everything; what comes starts at `floor`."""
        self.floor = list(floor)
        self._held = 0
        self._records.clear()
        self._by_tenant.clear()

    def add(self, raw: Raw) -> None:
        """Keep a record."""
        self._records.append(raw)
        self._by_tenant.setdefault(raw.tenant, deque()).append(raw)
        self._held += len(raw.value) + RECORD_BYTES
        while self._held > self._octets:
            self._drop(self._records.popleft())

    def of(self, tenant: UUID, limit: int) -> tuple[list[int], list[Raw]]:
        """The tenant's last records, at most `limit`, and the place since which they are complete."""
        kept = self._by_tenant.get(tenant, ())
        floor, skipped = list(self.floor), max(0, len(kept) - limit)
        records = list(kept)
        for raw in records[:skipped]:
            floor[raw.partition] = positions.key(raw.offset + 1)
        return floor, records[skipped:]

    def _drop(self, raw: Raw) -> None:
        mine = self._by_tenant[raw.tenant]
        mine.popleft()
        if not mine:
            del self._by_tenant[raw.tenant]
        self._held -= len(raw.value) + RECORD_BYTES
        self.floor[raw.partition] = positions.key(raw.offset + 1)
