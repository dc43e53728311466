"""Clusters with an analytics store of their own: which records go where, and how answers of several stores merge.

A record is one cluster's, so it goes to one store, and what is computed is computed there. An answer is whole or it is
refused: a store that is away makes it unavailable, rows that can not be merged are not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from uuid import UUID

from frameworks.data.periscope.domain import Asked, UsageKey
from frameworks.data.periscope.service.history import Figure, Listed, Past, Row
from frameworks.data.periscope.service.ingest import Arrived, Taken
from frameworks.data.periscope.service.pipeline import Waiting
from frameworks.data.periscope.service.usage_windows import Amounts, Meters
from frameworks.kit.clock import from_micros
from frameworks.kit.errors import Kind, Refusal, Unavailable
from frameworks.kit.paging import Paged, Position, Window, paged

T = TypeVar("T")
S = TypeVar("S")

CLUSTER_HEADER = "source_cluster_id"


class StoreAway(Unavailable):
    """A cluster's store, which may hold a part of the answer, is away; ask for another cluster by name."""

    code = "periscope.store_away"


class NotMerged(Refusal):
    """Several stores hold parts of a figure that can not be put together, such as unique viewers: name a cluster."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code = "periscope.not_merged"


class Stores(Generic[S]):
    """One thing for each store: by cluster for those with one of their own, under "" for all others."""

    def __init__(self, found: Mapping[str, S]) -> None:
        self._all = dict(found)

    def __getitem__(self, name: str) -> S:
        return self._all[name]

    def items(self) -> Iterable[tuple[str, S]]:
        """Every store by name."""
        return self._all.items()

    def made(self, make: Callable[[S], T]) -> "Stores[T]":
        """Something made for every store."""
        return Stores({name: make(found) for name, found in self._all.items()})

    def only(self, name: str) -> "Stores[S]":
        """One of the stores."""
        return Stores({name: self._all[name]})

    def name(self, cluster: str) -> str:
        """The store of a cluster."""
        return cluster if cluster in self._all else ""

    async def all(self, ask: Callable[[S], Awaitable[T]]) -> list[T]:
        """Every store's answer; StoreAway when one can not answer."""
        return list(await asyncio.gather(*(_answer(name, ask(found)) for name, found in self._all.items())))


async def _answer(name: str, answer: Awaitable[T]) -> T:
    try:
        return await answer
    except Unavailable as away:
        if not name:
            raise
        raise StoreAway(
            f"The analytics store of cluster {name} is away: {away.message}", cluster=name
        ) from away


class Takes(Protocol):
    """Ingestion into one store, or several."""

    def store_of(self, headers: Mapping[str, str]) -> str:
        """The name of the store that a record with these headers goes to; those that arrive together share it."""

    async def take(self, batch: Sequence[Arrived]) -> Taken:
        """Store a batch; when it returns, the offsets may be committed."""


class IngestByStore:
    """Takes every record to its cluster's store."""

    def __init__(self, stores: Stores[Takes]) -> None:
        self._stores = stores

    def store_of(self, headers: Mapping[str, str]) -> str:
        """The store of the record's cluster."""
        return self._stores.name(headers.get(CLUSTER_HEADER, ""))

    async def take(self, batch: Sequence[Arrived]) -> Taken:
        """Store a batch everywhere it belongs; while one store is away it is Unavailable, and can be repeated."""
        parts: dict[str, list[Arrived]] = {}
        for arrived in batch:
            parts.setdefault(arrived.store, []).append(arrived)
        taken = [await _answer(name, self._stores[name].take(part)) for name, part in parts.items()]
        return Taken(
            stored=sum(one.stored for one in taken),
            buried=sum(one.buried for one in taken),
            unclaimed=sum(one.unclaimed for one in taken),
        )


class MetersByStore:
    """Measures a cluster's usage windows where its facts are."""

    def __init__(self, stores: Stores[Meters]) -> None:
        self._stores = stores

    async def measure(self, keys: Sequence[UsageKey]) -> Mapping[UsageKey, Amounts]:
        """What the facts there are now say of these windows of one cluster."""
        name = self._stores.name(keys[0].cluster)
        return await _answer(name, self._stores[name].measure(keys))


@dataclass(frozen=True, slots=True)
class Merge:
    """How rows of one figure merge: rows of other keys stand side by side, those of one key add up column by column.

    Without `sums` rows of one key are refused.
    """

    key: tuple[str, ...] = ()
    sums: frozenset[str] = frozenset()
    most: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    """Refused unless equal."""
    of_stream: frozenset[str] = frozenset()
    """Refused unless one stream was asked for; then the greatest."""
    order: tuple[tuple[str, bool], ...] = ()
    """Columns, and whether the greatest comes first."""


_HEALTH = Merge(
    sums=frozenset(
        {
            *("buckets", "samples", "bitrate_kbps_sum", "fps_milli_sum", "buffer_ms_sum", "health_score_sum"),
            *("issue_count", "viewers_sum", "bandwidth_in_bps_sum", "bandwidth_out_bps_sum", "packets_sent"),
            *("packets_lost", "live_us", "tiers_us", "codecs_us"),
        }
    ),
    most=frozenset({"peak_viewers", "peak_bandwidth_bps", "peak_packet_loss"}),
    same=frozenset({"has_active_issues"}),
)
_LIFECYCLE = Merge(
    sums=frozenset({"total_views", "ingest_us", "ingress_bytes", "buffer_dry_count", "rebuffer_count"}),
    of_stream=frozenset({"total_streams"}),
)
FIGURES: Mapping[Figure, Merge] = {
    Figure.HEALTH: _HEALTH,
    Figure.LIFECYCLE: _LIFECYCLE,
    Figure.CONNECTIONS: Merge(sums=frozenset({"closed", "seconds"})),
    Figure.DAYS: Merge(key=("day_at",), order=(("day_at", False),)),
    Figure.SUMMARIES: Merge(key=("stream_id",), order=(("stream_id", False),)),
    Figure.NODES: Merge(key=("node_id",), order=(("node_id", False),)),
    Figure.SERIES: Merge(key=("at",), order=(("at", False),)),
    Figure.USAGE: Merge(key=("hour_at", "cluster_id"), order=(("cluster_id", False), ("hour_at", False))),
}
"""The figures that merge; any other is refused when several stores have rows of it."""

LISTS = frozenset(
    {
        *(Listed.STREAM_EVENTS, Listed.BUFFER_EVENTS, Listed.TRACK_LISTS, Listed.CONNECTION_EVENTS),
        *(Listed.VIEWER_GEOGRAPHICS, Listed.STREAM_HEALTH, Listed.ROUTING_EVENTS, Listed.NODE_METRICS),
        *(
            Listed.ARTIFACT_EVENTS,
            Listed.STORAGE_EVENTS,
            Listed.VIEWER_SESSIONS,
            Listed.REBUFFERINGS,
            Listed.NODE_METRICS_1H,
            Listed.NODE_PERFORMANCE_5M,
        ),
    }
)
"""The lists whose rows are events, or of one node: a row is in one store. Any other may have one row in two."""


def says(row: Row) -> bool:
    """Whether a row is more than the zeros of a store without history."""
    return any(bool(value) for value in row.values())


def merged(figure: Figure, answers: Sequence[Sequence[Row]], *, of_stream: bool) -> list[Row]:
    """The rows of one figure from every store; NotMerged when they can not be put together."""
    told = [rows for rows in answers if any(says(row) for row in rows)]
    if len(told) <= 1:
        return [*(told[0] if told else answers[0])]
    rule = FIGURES.get(figure)
    if rule is None:
        raise _not_merged(figure.value)
    found: dict[tuple[object, ...], Row] = {}
    for row in (row for rows in told for row in rows if says(row)):
        key = tuple(row[name] for name in rule.key)
        found[key] = _added(rule, figure, found[key], row, of_stream=of_stream) if key in found else row
    rows = list(found.values())
    for name, greatest_first in rule.order:
        rows.sort(key=lambda row: row[name], reverse=greatest_first)
    return rows


def _added(rule: Merge, figure: Figure, one: Row, other: Row, *, of_stream: bool) -> Row:
    total: dict[str, Any] = {}
    for name, value in one.items():
        if name in rule.key or (name in rule.same and value == other[name]):
            total[name] = value
        elif name in rule.sums:
            total[name] = _sum(value, other[name])
        elif name in rule.most or (of_stream and name in rule.of_stream):
            total[name] = max(value, other[name])
        else:
            raise _not_merged(f"{figure.value}.{name}")
    return total


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping):
        return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
    return one + other


def _not_merged(what: str) -> NotMerged:
    return NotMerged(
        f"Several analytics stores hold parts of {what} that do not add up: ask for one cluster.", part=what
    )


class WaitingByStore:
    """What waits to be computed in every store."""

    def __init__(self, stores: Stores[Waiting]) -> None:
        self._stores = stores

    async def waiting(self) -> tuple[int, int]:
        """How many marks wait, and since when the oldest (microseconds; 0 when none)."""
        found = await self._stores.all(lambda marks: marks.waiting())
        return sum(count for count, _ in found), min((oldest for count, oldest in found if count), default=0)


class StoredPast(Past, Protocol):
    """History of one store."""

    async def latest(self, tenant: UUID, streams: Sequence[UUID], since: int) -> Mapping[str, Row]:
        """By stream id, what facts since then say of it."""

    async def pipeline(self) -> tuple[Sequence[Row], int]:
        """Events a minute by type over all tenants, and how many no table claims."""


class PastByStore:
    """History of every store the tenant may have data in; of one store when a cluster is named."""

    def __init__(self, stores: Stores[StoredPast]) -> None:
        self._stores = stores

    async def page(
        self, tenant: UUID, listed: Listed, asked: Asked, part: Window, **more: object
    ) -> Paged[Row]:
        """One page of a list, merged by (instant, id)."""
        pages = await self._asked(asked).all(lambda past: past.page(tenant, listed, asked, part, **more))
        told = [page for page in pages if page.total]
        if len(told) <= 1:
            return told[0] if told else pages[0]
        if listed not in LISTS:
            raise _not_merged(listed.value)
        return sorted_page(told, part)

    async def figures(self, tenant: UUID, figure: Figure, asked: Asked, **more: object) -> Sequence[Row]:
        """The rows of a figure."""
        answers = await self._asked(asked).all(lambda past: past.figures(tenant, figure, asked, **more))
        return merged(figure, answers, of_stream=asked.stream is not None)

    async def latest(self, tenant: UUID, streams: Sequence[UUID], since: int) -> Mapping[str, Row]:
        """By stream id, what facts since then say of it: measured last, viewed in all."""
        found: dict[str, Row] = {}
        for rows in await self._stores.all(lambda past: past.latest(tenant, streams, since)):
            for stream, row in rows.items():
                found[stream] = _latest(found[stream], row) if stream in found else row
        return found

    async def pipeline(self) -> tuple[Sequence[Row], int]:
        """Events a minute by type over all tenants, and how many no table claims."""
        rates: dict[str, Row] = {}
        unclaimed = 0
        for rows, more in await self._stores.all(lambda past: past.pipeline()):
            unclaimed += more
            for row in rows:
                one = rates.get(row["type"], {"per_minute": 0, "newest": 0})
                both = {
                    "per_minute": one["per_minute"] + row["per_minute"],
                    "newest": max(one["newest"], row["newest"]),
                }
                rates[row["type"]] = {**row, **both}
        return [rates[name] for name in sorted(rates)], unclaimed

    def _asked(self, asked: Asked) -> Stores[StoredPast]:
        if asked.cluster is None:
            return self._stores
        return self._stores.only(self._stores.name(asked.cluster))


def sorted_page(pages: Sequence[Paged[Row]], part: Window) -> Paged[Row]:
    """One page of several of the same window, no row of which is in two."""
    rows = [row for page in pages for row in page.rows]
    rows.sort(key=lambda row: (row["at"], row["id"]), reverse=not part.backward)
    more = len(rows) > part.limit or any(
        page.has_previous if part.backward else page.has_next for page in pages
    )
    found = paged(rows[: part.limit], part, sum(page.total for page in pages), _position)
    return replace(found, has_previous=more) if part.backward else replace(found, has_next=more)


def _position(row: Row) -> Position:
    return Position(from_micros(row["at"]), row["id"])


def _latest(one: Row, other: Row) -> Row:
    """The row measured later, with the viewing of both."""
    older, newer = sorted((one, other), key=lambda row: row.get("at", 0))
    summed = {name: older.get(name, 0) + newer.get(name, 0) for name in ("viewer_seconds", "up_bytes")}
    return {
        **older,
        **newer,
        **summed,
        "peak_viewers": max(row.get("peak_viewers", 0) for row in (one, other)),
    }
