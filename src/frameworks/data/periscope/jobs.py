"""The clock of Periscope: buckets that changed are recomputed, closed sessions are forgotten."""

from datetime import timedelta
from typing import Protocol

from frameworks.contracts.metrics import periscope as metrics
from frameworks.contracts.topics import ANALYTICS_EVENTS
from frameworks.data.periscope.service.roll_up import RollUp
from frameworks.kit.clock import Clock
from frameworks.kit.log import get

REPORT_EVERY = timedelta(seconds=5)
SWEEP_EVERY = timedelta(hours=1)

log = get("periscope-ingest")


class Sessions(Protocol):
    """Viewer sessions that are remembered."""

    async def forget(self, older_than: timedelta) -> int:
        """Remove sessions last heard of before then; how many."""


class Reader(Protocol):
    """A reader of the log in this process."""

    last_error: str

    async def lag(self) -> int:
        """Records waiting."""


class Reports(Protocol):
    """Where readers say how far they got."""

    async def report(self, topic: str, reader: str, lag: int, last_error: str) -> None:
        """Say how far this process got."""


async def report_forever(reports: Reports, reader: Reader, clock: Clock) -> None:
    """Say how far the reader got, every few seconds."""
    while True:
        await reports.report(ANALYTICS_EVENTS, "periscope-ingest", await reader.lag(), reader.last_error)
        await clock.sleep(REPORT_EVERY.total_seconds())


async def roll_up_forever(roll_up: RollUp, clock: Clock, every: timedelta) -> None:
    """A turn, a pause, for ever; a failing turn is repeated by whoever runs the loop."""
    while True:
        done = await roll_up.run()
        metrics.ROLLED_UP.inc(done)
        await clock.sleep(every.total_seconds())


async def sweep_forever(sessions: Sessions, clock: Clock, kept: timedelta) -> None:
    """Forget old viewer sessions now and then."""
    while True:
        forgotten = await sessions.forget(kept)
        if forgotten:
            log.info("sessions.forgotten", count=forgotten)
        await clock.sleep(SWEEP_EVERY.total_seconds())
