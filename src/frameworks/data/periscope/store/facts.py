"""Events into ClickHouse: framed protobuf goes in as it came, tables are fed from there."""

from collections.abc import Sequence

from frameworks.data.periscope.domain import BadFrames
from frameworks.kit.analytics import Analytics, BadQuery, BadRows
from frameworks.kit.errors import Unavailable

TABLE = "periscope.arrivals"


class SchemaBehind(Unavailable):
    """The engine blames its tables, not the events: they wait until someone has looked."""

    code = "periscope.schema_behind"


class ClickHouseFacts:
    """Writes events."""

    def __init__(self, analytics: Analytics, schema_text: str) -> None:
        self._analytics = analytics
        self._schema = schema_text

    async def insert(self, frames: Sequence[bytes]) -> None:
        """Store framed events; raises BadFrames when the engine can not read them, Unavailable when it is away."""
        await self._insert(b"".join(frames))

    async def probe(self) -> None:
        """Raises Unavailable unless the engine would store a good event now."""
        try:
            await self._insert(b"")
        except BadFrames as error:
            raise SchemaBehind("The analytics engine refuses even nothing.") from error

    async def _insert(self, payload: bytes) -> None:
        try:
            await self._analytics.insert_protobuf(
                TABLE, message="Event", schema_text=self._schema, payload=payload
            )
        except BadRows as error:
            raise BadFrames(error.message) from error
        except BadQuery as error:
            raise SchemaBehind(error.message) from error
