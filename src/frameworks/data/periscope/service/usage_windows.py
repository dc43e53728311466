"""Usage windows for billing: measured from facts when complete, said once, corrected by additions only.

One turn of one process reads what waits, measures it from facts, and in one transaction remembers what it said beside
the outbox row that says it. A window is measured again whenever a fact of it arrives; when nothing changed, nothing is
said. So a window and its corrections add up to what its facts say, however often and late they come.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from frameworks.contracts.metrics import periscope as metrics
from frameworks.contracts.topics import PARTITIONS
from frameworks.data.periscope.domain import BUCKET, DAY, SECOND, NodeHeard, UsageKey
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Unavailable

AT_ONCE = 200
"""Windows measured by one statement."""
ROUNDS = 50
"""Statements of one turn and cluster, so that a turn ends."""
MARKERS = 288
"""Windows completed in one transaction."""
LONGEST_WAIT = 6 * 3600 * SECOND
"""A node whose log, or clock, is further behind is not waited for: what it says is a correction."""
CORRECTED_FOR = 31 * DAY
"""Older windows are never measured again, since facts do not live for ever."""
REMEMBERED_FOR = 45 * DAY


class Meter(StrEnum):
    """What is metered; `peak_viewers` is the most at once, everything else a sum."""

    VIEWER_SECONDS = "viewer_seconds"
    EGRESS_BYTES = "egress_bytes"
    INGRESS_BYTES = "ingress_bytes"
    STREAM_SECONDS = "stream_seconds"
    PEAK_VIEWERS = "peak_viewers"
    API_REQUESTS = "api_requests"


Amounts = Mapping[str, int]
"""By meter; 0 is left out."""
Series = tuple[UUID, str]
"""A tenant on a cluster."""
Source = tuple[str, int]
"""A topic's partition."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A window to be measured; `generation` tells it from a later mark of the same window."""

    key: UsageKey
    generation: int


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of a window so far, in how many records."""

    amounts: Amounts = field(default_factory=dict)
    records: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """A node and when the log last heard of it (microseconds)."""

    node: NodeHeard
    seen_at: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """How far a cluster is complete, what completes it further, and the number of its last completed window."""

    name: str
    complete_until: int
    sequence: int
    nodes: Sequence[Heard]


@dataclass(frozen=True, slots=True)
class WindowSaid:
    """A record to publish: a window, or a correction of one."""

    record_id: str
    key: UsageKey
    sequence: int
    revision: int
    correction: bool
    amounts: Amounts
    published_at: int
    turn: int


@dataclass(frozen=True, slots=True)
class Completed:
    """A record to publish: what is known of this window of the cluster is said."""

    record_id: str
    cluster: str
    at: int
    sequence: int
    windows: int
    published_at: int
    turn: int


class Meters(Protocol):
    """The analytics engine."""

    async def measure(self, keys: Sequence[UsageKey]) -> Mapping[UsageKey, Amounts]:
        """What the facts there are now say of these windows of one cluster; what used nothing is left out."""


class Turn(Protocol):
    """What one process may do until its transaction ends; nothing of it happens unless it ends well."""

    number: int
    """Grows with every turn of any process."""

    async def reached(self) -> Mapping[Source, int]:
        """By partition of the log: until when (microseconds) everything appended is stored."""

    async def cluster(self, name: str, stored: int) -> Cluster:
        """The cluster as it is when the whole log is stored until then."""

    async def waiting(self, cluster: str, until: int, limit: int) -> Sequence[Waiting]:
        """The cluster's oldest windows that wait and end by then."""

    async def said(self, keys: Collection[UsageKey]) -> Mapping[UsageKey, Said]:
        """What was said of these windows."""

    async def sequences(self, series: Collection[Series]) -> Mapping[Series, int]:
        """The last sequence said of each."""

    async def counted(self, cluster: str, since: int, until: int) -> Mapping[int, int]:
        """By window: the tenants something was said of."""

    async def say(self, windows: Sequence[WindowSaid]) -> None:
        """Remember and publish."""

    async def complete(self, markers: Sequence[Completed]) -> None:
        """Remember and publish, in order."""

    async def clear(self, done: Sequence[Waiting]) -> None:
        """These wait no longer, unless they were marked again meanwhile."""

    async def forget(self, cluster: str, *, waiting_before: int, said_before: int) -> int:
        """Drop marks and memories from before then; how many marks."""


class Ledger(Protocol):
    """Where windows wait and what was said is remembered."""

    async def clusters(self) -> Sequence[str]:
        """Every cluster heard of."""

    def turn(self) -> AbstractAsyncContextManager[Turn | None]:
        """A turn of this process, or None while another has it."""


def stored_until(reached: Mapping[Source, int], sources: Collection[Source], now: int) -> int:
    """Until when all of the log is stored; 0 while a partition was not heard of."""
    return min([now, *(reached.get(source, 0) for source in sources)])


def horizon(stored: int, nodes: Iterable[Heard], *, settlement: int, patience: int) -> int:
    """Until when (microseconds, a window's end) a cluster's windows are complete; 0 when nothing is known.

    The log must be stored up to the window's end and the settlement time; a node heard of within `patience` is waited
    for until it has said something from after the window.
    """
    behind = [
        heard.node.at
        for heard in nodes
        if stored - heard.seen_at <= patience and stored - heard.node.at <= LONGEST_WAIT
    ]
    return max(0, min([stored - settlement, *behind])) // BUCKET * BUCKET


def record_id(kind: str, *parts: object) -> str:
    """The id of a record: of equal parts for ever the same, 32 hex digits."""
    text = "\0".join((kind, *map(str, parts)))
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"usage-record").hexdigest()


def difference(now: Amounts, before: Amounts) -> dict[str, int]:
    """What has to be added to `before` to make it `now`."""
    meters = sorted({*now, *before})
    changed = {meter: now.get(meter, 0) - before.get(meter, 0) for meter in meters}
    return {meter: amount for meter, amount in changed.items() if amount}


class UsageWindows:
    """Says what was used."""

    def __init__(
        self,
        ledger: Ledger,
        meters: Meters,
        clock: Clock,
        topics: Iterable[str],
        *,
        settlement: timedelta,
        patience: timedelta,
    ) -> None:
        self._sources = [(topic, number) for topic in topics for number in range(PARTITIONS)]
        self._ledger = ledger
        self._meters = meters
        self._clock = clock
        self._settlement = round(settlement.total_seconds() * SECOND)
        self._patience = round(patience.total_seconds() * SECOND)

    async def run(self) -> int:
        """Say what can be said of every cluster; the number of records. An engine away stops its clusters only."""
        count, away = 0, None
        for name in await self._ledger.clusters():
            try:
                count += await self._cluster(name)
            except Unavailable as fault:
                away = fault
        if away is not None:
            raise away
        return count

    async def _cluster(self, name: str) -> int:
        count = 0
        for _ in range(ROUNDS):
            said, more = await self._round(name)
            count += said
            if not more:
                break
        return count

    async def _round(self, name: str) -> tuple[int, bool]:
        """One transaction: records said, and whether there is more to do."""
        async with self._ledger.turn() as turn:
            if turn is None:
                return 0, False
            now = micros(self._clock.now())
            metrics.USAGE_DROPPED.inc(
                await turn.forget(name, waiting_before=now - CORRECTED_FOR, said_before=now - REMEMBERED_FOR)
            )
            stored = stored_until(await turn.reached(), self._sources, now)
            cluster = await turn.cluster(name, stored)
            until = horizon(stored, cluster.nodes, settlement=self._settlement, patience=self._patience)
            waiting = await turn.waiting(name, until, AT_ONCE)
            said = await self._say(turn, cluster, waiting, now) if waiting else 0
            if len(waiting) == AT_ONCE:
                return said, True
            markers = await self._complete(turn, cluster, until, now)
            return said + markers, markers == MARKERS

    async def _say(self, turn: Turn, cluster: Cluster, waiting: Sequence[Waiting], now: int) -> int:
        """Marks were read before facts: a fact that comes between leaves its mark behind."""
        keys = [entry.key for entry in waiting]
        measured = await self._meters.measure(keys)
        before = await turn.said(keys)
        sequences = dict(await turn.sequences({(key.tenant, key.cluster) for key in keys}))
        records = []
        for key in keys:
            known = before.get(key, Said())
            amounts = difference(measured.get(key, {}), known.amounts)
            if amounts:
                series = key.tenant, key.cluster
                sequences[series] = sequences.get(series, 0) + 1
                late = known.records > 0 or key.at < cluster.complete_until
                identity = record_id("window", key.tenant, key.cluster, key.at, known.records)
                records.append(
                    WindowSaid(
                        identity, key, sequences[series], known.records, late, amounts, now, turn.number
                    )
                )
        await turn.say(records)
        await turn.clear(waiting)
        return len(records)

    async def _complete(self, turn: Turn, cluster: Cluster, until: int, now: int) -> int:
        starts = range(cluster.complete_until, until, BUCKET)[:MARKERS]
        if not starts:
            return 0
        counted = await turn.counted(cluster.name, starts[0], starts[-1] + BUCKET)
        markers = [
            Completed(
                record_id("complete", cluster.name, at),
                cluster.name,
                at,
                cluster.sequence + number,
                counted.get(at, 0),
                now,
                turn.number,
            )
            for number, at in enumerate(starts, start=1)
        ]
        await turn.complete(markers)
        return len(markers)
