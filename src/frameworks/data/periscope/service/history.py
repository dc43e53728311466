"""Answering from history: lists page by page, figures over a range."""

import asyncio
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from frameworks.data.periscope.domain import DAY, SECOND, Asked, BadRange, BadSubject
from frameworks.kit.clock import from_micros
from frameworks.kit.paging import Paged, PageRequest, Position, Window, paged, text_id, window

Row = Mapping[str, Any]

SERIES_POINTS, MOST_POINTS = 300, 2000
MOST_PLACES = 100
MOST_STEPS = 10_000
INTERVALS = {"": 5, "5m": 5, "15m": 15, "1h": 60, "1d": 1440}


class Listed(Enum):
    """The lists of history."""

    STREAM_EVENTS = "stream_events"
    BUFFER_EVENTS = "buffer_events"
    TRACK_LISTS = "track_lists"
    CONNECTION_EVENTS = "connection_events"
    VIEWER_SESSIONS = "viewer_sessions"
    VIEWER_GEOGRAPHICS = "viewer_geographics"
    STREAM_HEALTH = "stream_health"
    STREAM_HEALTH_5M = "stream_health_5m"
    CLIENT_QOE = "client_qoe"
    REBUFFERINGS = "rebufferings"
    STREAM_DAYS = "stream_days"
    TENANT_DAYS = "tenant_days"
    VIEWER_HOURS = "viewer_hours"
    CONNECTION_HOURS = "connection_hours"
    QUALITY_DAYS = "quality_days"
    VIEWER_COUNTS = "viewer_counts"
    GEO_HOURS = "geo_hours"
    ROUTING_EVENTS = "routing_events"
    NODE_METRICS = "node_metrics"
    NODE_METRICS_1H = "node_metrics_1h"
    NODE_PERFORMANCE_5M = "node_performance_5m"
    ARTIFACT_EVENTS = "artifact_events"
    ARTIFACT_STATES = "artifact_states"
    STORAGE_EVENTS = "storage_events"
    STORAGE_USAGE = "storage_usage"
    API_USAGE = "api_usage"
    RETENTION_ASSETS = "retention_assets"


class Figure(Enum):
    """The figures of history."""

    HEALTH = "health"
    LIFECYCLE = "lifecycle"
    VIEWERS = "viewers"
    STREAM_AND_TENANT = "stream_and_tenant"
    PEAK = "peak"
    CONNECTIONS = "connections"
    DAYS = "days"
    SUMMARIES = "summaries"
    CITIES = "cities"
    PLACES = "places"
    ROUTING = "routing"
    ROUTING_COUNTRIES = "routing_countries"
    NODES = "nodes"
    SERIES = "series"
    USAGE = "usage"
    VIEWING = "viewing"
    VIEWING_SERIES = "viewing_series"
    BOOTS = "boots"
    BOOT_SERIES = "boot_series"
    RETENTION = "retention"
    TOP_ASSETS = "top_assets"
    API_DAYS = "api_days"
    API_KINDS = "api_kinds"


class Past(Protocol):
    """History, one tenant at a time."""

    async def page(
        self, tenant: UUID, listed: Listed, asked: Asked, part: Window, **more: object
    ) -> Paged[Row]:
        """One page of a list."""

    async def figures(self, tenant: UUID, figure: Figure, asked: Asked, **more: object) -> Sequence[Row]:
        """The rows of a figure; one row of zeros where there is no history."""


class History:
    """Lists and figures."""

    def __init__(self, past: Past) -> None:
        self._past = past

    async def page(self, tenant: UUID, listed: Listed, asked: Asked, request: PageRequest) -> Paged[Row]:
        """One page of a list; its cursors belong to this list of this tenant."""
        part = window(request, f"periscope.{listed.value}.{tenant}", identity=text_id)
        return await self._past.page(tenant, listed, asked, part)

    async def viewer_counts(
        self, tenant: UUID, asked: Asked, request: PageRequest, interval: str
    ) -> Paged[Row]:
        """The most viewers at once, by interval."""
        minutes = minutes_of(interval)
        _need_stream(asked)
        part = window(request, f"periscope.viewer_counts.{interval}.{tenant}", identity=text_id)
        return await self._past.page(tenant, Listed.VIEWER_COUNTS, asked, part, minutes=minutes)

    async def one(self, tenant: UUID, figure: Figure, asked: Asked) -> Row:
        """A figure that is one row."""
        return next(iter(await self._past.figures(tenant, figure, asked)), {})

    async def both(self, tenant: UUID, first: Figure, second: Figure, asked: Asked) -> tuple[Row, Row]:
        """Two figures that are one row each, asked at the same time."""
        return await asyncio.gather(self.one(tenant, first, asked), self.one(tenant, second, asked))

    async def many(self, tenant: UUID, figure: Figure, asked: Asked, **more: object) -> Sequence[Row]:
        """A figure of many rows."""
        return await self._past.figures(tenant, figure, asked, **more)

    async def series(self, tenant: UUID, asked: Asked, points: int) -> tuple[int, Sequence[Row]]:
        """Samples of one stream thinned to at most `points`, and the width of a point."""
        _need_stream(asked)
        wanted = min(points or SERIES_POINTS, MOST_POINTS)
        step = max(SECOND, -(-(asked.until_at - asked.from_at) // wanted))
        return step, await self._past.figures(tenant, Figure.SERIES, asked, step=step)

    async def by_interval(self, tenant: UUID, figure: Figure, asked: Asked, interval: str) -> Sequence[Row]:
        """A figure in equal steps of time, oldest first; raises BadRange for other steps, or too many."""
        step = minutes_of(interval or "1h") * 60 * SECOND
        if (asked.until_at - asked.from_at) // step > MOST_STEPS:
            raise BadRange(f"Ask for at most {MOST_STEPS} intervals at once.")
        return await self._past.figures(tenant, figure, asked, step=step)

    async def retention(self, tenant: UUID, asked: Asked) -> Row:
        """How far viewers of one artifact came, and which parts they watched; raises BadSubject without one."""
        if asked.artifact is None:
            raise BadSubject("Name the artifact.")
        return await self.one(tenant, Figure.RETENTION, asked)

    async def days(self, tenant: UUID, asked: Asked) -> Sequence[Row]:
        """A row a day (UTC), oldest first; days without events are rows of zeros."""
        found = {row["day_at"]: row for row in await self._past.figures(tenant, Figure.DAYS, asked)}
        first = asked.from_at // DAY * DAY
        return [found.get(at, {"day_at": at}) for at in range(first, asked.until_at, DAY)]

    async def summary(self, tenant: UUID, asked: Asked) -> Row:
        """Everything a stream's range adds up to, beside what the tenant's adds up to."""
        _need_stream(asked)
        figures = (Figure.HEALTH, Figure.LIFECYCLE, Figure.STREAM_AND_TENANT, Figure.PEAK)
        parts = await asyncio.gather(*(self.one(tenant, figure, asked) for figure in figures))
        health, peak = parts[0], parts[-1].get("peak_viewers", 0)
        stream: dict[str, Any] = {name: value for part in parts for name, value in part.items()}
        stream["peak_viewers"] = max(peak, health.get("peak_viewers", 0))
        return stream

    async def summaries(
        self, tenant: UUID, asked: Asked, request: PageRequest, *, by: str, ascending: bool
    ) -> Paged[Row]:
        """The tenant's streams by what they add up to; the cursor is a place in this order."""
        if by not in SORTS:
            raise BadRange(f"Sort by one of {', '.join(SORTS)}.")
        part = window(request, f"periscope.summaries.{by}.{ascending}.{tenant}", identity=text_id)
        rows = await self._past.figures(tenant, Figure.SUMMARIES, asked)
        return ranked(rows, part, by=SORTS[by], ascending=ascending)

    async def geography(self, tenant: UUID, asked: Asked, top: int) -> dict[str, Any]:
        """Where viewers are."""
        top = min(top or 10, MOST_PLACES)
        places, cities = await asyncio.gather(
            self.many(tenant, Figure.PLACES, asked), self.many(tenant, Figure.CITIES, asked, top=top)
        )
        everywhere: Row = next((row for row in places if row["everywhere"]), {})
        named = [row for row in places if row["country"]]
        countries = [row for row in named if row["all_hours"]]
        countries.sort(key=lambda row: (-row["viewers"], row["country"]))
        return {
            "countries": countries[:top],
            "cities": cities,
            "by_hour": [row for row in named if not row["all_hours"]],
            "unique_countries": len(countries),
            "unique_cities": everywhere.get("cities", 0),
            "total_viewers": everywhere.get("viewers", 0),
        }


SORTS = {
    "": "egress_bytes",
    "egress": "egress_bytes",
    "viewer_seconds": "session_seconds",
    "unique_viewers": "unique_viewers",
    "total_views": "total_views",
    "total_sessions": "total_sessions",
    "peak_viewers": "peak_viewers",
}


def ranked(rows: Sequence[Row], part: Window, *, by: str, ascending: bool) -> Paged[Row]:
    """A page of rows in order of a figure, ties by stream; positions count from the start of the order."""
    ordered = sorted(rows, key=lambda row: row["stream_id"])
    ordered.sort(key=lambda row: row[by], reverse=not ascending)
    placed = [{**row, "place": place} for place, row in enumerate(ordered)]
    ids = [row["stream_id"] for row in placed]
    begin = ids.index(part.after.id) + 1 if part.after and part.after.id in ids else 0
    end = ids.index(part.before.id) if part.before and part.before.id in ids else len(placed)
    inside = placed[begin:end]
    found = inside[::-1][: part.limit + 1] if part.backward else inside[: part.limit + 1]
    return paged(found, part, len(placed), lambda row: Position(from_micros(row["place"]), row["stream_id"]))


def minutes_of(interval: str) -> int:
    """The length of an interval; raises BadRange for one that is not known."""
    minutes = INTERVALS.get(interval)
    if minutes is None:
        raise BadRange(f"An interval is one of {', '.join(name for name in INTERVALS if name)}.")
    return minutes


def _need_stream(asked: Asked) -> None:
    if asked.stream is None:
        raise BadSubject("Name the stream.")
