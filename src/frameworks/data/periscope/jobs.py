"""The clock of Periscope: buckets that changed are recomputed, closed sessions are forgotten."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from frameworks.contracts.flow import REPORT_EVERY
from frameworks.contracts.metrics import periscope as metrics
from frameworks.data.periscope.domain import SECOND
from frameworks.data.periscope.service.closing import Closer
from frameworks.data.periscope.service.pipeline import Pipeline
from frameworks.data.periscope.service.roll_up import GRAINS, RollUp
from frameworks.data.periscope.service.usage_windows import Heard, Source, UsageWindows
from frameworks.kit.clock import Clock, micros
from frameworks.kit.log import get

WATCH_EVERY = timedelta(seconds=30)
SWEEP_EVERY = timedelta(hours=1)

log = get("periscope-ingest")


class Sessions(Protocol):
    """Viewer sessions that are remembered."""

    async def forget(self, older_than: timedelta) -> int:
        """Remove sessions last heard of before then; how many."""


class Reader(Protocol):
    """A reader of one topic in this process."""

    async def measure(self) -> None:
        """Look how far behind it is."""


class Reached(Protocol):
    """How far a reader of one topic in this process stored it."""

    topic: str

    async def reached(self) -> Mapping[int, int]:
        """By partition it has: until when everything appended is stored."""

    def heard(self) -> Sequence[Heard]:
        """The nodes heard of since it was asked last."""


class Hearing(Protocol):
    """Where readers say what completes usage windows."""

    async def heard(self, reached: Mapping[Source, int], nodes: Sequence[Heard]) -> None:
        """Say how far this process stored the log, and which nodes it heard of."""

    async def waiting_until(self) -> int:
        """The earliest end (microseconds) up to which a cluster is complete; 0 without clusters."""


async def measure_forever(readers: Sequence[Reader], clock: Clock) -> None:
    """Look how far behind the readers are, for the reports of this process."""
    while True:
        for reader in readers:
            await reader.measure()
        await clock.sleep(REPORT_EVERY)


async def watch_forever(pipeline: Pipeline, clock: Clock) -> None:
    """Look at the pipeline now and then, so that `/health` says something when nobody asks."""
    while True:
        await pipeline.status()
        await clock.sleep(WATCH_EVERY.total_seconds())


class Waiting(Protocol):
    """Marks."""

    async def waiting(self) -> tuple[int, int]:
        """How many wait, and since when the oldest (microseconds; 0 when none)."""


async def roll_up_forever(
    roll_up: RollUp, waiting: Waiting, clock: Clock, every: timedelta, *, widen_every: timedelta
) -> None:
    """Buckets and sessions every turn, their hours and days now and then; a failing turn is repeated by the host."""
    widened = clock.monotonic()
    while True:
        wide = clock.monotonic() - widened >= widen_every.total_seconds()
        metrics.ROLLED_UP.inc(await roll_up.run(GRAINS if wide else GRAINS[:1]))
        if wide:
            widened = clock.monotonic()
            metrics.DIRTY.set((await waiting.waiting())[0])
        await clock.sleep(every.total_seconds())


async def close_forever(closer: Closer, clock: Clock, every: timedelta) -> None:
    """Close sessions that have fallen silent."""
    while True:
        await clock.sleep(every.total_seconds())
        looked_at = await closer.run()
        if looked_at:
            log.info("sessions.reviewed", count=looked_at)


async def sweep_forever(sessions: Sessions, clock: Clock, kept: timedelta) -> None:
    """Forget old viewer sessions now and then."""
    while True:
        forgotten = await sessions.forget(kept)
        if forgotten:
            log.info("sessions.forgotten", count=forgotten)
        await clock.sleep(SWEEP_EVERY.total_seconds())


async def usage_forever(
    usage: UsageWindows, hearing: Hearing, readers: Sequence[Reached], clock: Clock, every: timedelta
) -> None:
    """Say how far this process is, then publish the usage windows that may be."""
    while True:
        for reader in readers:
            reached = await reader.reached()
            sources = {(reader.topic, number): at for number, at in reached.items()}
            await hearing.heard(sources, reader.heard())
        await usage.run()
        if until := await hearing.waiting_until():
            metrics.USAGE_BEHIND.set((micros(clock.now()) - until) / SECOND)
        await clock.sleep(every.total_seconds())
