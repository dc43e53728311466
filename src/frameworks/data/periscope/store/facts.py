"""Events into ClickHouse: framed protobuf goes in as it came, tables are fed from there."""

from collections.abc import Sequence

from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.periscope.domain import BadFrames
from frameworks.kit.analytics import Analytics, BadQuery, BadRows
from frameworks.kit.errors import Unavailable

COMMON = "periscope.arrivals"
"""Takes an event of any type; what no table claims leaves its envelope."""
_SHARED = dict.fromkeys(("stream-ingest", "stream-lifecycle", "stream-buffer", "track-list"), "stream_events")
DOORS = {
    kind.name: f"periscope.arrivals_{_SHARED.get(kind.name, kind.field)}" for kind in EVENT_TYPES.values()
}
"""Event type → where it goes in: only the columns and the view of the types that share its table."""
SETTINGS = {"optimize_on_insert": "0"}
"""Rows that repeat are merged in the background and hidden from readers, so they need not be looked for here."""


class SchemaBehind(Unavailable):
    """The engine blames its tables, not the events: they wait until someone has looked."""

    code = "periscope.schema_behind"


class ClickHouseFacts:
    """Writes events."""

    def __init__(self, analytics: Analytics, schema_text: str) -> None:
        self._analytics = analytics
        self._schema = schema_text

    def door(self, kind: str) -> str:
        """Where events of a type go in."""
        return DOORS.get(kind, COMMON)

    async def insert(self, kind: str, frames: Sequence[bytes]) -> None:
        """Store framed events of one door; raises BadFrames when it can not read them, Unavailable when it is away."""
        await self._insert(kind, b"".join(frames))

    async def probe(self, kind: str) -> None:
        """Raises Unavailable unless the engine would store a good event of this type now."""
        try:
            await self._insert(kind, b"")
        except BadFrames as error:
            raise SchemaBehind("The analytics engine refuses even nothing.") from error

    async def _insert(self, kind: str, payload: bytes) -> None:
        try:
            await self._analytics.insert_protobuf(
                self.door(kind),
                message="Event",
                schema_text=self._schema,
                payload=payload,
                settings=SETTINGS,
            )
        except BadRows as error:
            raise BadFrames(error.message) from error
        except BadQuery as error:
            raise SchemaBehind(error.message) from error
