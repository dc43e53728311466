"""Reading history from ClickHouse: one page of a list, or the rows of one summary, always in one tenant's scope."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from frameworks.data.periscope.domain import Asked
from frameworks.data.periscope.service.history import Figure, Listed
from frameworks.data.periscope.store import artifacts, grains, latest, listings, summaries, viewing
from frameworks.data.periscope.store.listings import Listing
from frameworks.data.periscope.store.tables import BUCKETS
from frameworks.kit.analytics import Analytics, Scope
from frameworks.kit.clock import from_micros, micros
from frameworks.kit.paging import Paged, Position, Window, paged

Row = Mapping[str, Any]


_LISTS: dict[Listed, Listing] = {
    listed: getattr(artifacts if hasattr(artifacts, listed.name) else listings, listed.name)
    for listed in Listed
}

_FACTS = (
    "connection_events",
    "stream_events",
    "routing_events",
    "stream_health",
    "player_sessions",
    "player_boots",
    "api_requests",
)

_TABLES = (*BUCKETS, *grains.tables("viewers")[1:], *_FACTS)
_TOTAL = "rows_in_all"
_OF_STREAM = "/*stream*/"
_SOURCES = (summaries, viewing, latest)
_FIGURES: dict[Figure, str] = {
    figure: next(getattr(source, figure.name) for source in _SOURCES if hasattr(source, figure.name))
    for figure in Figure
}
_CONDITIONS = {
    "stream": "stream_id = {stream:UUID}",
    "node": "node_id = {node:String}",
    "artifact": "artifact = {artifact:String}",
    "caller": "auth_kind = {caller:String}",
    "operation": "operation_kind = {operation:String}",
}
"""What stands for the marks of a figure, by the part of the question they come from."""


class ClickHouseHistory:
    """Answers from facts and buckets, over ranges of `long` microseconds and more from hours and days too."""

    def __init__(self, analytics: Analytics, *, long: int = grains.LONG) -> None:
        self._analytics = analytics
        self._long = long

    async def page(
        self, tenant: UUID, listed: Listed, asked: Asked, part: Window, **more: object
    ) -> Paged[Row]:
        """One page of a list, with the number of rows in the whole range."""
        listing: Listing = _LISTS[listed]
        first = part.after is None and part.before is None
        total = 0
        if listing.made or (listing.time == "bucket" and first):
            rows = await self._rows(tenant, listing, asked, part, more, counted=True)
            if rows:
                total = rows[0][_TOTAL]
            elif not first:
                total = await self._total(tenant, listing, asked, more)
        else:
            rows, total = await asyncio.gather(
                self._rows(tenant, listing, asked, part, more), self._total(tenant, listing, asked, more)
            )
        return paged([_named(listing, row) for row in rows], part, total, _position)

    async def _rows(
        self,
        tenant: UUID,
        listing: Listing,
        asked: Asked,
        part: Window,
        more: Mapping[str, object],
        *,
        counted: bool = False,
    ) -> list[dict[str, Any]]:
        """The rows of a page; when all rows are made for it anyway, each says how many there are."""
        body, params = _bound(listing, asked, _narrowed(listing, asked, part), self._long)
        clause, place = _keyset(part)
        order = "ASC" if part.backward else "DESC"
        source = f"SELECT *, count() OVER () AS {_TOTAL} FROM ({body})" if counted else body
        sql = (
            f"SELECT * FROM ({source}) WHERE 1{clause} ORDER BY at {order}, id {order} LIMIT {part.limit + 1}"
        )
        return await self._read(tenant, sql, {**params, **place, **more}, listing.tables)

    async def _total(self, tenant: UUID, listing: Listing, asked: Asked, more: Mapping[str, object]) -> int:
        """How many rows the list has in the whole range."""
        body, params = _bound(listing, asked, (asked.from_at, asked.until_at), self._long)
        sql = f"SELECT count() AS total FROM ({body})"
        (row,) = await self._read(tenant, sql, {**params, **more}, listing.tables)
        return int(row["total"])

    async def figures(self, tenant: UUID, figure: Figure, asked: Asked, **more: object) -> list[Row]:
        """The rows of a figure."""
        sql = _FIGURES[figure]
        narrowed = _OF_STREAM if _OF_STREAM in sql else ""
        sql = grains.put(sql, asked.from_at, asked.until_at, narrowed=narrowed, long=self._long)
        params: dict[str, object] = {"from": asked.from_at, "until": asked.until_at, **more}
        for name, condition in _CONDITIONS.items():
            mark, value = f"/*{name}*/", getattr(asked, name)
            if value is not None and (mark in sql or f"{{{name}:" in sql):
                sql = sql.replace(mark, f"AND {condition}")
                params[name] = value
        return [*await self._read(tenant, sql, params, _TABLES)]

    async def latest(self, tenant: UUID, streams: Sequence[UUID], since: int) -> dict[str, Row]:
        """By stream id, what facts since then say of it."""
        params: dict[str, object] = {"streams": list(streams), "from": since}
        answers = await asyncio.gather(
            *(
                self._read(tenant, sql, params, _FACTS)
                for sql in (latest.METRICS, latest.LIFECYCLE, latest.VIEWING)
            )
        )
        found: dict[str, dict[str, Any]] = {}
        for row in (row for rows in answers for row in rows):
            found.setdefault(row["id"], {}).update(row)
        return {**found}

    async def pipeline(self) -> tuple[list[dict[str, Any]], int]:
        """Events a minute by type over all tenants, and how many no table claims."""
        reason = "pipeline status for an operator"
        rates = await self._analytics.query(summaries.RATES, {}, Scope.system(reason))
        unclaimed = await self._analytics.query(summaries.UNCLAIMED, {}, Scope.system(reason))
        return rates, unclaimed[0]["events"]

    async def _read(
        self, tenant: UUID, sql: str, params: Mapping[str, object], tables: Sequence[str]
    ) -> list[dict[str, Any]]:
        named = {"tenant": tenant} if "{tenant:UUID}" in sql else {}
        return await self._analytics.query(
            sql, {**params, **named}, Scope.tenant(tenant, [f"periscope.{name}" for name in tables])
        )


def _bound(
    listing: Listing, asked: Asked, between: tuple[int, int], long: int
) -> tuple[str, dict[str, object]]:
    """The list's body with its conditions, and their values."""
    params: dict[str, object] = {"from": between[0], "until": between[1]}
    where = [
        f"{listing.time} >= {_instant(listing, 'from')}",
        f"{listing.time} < {_instant(listing, 'until')}",
    ]
    for name, condition in listing.filters.items():
        value = getattr(asked, name)
        if value is not None:
            where.append(condition)
            params[name] = value
    if listing.always:
        where.append(listing.always)
    body = grains.put(listing.body, *between, narrowed="AND /*where*/", long=long)
    body = body.replace("/*where*/", " AND ".join(where))
    later = {name: getattr(asked, name) for name in listing.after if getattr(asked, name) is not None}
    if later:
        body = f"SELECT * FROM ({body}) WHERE {' AND '.join(listing.after[name] for name in later)}"
    return body, params | later


def _instant(listing: Listing, name: str) -> str:
    exact = f"fromUnixTimestamp64Micro({{{name}:Int64}}, 'UTC')"
    return exact if listing.time == "occurred_at" else f"toDateTime({exact}, 'UTC')"


def _narrowed(listing: Listing, asked: Asked, window: Window) -> tuple[int, int]:
    """A list of facts is read from its cursor on, not from the range's edge."""
    begin, end = asked.from_at, asked.until_at
    if not listing.made and window.after is not None:
        end = max(begin, min(end, micros(window.after.at) + 1_000_000))
    if not listing.made and window.before is not None:
        begin = min(end, max(begin, micros(window.before.at)))
    return begin, end


def _keyset(window: Window) -> tuple[str, dict[str, object]]:
    clause, params = "", dict[str, object]()
    for name, position, sign in (("after", window.after, "<"), ("before", window.before, ">")):
        if position is not None:
            clause += f" AND (at, id) {sign} ({{{name}_at:Int64}}, {{{name}_id:String}})"
            params |= {f"{name}_at": micros(position.at), f"{name}_id": position.id}
    return clause, params


def _position(row: Row) -> Position:
    return Position(from_micros(row["at"]), row["id"])


def _named(listing: Listing, row: Row) -> Row:
    found = {**row, listing.at_field: row["at"]}
    found.pop(_TOTAL, None)
    return found | {listing.id_field: row["id"]} if listing.id_field else found
