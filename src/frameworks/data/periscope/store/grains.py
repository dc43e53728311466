"""Which grain a question reads: days or hours inside a long range, five-minute buckets at its ends.

A statement names its rows by a mark, such as `/*viewers by day*/`. Rows of any grain have the same columns, sums and
sketches that lose nothing on the way, so that the answer does not depend on the grain. The last hour is always read
from buckets: it is what changes while somebody looks.
"""

from frameworks.data.periscope.domain import BUCKET, DAY, HOUR, SECOND
from frameworks.data.periscope.store.tables import MERGED

LONG = 7 * DAY
"""A shorter range is read from buckets: a second table costs more than its fewer rows save."""

_GRAINS = {"hour": ("1h", HOUR), "day": ("1d", DAY)}
_NAMES = ("viewers",)


def mark(name: str, grain: str) -> str:
    """What stands in a statement for these rows."""
    return f"/*{name} by {grain}*/"


def tables(name: str) -> tuple[str, ...]:
    """Every table its rows may come from."""
    return (f"{name}_5m", *(f"{name}_{ending}" for ending, _ in _GRAINS.values()))


def put(sql: str, from_at: int, until_at: int, *, narrowed: str, long: int = LONG) -> str:
    """The statement with its rows put in; `narrowed` is a condition on them, beginning with AND."""
    for name in _NAMES:
        for grain, (ending, width) in _GRAINS.items():
            found = mark(name, grain)
            if found in sql:
                sql = sql.replace(found, _rows(name, ending, width, from_at, until_at, narrowed, long))
    return sql


def _rows(name: str, ending: str, width: int, from_at: int, until_at: int, narrowed: str, long: int) -> str:
    first, last = inside(from_at, until_at, width)
    if until_at - from_at < long or first >= last:
        return f"(SELECT * FROM periscope.{name}_5m {MERGED})"
    begin, end = _instant(first), _instant(last)
    return f"""(
        SELECT * FROM periscope.{name}_{ending} {MERGED}
        WHERE bucket >= {begin} AND bucket < {end} {narrowed}
        UNION ALL
        SELECT * FROM periscope.{name}_5m {MERGED}
        WHERE bucket >= {_instant(_bucket(from_at))} AND bucket < {_instant(_bucket(until_at))}
            AND (bucket < {begin} OR bucket >= {end}) {narrowed})"""


def inside(from_at: int, until_at: int, width: int) -> tuple[int, int]:
    """The first whole period of the range, and the end of the last that lies an hour or more before its end."""
    return -(-_bucket(from_at) // width) * width, (_bucket(until_at) - HOUR) // width * width


def _bucket(at: int) -> int:
    """The first bucket that does not begin before the second of `at`."""
    return -(-(at // SECOND * SECOND) // BUCKET) * BUCKET


def _instant(at: int) -> str:
    return f"toDateTime({max(0, at) // SECOND}, 'UTC')"
