"""Groups over JetStream: members share out the partitions, and commits are fenced.

`frameworks_offsets` (a durable key-value bucket) holds one entry per topic, group and partition: how far it
got and which member has it. Every change compares the entry's revision, so a member that lost a partition can
no longer commit to it. `frameworks_members` (in memory) holds who is alive; entries expire. From the list of
members each one works out its own partitions; one changes hands when its owner released it or is gone.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import StorageType
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from frameworks.kit import log
from frameworks.kit.clock import SystemClock, jitter, random_text, uuid7
from frameworks.kit.eventlog import Record, Start
from frameworks.kit.eventlog.arrivals import wait_for_records
from frameworks.kit.eventlog.nats_layout import OFFSETS, Entry
from frameworks.kit.eventlog.nats_reading import Away, Reader, first_offset, take_fairly
from frameworks.kit.tasks import end

if TYPE_CHECKING:
    from frameworks.kit.eventlog.nats import Connection

MEMBERS = "frameworks_members"
LEASE = 9.0
BALANCE_EVERY = LEASE / 4
HAND_OVER = 3.0
COUNTED = 100_000
FAILURES = (NatsError, OSError, TimeoutError)


@dataclass(slots=True)
class Holding:
    """A partition this member has."""

    reader: Reader
    revision: int
    done: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    handed: deque[int] = field(default_factory=lambda: deque(maxlen=COUNTED))
    leaving_since: float | None = None


class GroupSubscription:
    """One member of a group."""

    def __init__(
        self, connection: "Connection", topic: str, group: str, partitions: int, start: Start
    ) -> None:
        self._connection = connection
        self._topic, self._group, self._count, self._start = topic, group, partitions, start
        self._member = f"{uuid7().hex}{random_text(4)}"
        self._clock = SystemClock()
        self._log = log.get("eventlog", topic=topic, group=group, member=self._member)
        self._arrived = asyncio.Event()
        self._moved = asyncio.Event()
        self._held: dict[int, Holding] = {}
        self._settled_at = 0.0
        self._loop: asyncio.Task[None] | None = None

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions this member has now."""
        return frozenset(self._held)

    async def open(self) -> None:
        """Join; the first share of partitions is taken before this returns."""
        await self._open_buckets()
        self._news = await self._connection.client.subscribe(self._channel, cb=self._on_news)
        self._connection.listeners.add(self._on_reconnected)
        await self._balance()
        await self._announce()
        self._loop = asyncio.create_task(self._balance_forever(), name=f"group-{self._topic}-{self._group}")

    async def close(self) -> None:
        """Leave: release the partitions and tell the others."""
        self._connection.listeners.discard(self._on_reconnected)
        if self._loop is not None:
            await end([self._loop])
        reachable = self._connection.client.is_connected
        try:
            for partition in list(self._held):
                await self._release(partition, tell=reachable)
            if reachable:
                await self._connection.js.purge_stream(
                    f"KV_{MEMBERS}", subject=f"$KV.{MEMBERS}.{self._key(self._member)}"
                )
                await self._announce()
                await self._news.unsubscribe()
        except FAILURES as error:
            self._log.info("member.left_unannounced", reason=repr(error))

    async def fetch(self, max_records: int, timeout: float) -> list[Record]:
        """The next records; Unavailable when there are none and the server is away."""
        records = await wait_for_records(lambda: self._take(max_records), self._arrived, timeout)
        if not records and not self._connection.client.is_connected:
            raise Away("The event log is away.")
        return records

    async def commit(self, records: Sequence[Record]) -> None:
        """Durably move the group past these records; those of partitions lost meanwhile are ignored."""
        reached: dict[int, int] = defaultdict(int)
        for record in records:
            reached[record.partition] = max(reached[record.partition], record.offset)
        try:
            await asyncio.gather(*(self._commit(partition, offset) for partition, offset in reached.items()))
        except FAILURES as error:
            raise Away(
                "The event log is away: the commit may not have happened.", reason=repr(error)
            ) from error

    async def rewind(self) -> None:
        """Back to what is committed."""
        for holding in self._held.values():
            holding.handed.clear()
            await holding.reader.seek(holding.done + 1)

    async def lags(self) -> Mapping[int, int]:
        """Per partition of this member: the records not committed."""
        try:
            return {
                number: await holding.reader.unread() + len(holding.handed)
                for number, holding in list(self._held.items())
            }
        except FAILURES as error:
            raise Away("The event log is away.") from error

    async def lag(self) -> int:
        """The sum of `lags`."""
        return sum((await self.lags()).values())

    def _take(self, limit: int) -> list[Record]:
        staying = [holding.reader for holding in self._held.values() if holding.leaving_since is None]
        records = take_fairly(staying, limit)
        for record in records:
            self._held[record.partition].handed.append(record.offset)
        return records

    async def _commit(self, partition: int, offset: int) -> None:
        holding = self._held.get(partition)
        if holding is None:
            return
        async with holding.lock:
            if offset <= holding.done or self._held.get(partition) is not holding:
                return
            try:
                holding.revision = await self._write(partition, _at(offset, self._member), holding.revision)
            except KeyWrongLastSequenceError:
                if not await self._recognise(partition, holding, offset):
                    await self._drop(partition)
                    return
            holding.done = offset
            while holding.handed and holding.handed[0] <= offset:
                holding.handed.popleft()
            if holding.leaving_since is not None and not holding.handed:
                self._moved.set()

    async def _recognise(self, partition: int, holding: Holding, offset: int) -> bool:
        """Whether the entry changed by our own hand (its answer was lost); then commit on top of it."""
        entry, revision = await self._read(partition)
        if entry.owner != self._member:
            return False
        holding.revision = await self._write(partition, _at(offset, self._member), revision)
        return True

    async def _balance_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(jitter(BALANCE_EVERY, 0.2)):
                    await self._moved.wait()
            except TimeoutError:
                pass
            self._moved.clear()
            try:
                await self._balance()
            except FAILURES as error:
                self._log.info("balance.postponed", reason=repr(error))
                await self._connection.restored.wait()
                await self._clock.sleep(jitter(0.2))
                self._moved.set()

    async def _balance(self) -> None:
        """Say that we are alive, give up what is another's by now, claim what is ours."""
        members = await self._members_now()
        rank = members.index(self._member)
        mine = {number for number in range(self._count) if number % len(members) == rank}
        for number in [number for number in self._held if number not in mine]:
            if self._finished(self._held[number]):
                await self._release(number, tell=True)
                await self._announce()
        for number in mine:
            if number in self._held:
                self._held[number].leaving_since = None
            else:
                await self._claim(number, members)

    def _finished(self, holding: Holding) -> bool:
        """Whether a leaving partition may go: everything handed out is committed, or it took too long."""
        now = self._clock.monotonic()
        holding.leaving_since = holding.leaving_since if holding.leaving_since is not None else now
        return not holding.handed or now - holding.leaving_since > HAND_OVER

    async def _claim(self, partition: int, members: Sequence[str]) -> None:
        try:
            entry, revision = await self._read(partition)
        except KeyNotFoundError:
            first = await first_offset(self._connection, self._topic, partition, self._start)
            entry, revision = _at(first - 1), 0
        alive = entry.owner in members or self._clock.monotonic() < self._settled_at
        if entry.owner not in {"", self._member} and alive:
            return
        try:
            revision = await self._write(partition, _at(entry.done, self._member), revision)
        except KeyWrongLastSequenceError:
            return
        reader = Reader(self._connection, self._topic, partition, self._arrived)
        await reader.open(entry.done + 1)
        self._held[partition] = Holding(reader, revision, entry.done)
        self._log.info("partition.claimed", partition=partition, done=entry.done)

    async def _release(self, partition: int, *, tell: bool) -> None:
        holding = self._held[partition]
        async with holding.lock:
            if tell:
                try:
                    await self._write(partition, _at(holding.done), holding.revision)
                except KeyWrongLastSequenceError:
                    self._log.info("partition.taken", partition=partition)
            await self._drop(partition)

    async def _drop(self, partition: int) -> None:
        holding = self._held.pop(partition, None)
        if holding is not None:
            await holding.reader.close()
            self._log.info("partition.released", partition=partition, done=holding.done)

    async def _members_now(self) -> list[str]:
        try:
            await self._members.put(self._key(self._member), b"")
            found = await self._connection.js.stream_info(
                f"KV_{MEMBERS}", subjects_filter=f"$KV.{MEMBERS}.{self._key('*')}"
            )
        except NotFoundError:
            await self._open_buckets()
            raise
        names = {subject.rsplit(".", 1)[1] for subject in found.state.subjects or {}}
        return sorted(names | {self._member})

    async def _open_buckets(self) -> None:
        create = self._connection.js.create_key_value
        self._members: KeyValue = await create(bucket=MEMBERS, ttl=LEASE, storage=StorageType.MEMORY)
        self._offsets: KeyValue = await create(bucket=OFFSETS, storage=StorageType.FILE)

    async def _read(self, partition: int) -> tuple[Entry, int]:
        found = await self._offsets.get(self._key(str(partition)))
        return msgspec.json.decode(found.value or b"", type=Entry), found.revision or 0

    async def _write(self, partition: int, entry: Entry, revision: int) -> int:
        return await self._offsets.update(
            self._key(str(partition)), msgspec.json.encode(entry), last=revision
        )

    def _key(self, last: str) -> str:
        return f"{self._topic}.{self._group}.{last}"

    @property
    def _channel(self) -> str:
        return f"frameworks.groups.{self._topic}.{self._group}"

    async def _announce(self) -> None:
        await self._connection.client.publish(self._channel, self._member.encode())

    async def _on_news(self, message: Msg) -> None:
        if message.data != self._member.encode():
            self._moved.set()

    def _on_reconnected(self) -> None:
        """The list of members may be empty after a restart: give the others time to say that they live."""
        self._settled_at = self._clock.monotonic() + LEASE
        self._moved.set()


def _at(done: int, owner: str = "") -> Entry:
    return Entry(done, owner, own_stream=True)
