"""Events into ClickHouse: framed protobuf goes in as it came, tables are fed from there."""

from collections.abc import Sequence

from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.periscope.domain import BadFrames
from frameworks.kit.analytics import Analytics, BadQuery, BadRows
from frameworks.kit.errors import Unavailable

COMMON = "periscope.arrivals"
"""Takes an event of any type; what no table claims leaves its envelope."""
DOORS = {kind.name: f"periscope.arrivals_{kind.field}" for kind in EVENT_TYPES.values()}
"""Event type → where it goes in: only its own columns, only its own view."""
SETTINGS = {"optimize_on_insert": "0"}
"""Rows that repeat are merged in the background and hidden from readers, so they need not be looked for here."""


class SchemaBehind(Unavailable):
    """The engine blames its tables, not the events: they wait until someone has looked."""

    code = "periscope.schema_behind"


class ReadOnly(Unavailable):
    """The engine takes no writes: a replica lost its keeper, or somebody set it so."""

    code = "analytics.read_only"


class NoSpace(Unavailable):
    """The engine's disk is full."""

    code = "analytics.no_space"


class NoMemory(Unavailable):
    """The engine has no memory for this insert now."""

    code = "analytics.no_memory"


class MergesBehind(Unavailable):
    """The engine has too many parts: its merges are behind."""

    code = "analytics.too_many_parts"


_OUTCOMES: dict[int, type[Unavailable]] = {
    **dict.fromkeys((164, 242, 774), ReadOnly),
    243: NoSpace,
    **dict.fromkeys((173, 241), NoMemory),
    252: MergesBehind,
}
"""ClickHouse's code → why the partition pauses; every other one is `analytics.away`."""
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
"""What the system says when a write fails behind the engine's own look at the disk."""


class ClickHouseFacts:
    """Writes events."""

    def __init__(self, analytics: Analytics, schema_text: str) -> None:
        self._analytics = analytics
        self._schema = schema_text

    async def insert(self, kind: str, frames: Sequence[bytes]) -> None:
        """Store framed events of one type; raises BadFrames when it can not read them, Unavailable when it is away."""
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
                DOORS.get(kind, COMMON),
                message="Event",
                schema_text=self._schema,
                payload=payload,
                settings=SETTINGS,
            )
        except Unavailable as error:
            full = any(words in error.message for words in _FULL)
            named = NoSpace if full else _OUTCOMES.get(error.facts.get("clickhouse_code") or 0)
            raise (named(error.message, **error.facts) if named else error) from error
        except BadRows as error:
            raise BadFrames(error.message) from error
        except BadQuery as error:
            raise SchemaBehind(error.message) from error
