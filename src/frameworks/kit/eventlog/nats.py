"""The event log on NATS JetStream: a partition is a stream, an offset its sequence.

`Nats-Msg-Id` carries the dedupe id. Where topics lie is in `nats_layout`, publishing in `nats_publishing`, reading in
`nats_reading`; groups (who has
which partition, and how far the group got) are in `nats_groups`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from frameworks.kit import log
from frameworks.kit.eventlog import (
    MAX_VALUE,
    BadRecord,
    EventLogAway,
    Extent,
    Outgoing,
    Record,
    RecordTooLarge,
    Retention,
    Start,
    Subscription,
    UnknownTopic,
    nats_layout,
)
from frameworks.kit.eventlog.nats_client import RecordClient
from frameworks.kit.eventlog.nats_groups import GroupSubscription
from frameworks.kit.eventlog.nats_layout import partitions_of, stream_of
from frameworks.kit.eventlog.nats_publishing import IN_FLIGHT, Publisher
from frameworks.kit.eventlog.nats_reading import Reader, SoloSubscription

CONNECT_WITHIN = 5.0
REQUEST_WITHIN = 5.0
FAILURES = (NatsError, OSError, TimeoutError)


@contextmanager
def unavailable(what: str) -> Iterator[None]:
    """Turn failures of the connection or the server into Unavailable."""
    try:
        yield
    except NotFoundError as error:
        raise UnknownTopic(f"The event log has no such topic: {what}.") from error
    except APIError as error:
        raise EventLogAway(f"The event log refused {what}: {error.description}.") from error
    except FAILURES as error:
        raise EventLogAway(f"The event log is away: {what}.", reason=repr(error)) from error


class Connection:
    """A connection that comes back by itself, and tells those who asked when it went and when it came."""

    def __init__(self, name: str) -> None:
        self.client = RecordClient()
        self.js = JetStreamContext(self.client, timeout=REQUEST_WITHIN)
        self.publisher = Publisher(self.client)
        self.restored = asyncio.Event()
        self._failed = asyncio.Event()
        self.listeners: set[Callable[[], None]] = set()
        self._name = name
        self._log = log.get(name)

    async def open(self, url: str) -> None:
        """Connect; Unavailable when there is no answer in time."""
        target = urlsplit(url)
        options: dict[str, Any] = {
            "servers": [f"{target.scheme}://{target.hostname}:{target.port or 4222}"],
            "token": target.username if not target.password else None,
            "user": target.username if target.password else None,
            "password": target.password,
            "name": self._name,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.1,
            "connect_timeout": 2,
            "ping_interval": 10,
            "pending_size": 0,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
        }
        try:
            await self._first(asyncio.ensure_future(self.client.connect(**options)))
        except FAILURES as error:
            await self.client.close()
            raise EventLogAway(f"No event log answers at {target.hostname}:{target.port}.") from error
        self.restored.set()

    async def _first(self, connecting: asyncio.Future[Any]) -> None:
        """Await the first attempt only; the client by itself would try for ever."""
        failed = asyncio.ensure_future(self._failed.wait())
        try:
            done, _ = await asyncio.wait(
                {connecting, failed}, timeout=CONNECT_WITHIN, return_when=asyncio.FIRST_COMPLETED
            )
            if connecting not in done:
                raise TimeoutError("no connection")
            await connecting
        finally:
            failed.cancel()
            connecting.cancel()

    async def _on_error(self, error: Exception) -> None:
        self._failed.set()
        self._log.warning("eventlog.connection_failed", reason=repr(error))

    async def _on_disconnected(self) -> None:
        self.restored.clear()
        self.publisher.lost()

    async def _on_reconnected(self) -> None:
        self.publisher.restored()
        self.restored.set()
        self._log.info("eventlog.reconnected")
        for listener in list(self.listeners):
            listener()


class NatsEventLog:
    """The `EventLog` of a NATS server with JetStream."""

    deduplicates = True

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._partitions: dict[str, int] = {}

    def connected(self) -> bool:
        """Whether the server can be reached now."""
        return self._connection.client.is_connected

    async def close(self) -> None:
        """Leave at once; what was acknowledged is durable."""
        await self._connection.client.close()

    async def ensure(self, topic: str, *, partitions: int, retention: Retention | None = None) -> None:
        """Create or update the topic; NoShrinking when it has more partitions than asked for."""
        Outgoing(topic, partitions - 1, b"").check()
        with unavailable(f"ensuring {topic}"):
            await nats_layout.ensure(self._connection.js, topic, partitions, retention or Retention())
        self._partitions[topic] = partitions

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append all, in order, many in flight; returns when each is on the server's disk."""
        limit = self._connection.client.max_payload - MAX_VALUE // 64
        counts = {topic: await self._count(topic) for topic in self._checked(records, limit)}
        for record in records:
            if record.partition >= counts[record.topic]:
                raise BadRecord(f"{record.topic} has no partition {record.partition}.")
        try:
            await self._connection.publisher.publish(records)
        except FAILURES as error:
            raise EventLogAway(
                "The event log did not acknowledge every record: publish all again.", reason=repr(error)
            ) from error

    def _checked(self, records: Sequence[Outgoing], limit: int) -> set[str]:
        """The topics of what can be published."""
        for record in records:
            record.check()
            if len(record.value) > limit:
                raise RecordTooLarge("This event log takes no record of that size.", topic=record.topic)
        return {record.topic for record in records}

    def subscribe(
        self, topic: str, *, group: str | None = None, start: Start | None = None
    ) -> AbstractAsyncContextManager[Subscription]:
        """A reader of the topic, alone or as a member of `group`."""
        if group is None:
            return self._alone(topic, "latest" if start is None else start)
        return self._member(topic, group, "earliest" if start is None else start)

    @asynccontextmanager
    async def _alone(self, topic: str, start: Start) -> AsyncIterator[Subscription]:
        with unavailable(f"subscribing to {topic}"):
            subscription = SoloSubscription(self._connection, topic, await self._count(topic))
            await subscription.open(start)
        try:
            yield subscription
        finally:
            await subscription.close()

    @asynccontextmanager
    async def _member(self, topic: str, group: str, start: Start) -> AsyncIterator[Subscription]:
        if isinstance(start, datetime):
            raise BadRecord("A group starts at an offset, the earliest or the latest record, not at a time.")
        Outgoing(group, 0, b"").check()
        with unavailable(f"joining {group} on {topic}"):
            subscription = GroupSubscription(self._connection, topic, group, await self._count(topic), start)
            await subscription.open()
        try:
            yield subscription
        finally:
            await subscription.close()

    async def replay(
        self, topic: str, *, partition: int | None = None, start: Start = "earliest"
    ) -> AsyncIterator[Record]:
        """Every record from `start` to the end as it is now."""
        with unavailable(f"replaying {topic}"):
            wanted = range(await self._count(topic)) if partition is None else [partition]
        for number in wanted:
            async for record in self._replay_partition(topic, number, start):
                yield record

    async def _replay_partition(self, topic: str, partition: int, start: Start) -> AsyncIterator[Record]:
        reader = Reader(self._connection, topic, partition)
        with unavailable(f"replaying {topic}"):
            await reader.open(start)
            left = await self._left(reader)
        try:
            while left > 0:
                records = await reader.wait_take(min(left, IN_FLIGHT), REQUEST_WITHIN)
                if not records and not self.connected():
                    raise EventLogAway("The event log went away during a replay.")
                left = left - len(records) if records else await self._left(reader)
                for record in records:
                    yield record
        finally:
            await reader.close()

    async def extent(self, topic: str) -> Extent:
        """What each partition holds."""
        with unavailable(topic):
            names = [stream_of(topic, number) for number in range(await self._count(topic))]
            found = await asyncio.gather(*map(self._connection.js.stream_info, names))
        return Extent(
            epoch=str(found[0].created),
            first={number: max(1, info.state.first_seq) for number, info in enumerate(found)},
            end={number: info.state.last_seq + 1 for number, info in enumerate(found)},
        )

    async def _left(self, reader: Reader) -> int:
        with unavailable("during a replay"):
            return await reader.unread()

    async def _count(self, topic: str) -> int:
        """How many partitions the topic has; asked once."""
        if topic not in self._partitions:
            with unavailable(topic):
                count = partitions_of((await self._connection.js.stream_info(stream_of(topic, 0))).config)
            if not count:
                raise UnknownTopic(f"The topic is still being made: {topic}.")
            self._partitions[topic] = count
        return self._partitions[topic]


async def connect(url: str, *, name: str) -> NatsEventLog:
    """The event log of the NATS server at `url`."""
    connection = Connection(name)
    await connection.open(url)
    try:
        await connection.js.account_info()
    except (APIError, *FAILURES) as error:
        await connection.client.close()
        raise EventLogAway("The NATS server has no JetStream.") from error
    return NatsEventLog(connection)
