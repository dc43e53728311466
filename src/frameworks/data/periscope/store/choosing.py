"""Which rows a roll-up statement reads and writes: marked buckets, or everything in a range when history is rebuilt."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from frameworks.data.periscope.domain import LONGEST_SESSION, NODE_KINDS, SECOND, WIDTH, Kind, Mark

VERSION = "toUInt64(toUnixTimestamp64Micro(now64(6)))"
"""The engine's clock when the statement begins, before it reads a row."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The conditions of one statement; `first` and `last` are microseconds, `last` is excluded."""

    these: str
    slots: str
    first: int
    last: int
    horizon: int = 0
    """Sessions without a sign of life since then count as ended."""

    def values(self, into: str) -> dict[str, str]:
        """What the statement's braces stand for."""
        return {
            "into": into,
            "these": self.these,
            "slots": self.slots,
            "range": between("occurred_at", self.first, self.last),
            "later": between("occurred_at", self.first, self.last + LONGEST_SESSION),
            "around": between("occurred_at", self.first - LONGEST_SESSION, self.last + LONGEST_SESSION),
            "since": f"occurred_at >= {instant(self.first)}",
            "horizon": instant(self.horizon),
            "buckets": _between_seconds(self.first, self.last),
        }


def marked(kind: Kind, dirty: Sequence[Mark], horizon: int = 0) -> Chosen:
    """The buckets that were marked."""
    name, width = column(kind), WIDTH[kind]
    keys = (f"(toUUID('{m.tenant}'), {subject(kind, m.subject)}, {m.bucket // width})" for m in dirty)
    tenants = ", ".join(f"toUUID('{tenant}')" for tenant in sorted({mark.tenant for mark in dirty}))
    subjects = ", ".join(sorted({subject(kind, mark.subject) for mark in dirty}))
    return Chosen(
        these=f"tenant_id IN ({tenants}) AND {name} IN ({subjects})",
        slots=f"(tenant_id, {name}, slot) IN ({', '.join(keys)})",
        first=min(mark.bucket for mark in dirty),
        last=max(mark.bucket for mark in dirty) + width,
        horizon=horizon,
    )


def everything(kind: Kind, tenant: UUID | None, first: int, last: int, horizon: int = 0) -> Chosen:
    """Every bucket from `first` until `last`, which lie on borders of buckets."""
    width = WIDTH[kind]
    return Chosen(
        these="1" if tenant is None else f"tenant_id = toUUID('{tenant}')",
        slots=f"slot >= {first // width} AND slot < {last // width}",
        first=first,
        last=last,
        horizon=horizon,
    )


def between(name: str, first: int, last: int) -> str:
    """The column lies in the range."""
    return f"{name} >= {instant(first)} AND {name} < {instant(last)}"


def _between_seconds(first: int, last: int) -> str:
    begin, end = (f"toDateTime({max(0, at) // SECOND}, 'UTC')" for at in (first, last))
    return f"bucket >= {begin} AND bucket < {end}"


def instant(at: int) -> str:
    """Microseconds as ClickHouse writes a time."""
    return f"fromUnixTimestamp64Micro(toInt64({max(0, at)}), 'UTC')"


def column(kind: Kind) -> str:
    """The column that names the subject."""
    return "node_id" if kind in NODE_KINDS else "stream_id"


def subject(kind: Kind, name: str) -> str:
    """A stream id, or a node's name as a literal that says nothing but the name."""
    return f"unhex('{name.encode().hex()}')" if kind in NODE_KINDS else f"toUUID('{UUID(name)}')"
