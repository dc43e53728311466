"""Effects on other services: a row written with its cause in one transaction, delivered later, at least once.

Messages of one topic and key are delivered in the order they were added; other keys never wait for them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from frameworks.kit import log
from frameworks.kit.clock import Clock, SystemClock, jitter
from frameworks.kit.errors import Fault
from frameworks.kit.sql import Connection, Database

BACKOFF_FIRST, BACKOFF_LAST = 1.0, 300.0
LEASE_MARGIN = 0.8
ERROR_LENGTH = 500

_CLAIM = """
UPDATE {schema}.outbox AS taken SET due_at = now() + $1, attempts = attempts + 1
WHERE id IN (
    SELECT o.id FROM {schema}.outbox o
    WHERE o.due_at <= now() AND NOT EXISTS (
        SELECT FROM {schema}.outbox earlier
        WHERE earlier.topic = o.topic AND earlier.key = o.key AND earlier.id < o.id AND earlier.due_at > now()
    )
    ORDER BY o.id LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING id, topic, key, payload, headers, attempts
"""
_RELEASE = "UPDATE {schema}.outbox SET due_at = now(), attempts = attempts - 1 WHERE id = ANY($1)"
_POSTPONE = "UPDATE {schema}.outbox SET due_at = now() + $2, error = $3 WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Letter:
    """One effect to deliver; `attempts` counts this one. A receiver may see it twice."""

    id: int
    topic: str
    key: str
    payload: bytes
    headers: Mapping[str, str]
    attempts: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: how many rows, how long the oldest has, and how many were tried in vain."""

    waiting: int
    oldest: timedelta
    failing: int


Deliver = Callable[[Letter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Ended:
    """How far one key's letters got, and what stopped the rest."""

    delivered: Sequence[Letter]
    rest: Sequence[Letter] = ()
    error: BaseException | None = None


async def add(
    c: Connection, schema: str, topic: str, key: str, payload: bytes, headers: Mapping[str, str] | None = None
) -> None:
    """Add an effect to the caller's transaction: it happens if, and only if, that commits."""
    await c.execute(
        f"INSERT INTO {schema}.outbox (topic, key, payload, headers) VALUES ($1, $2, $3, $4)",
        topic,
        key,
        payload,
        dict(headers or {}),
    )


class Outbox:
    """Delivers one schema's outbox; any number of processes may do so at the same time."""

    def __init__(
        self,
        db: Database,
        schema: str,
        *,
        clock: Clock | None = None,
        batch: int = 100,
        concurrency: int = 16,
        lease: timedelta = timedelta(seconds=30),
        idle: float = 0.5,
    ) -> None:
        self._db = db
        self._schema = schema
        self._clock: Clock = clock or SystemClock()
        self._batch = batch
        self._slots = asyncio.Semaphore(concurrency)
        self._lease = lease
        self._idle = idle
        self._nudged = asyncio.Event()
        self._log = log.get(schema)

    def nudge(self) -> None:
        """Something was added in this process: deliver now rather than at the next look."""
        self._nudged.set()

    async def drain(self, deliver: Deliver) -> None:
        """Deliver until cancelled; a Fault of `deliver` is retried with back-off, a bug ends the loop too."""
        while True:
            self._nudged.clear()
            if await self.drain_once(deliver) < self._batch:
                await self._pause()

    async def drain_once(self, deliver: Deliver) -> int:
        """Take one batch and deliver it; how many rows were taken."""
        deadline = asyncio.get_running_loop().time() + self._lease.total_seconds() * LEASE_MARGIN
        letters = await self._claim()
        queues: dict[tuple[str, str], list[Letter]] = {}
        for letter in letters:
            queues.setdefault((letter.topic, letter.key), []).append(letter)
        ended: list[_Ended] = []
        deliveries = [self._deliver_in_order(queue, deliver, deadline, ended) for queue in queues.values()]
        try:
            results = await asyncio.gather(*deliveries, return_exceptions=True)
        finally:
            await self._settle(ended)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, (Fault, TimeoutError)):
                raise result
        return len(letters)

    async def backlog(self) -> Backlog:
        """What waits now, for `/health` and metrics."""
        async with self._db.system() as c:
            row = await c.fetchrow(
                f"SELECT count(*) AS waiting, count(*) FILTER (WHERE error <> '') AS failing, "
                f"coalesce(now() - min(created_at), interval '0') AS oldest FROM {self._schema}.outbox"
            )
        return Backlog(**dict(row or {}))

    async def _pause(self) -> None:
        """Until a nudge, or the idle time."""
        waits = [
            asyncio.ensure_future(self._nudged.wait()),
            asyncio.ensure_future(self._clock.sleep(jitter(self._idle, 0.2))),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _claim(self) -> Sequence[Letter]:
        """Lease the next batch; claims take turns, else a row would not see the one before it leased."""
        async with self._db.system() as c:
            await c.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{self._schema}.outbox")
            rows = await c.fetch(_CLAIM.format(schema=self._schema), self._lease, self._batch)
        return sorted((Letter(**dict(row)) for row in rows), key=lambda letter: letter.id)

    async def _deliver_in_order(
        self, queue: Sequence[Letter], deliver: Deliver, deadline: float, ended: list[_Ended]
    ) -> None:
        """Deliver one key's letters until one fails or the lease is about to run out."""
        done = 0
        try:
            async with asyncio.timeout_at(deadline), self._slots:
                for letter in queue:
                    await deliver(letter)
                    done += 1
        except BaseException as error:
            ended.append(_Ended(queue[:done], queue[done:], error))
            raise
        ended.append(_Ended(queue))

    async def _settle(self, ended: Sequence[_Ended]) -> None:
        """Delete what was delivered; what failed is tried later, and the rest of its key behind it."""
        delivered = [letter.id for end in ended for letter in end.delivered]
        failed = [(end.rest[0], end.error) for end in ended if end.rest and not _stopped(end.error)]
        failed_ids = {letter.id for letter, _ in failed}
        untried = [letter.id for end in ended for letter in end.rest if letter.id not in failed_ids]
        if not ended:
            return
        async with self._db.system() as c:
            await c.execute(f"DELETE FROM {self._schema}.outbox WHERE id = ANY($1)", delivered)
            if untried:
                await c.execute(_RELEASE.format(schema=self._schema), untried)
            for letter, error in failed:
                pause = jitter(min(BACKOFF_FIRST * 2 ** min(letter.attempts - 1, 20), BACKOFF_LAST))
                reason = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
                await c.execute(
                    _POSTPONE.format(schema=self._schema), letter.id, timedelta(seconds=pause), reason
                )
                self._log.warning(
                    "letter.delayed", topic=letter.topic, attempts=letter.attempts, retry_in=pause
                )


def _stopped(error: BaseException | None) -> bool:
    """Whether we were told to stop, which is no failure of the letter."""
    return isinstance(error, asyncio.CancelledError)
