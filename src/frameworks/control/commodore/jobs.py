"""The clock: what expired is removed, hourly."""

from datetime import datetime
from typing import Protocol

from frameworks.kit import log as logs
from frameworks.kit.clock import Clock

log = logs.get("commodore")

HOUR = 3600.0


class Store(Protocol):
    """What is swept."""

    async def system_sweep(self, now: datetime) -> int:
        """Remove what expired; how many rows."""


async def sweep(store: Store, clock: Clock) -> None:
    """Remove expired sessions, links and proofs for ever."""
    while True:
        removed = await store.system_sweep(clock.now())
        if removed:
            log.info("expired.removed", rows=removed)
        await clock.sleep(HOUR)
