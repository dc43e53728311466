"""Publishing to JetStream, many records in flight: what answers a record has its token in the subject."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from nats.errors import Error as NatsError

from frameworks.kit.eventlog import Outgoing
from frameworks.kit.eventlog.nats_client import RecordClient
from frameworks.kit.eventlog.nats_wire import publication, status_of

IN_FLIGHT = 256
CROWDED = 4096
"""Records not acknowledged, of all who publish: who comes then waits."""
ACKNOWLEDGED_WITHIN = 15.0


class NotStored(NatsError):
    """The server did not store a record."""


class Refusal(msgspec.Struct, frozen=True):
    """Why the server did not store a record."""

    description: str = "no reason"


class Answer(msgspec.Struct, frozen=True):
    """What JetStream says to a record."""

    seq: int = 0
    error: Refusal | None = None


ANSWER = msgspec.json.Decoder(Answer)


@dataclass(slots=True, eq=False)
class Window:
    """Records published together; `ended` says how."""

    left: int
    ended: asyncio.Future[Exception | None]

    def end(self, failure: Exception | None) -> None:
        """Everything is stored, or something failed."""
        if not self.ended.done():
            self.ended.set_result(failure)


class Publisher:
    """Appends records over one connection."""

    def __init__(self, client: RecordClient) -> None:
        self._client = client
        self._inbox = ""
        self._opening = asyncio.Lock()
        self._room = asyncio.Event()
        self._away = False
        self._next = 0
        self._waiting: dict[int, Window] = {}

    @property
    def waiting(self) -> int:
        """How many records are not acknowledged yet."""
        return len(self._waiting)

    def lost(self) -> None:
        """The connection went: nothing that is in flight will be acknowledged."""
        self._away = True
        for window in set(self._waiting.values()):
            window.end(TimeoutError("the connection was lost"))

    def restored(self) -> None:
        """It came back."""
        self._away = False

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append all; returns when each is on the server's disk, raises what went wrong first."""
        for first in range(0, len(records), IN_FLIGHT):
            await self._enter()
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                await self._publish(records[first : first + IN_FLIGHT])

    async def _enter(self) -> None:
        if not self._inbox:
            async with self._opening:
                await self._open()
        while self.waiting > CROWDED - IN_FLIGHT:
            self._room.clear()
            await self._room.wait()

    async def _open(self) -> None:
        if not self._inbox:
            inbox = f"{self._client.new_inbox()}."
            await self._client.listen(f"{inbox}*", self._answered)
            self._inbox = inbox

    async def _publish(self, records: Sequence[Outgoing]) -> None:
        if self._away:
            raise TimeoutError("the connection is lost")
        window = Window(len(records), asyncio.get_running_loop().create_future())
        tokens = range(self._next, self._next + len(records))
        self._next = tokens.stop
        pieces: list[bytes] = []
        for token, record in zip(tokens, records, strict=True):
            pieces += publication(
                f"{record.topic}.{record.partition}",
                f"{self._inbox}{token}",
                record.headers,
                record.dedupe_id,
                record.value,
            )
        self._waiting |= dict.fromkeys(tokens, window)
        try:
            await self._client.send(pieces)
            if (failure := await window.ended) is not None:
                raise failure
        finally:
            self._forget(tokens if window.left else range(0))

    def _forget(self, tokens: range) -> None:
        for token in tokens:
            self._waiting.pop(token, None)
        self._room.set()

    def _answered(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        token = subject[len(self._inbox) :]
        window = self._waiting.pop(int(token), None) if token.isdigit() else None
        if window is None:  # nobody waits for it any more
            return
        if (failure := _failure(headers, payload)) is not None:
            window.end(failure)
            return
        window.left -= 1
        if not window.left:
            window.end(None)


def _failure(headers: bytes, payload: bytes) -> NotStored | None:
    if headers and (status := status_of(headers)) is not None:
        return NotStored("no stream has this subject" if status[0] == "503" else " ".join(status))
    try:
        answer = ANSWER.decode(payload)
    except msgspec.DecodeError as error:
        return NotStored(f"an answer that makes no sense: {error}")
    if answer.error is not None:
        return NotStored(answer.error.description)
    return None if answer.seq else NotStored("an answer without an offset")
