"""The event log as a port: append records durably, read them in order, remember how far a group got.

`connect(url)` picks the adapter by the URL's scheme. What each promises: `tests/contract/test_eventlog.py`.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Literal, Protocol
from urllib.parse import urlsplit

from frameworks.kit.errors import Kind, NotFound, Precondition, Refusal

NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
HEADER_NAME = re.compile(r"(?!nats-)[A-Za-z0-9_-]{1,100}", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to append; a `dedupe_id` seen within the topic's window is acknowledged, not stored again."""

    topic: str
    partition: int
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    dedupe_id: str = ""

    def check(self) -> None:
        """Raise BadRecord or RecordTooLarge for what no adapter carries."""
        if not NAME.fullmatch(self.topic) or self.partition < 0:
            raise BadRecord(f"No topic can be called {self.topic!r}, partition {self.partition}.")
        if len(self.value) > MAX_VALUE:
            raise RecordTooLarge(
                f"A record holds at most {MAX_VALUE} bytes, not {len(self.value)}.", topic=self.topic
            )
        for name, value in self.headers.items():
            if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
                raise BadRecord(
                    f"The header {name!r} is not printable ASCII of at most 1024 characters.",
                    topic=self.topic,
                )
        if not HEADER_VALUE.fullmatch(self.dedupe_id):
            raise BadRecord("A dedupe id is printable ASCII.", topic=self.topic)


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record; offsets grow within a partition, but need not be consecutive."""

    topic: str
    partition: int
    offset: int
    value: bytes
    headers: Mapping[str, str]
    timestamp_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much of a topic is kept: the oldest records go when either limit is passed."""

    max_age: timedelta = timedelta(days=7)
    max_bytes: int = 1024**3
    dedupe_window: timedelta = timedelta(minutes=5)


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

    def connected(self) -> bool:
        """Whether the log can be reached now."""

    async def close(self) -> None:
        """Leave; subscriptions end."""


async def connect(url: str, *, name: str = "frameworks") -> EventLog:
    """The event log at `url` (`nats://token@host:port`); Unavailable when it does not answer."""
    scheme = urlsplit(url).scheme
    if scheme in {"nats", "tls"}:
        from frameworks.kit.eventlog import nats

        return await nats.connect(url, name=name)
    raise NoAdapter(f"No event log adapter for {scheme or 'an URL without a scheme'}: use nats://.")
