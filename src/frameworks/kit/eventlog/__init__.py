"""The event log as a port: append records durably, read them in order, remember how far a group got.

`connect(url)` picks the adapter by the URL's scheme. What each promises: `tests/contract/test_eventlog.py`.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import ClassVar, Literal, Protocol
from urllib.parse import urlsplit

import msgspec

from frameworks.kit.errors import Kind, NotFound, Precondition, Refusal, Unavailable

NAME = re.compile(r"(?=.{1,100}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?")
"""A topic, or one mirrored from elsewhere: `<region>.<topic>`."""
HEADER_NAME = re.compile(r"(?!nats-|frameworks-)[A-Za-z0-9_-]{1,100}", re.IGNORECASE)
HEADER_VALUE = re.compile(r"([!-~]([ -~]{0,1022}[!-~])?)?")
MAX_VALUE = 4 * 1024 * 1024

Start = Literal["earliest", "latest"] | int | Mapping[int, int] | datetime
"""Where to begin: an int is the first offset wanted in every partition, a mapping gives one per partition."""


class UnknownTopic(NotFound):
    """The topic does not exist: `ensure` it first."""

    code = "eventlog.unknown_topic"


class BadRecord(Refusal):
    """A record the log can not carry: a bad name, header or partition."""

    code = "eventlog.bad_record"


class RecordTooLarge(Refusal):
    """A record over the size limit; split the batch."""

    kind: ClassVar[Kind] = Kind.TOO_LARGE
    code = "eventlog.record_too_large"


class NoAdapter(Precondition):
    """The URL's scheme names no event log we can speak to."""

    code = "eventlog.no_adapter"


class NoShrinking(Precondition):
    """A topic can not lose partitions: records would lose their order."""

    code = "eventlog.no_shrinking"


class EventLogAway(Unavailable):
    """The event log does not answer; nothing was lost that was acknowledged."""

    code = "eventlog.away"


@lru_cache(maxsize=1024)
def _is_topic(name: str) -> bool:
    return NAME.fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _is_header_name(name: str) -> bool:
    return HEADER_NAME.fullmatch(name) is not None


def _all_plain(headers: Mapping[str, str], dedupe_id: str) -> bool:
    """Whether everything matches HEADER_NAME and HEADER_VALUE: the same, quicker."""
    values = [*headers.values(), dedupe_id]
    text = "".join(values)
    return (
        text.isascii()
        and text.isprintable()
        and max(map(len, values)) <= 1024
        and list(map(str.strip, values)) == values
        and all(map(_is_header_name, headers))
    )


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to append; its `dedupe_id` says which records are one and the same (see `EventLog.deduplicates`)."""

    topic: str
    partition: int
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    dedupe_id: str = ""

    def check(self) -> None:
        """Raise BadRecord or RecordTooLarge for what no adapter carries."""
        if not _is_topic(self.topic) or self.partition < 0:
            raise BadRecord(f"No topic can be called {self.topic!r}, partition {self.partition}.")
        if len(self.value) > MAX_VALUE:
            raise RecordTooLarge(
                f"A record holds at most {MAX_VALUE} bytes, not {len(self.value)}.", topic=self.topic
            )
        if _all_plain(self.headers, self.dedupe_id):
            return
        for name, value in self.headers.items():
            if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
                raise BadRecord(
                    f"The header {name!r} is not printable ASCII of at most 1024 characters.",
                    topic=self.topic,
                )
        if not HEADER_VALUE.fullmatch(self.dedupe_id):
            raise BadRecord("A dedupe id is printable ASCII.", topic=self.topic)


class Record(msgspec.Struct, frozen=True):
    """A stored record; offsets grow within a partition, but need not be consecutive."""

    topic: str
    partition: int
    offset: int
    value: bytes
    headers: Mapping[str, str]
    timestamp_us: int
    dedupe_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much of a topic is kept: the oldest records go soon after either limit is passed."""

    max_age: timedelta = timedelta(days=7)
    max_bytes: int = 1024**3
    dedupe_window: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Extent:
    """What a topic holds now."""

    epoch: str
    """Changes when the topic is made anew: an offset means nothing in another epoch."""
    first: Mapping[int, int]
    """Per partition: every record from this offset on is still there."""
    end: Mapping[int, int]
    """Per partition: every record so far has a smaller offset."""


class Subscription(Protocol):
    """Reads one topic: members of a group split its partitions, a reader without a group sees everything."""

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions this reader has now."""

    async def fetch(self, max_records: int, timeout: float) -> list[Record]:
        """The next records, in order per partition; Unavailable when there are none and the log is away."""

    async def commit(self, records: Sequence[Record]) -> None:
        """Durably remember that these and all earlier records of their partitions are done.

        Records of a partition that another member has by now are ignored: that member reads them again.
        """

    async def rewind(self) -> None:
        """Go back to what is committed: uncommitted records are fetched again."""

    async def lags(self) -> Mapping[int, int]:
        """Per partition it has: how many records are not committed (without a group: not fetched)."""

    async def lag(self) -> int:
        """The sum of `lags`."""


class EventLog(Protocol):
    """An append-only log in topics and partitions."""

    @property
    def deduplicates(self) -> bool:
        """Whether a `dedupe_id` seen within the topic's window is acknowledged and not stored again.

        JetStream does. Kafka does not: a record published twice is stored twice, under the same
        `Record.dedupe_id`, so whoever reads must be idempotent, as any reader of an at-least-once log must.
        """

    async def ensure(self, topic: str, *, partitions: int, retention: Retention = ...) -> None:
        """Create the topic, or bring its retention and partition count up to date; it never shrinks."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append all; returns when each is durable. On Unavailable some may be stored: publish all again."""

    def subscribe(
        self, topic: str, *, group: str | None = None, start: Start | None = None
    ) -> AbstractAsyncContextManager[Subscription]:
        """Read from what the group committed, else from `start`: earliest, or latest without a group."""

    def replay(
        self, topic: str, *, partition: int | None = None, start: Start = "earliest"
    ) -> AsyncIterator[Record]:
        """Every record from `start` to what was the end when it was called; touches no group."""

    async def extent(self, topic: str) -> Extent:
        """Which offsets of the topic can be read, and in which epoch."""

    def connected(self) -> bool:
        """Whether the log can be reached now."""

    async def close(self) -> None:
        """Leave; subscriptions end."""


async def connect(url: str, *, name: str = "frameworks") -> EventLog:
    """The event log at `url`, `nats://token@host:port` or `kafka://host:port`; Unavailable without an answer."""
    scheme = urlsplit(url).scheme
    if scheme in {"nats", "tls"}:
        from frameworks.kit.eventlog import nats

        return await nats.connect(url, name=name)
    if scheme == "kafka":
        from frameworks.kit.eventlog import kafka

        return await kafka.connect(url, name=name)
    raise NoAdapter(
        f"No event log adapter for {scheme or 'an URL without a scheme'}: use nats:// or kafka://."
    )
