"""Dead letters: looked at, and sent to their topic again once whatever refused them was repaired."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from frameworks.kit.errors import NotFound

AT_ONCE = 256
MARKS = ("dead_origin", "dead_reason", "dead_consumer")
"""Headers that were added when the letter was buried."""


class NoLetter(NotFound):
    """There is no dead letter with this id."""

    code = "dlq.no_letter"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record nobody could read, as it was buried; `replayed` says when it was last sent again."""

    id: str
    value: bytes
    headers: Mapping[str, str]
    buried_at: datetime
    replayed: str = ""

    @property
    def origin(self) -> str:
        """Topic, partition and offset it came from; empty when that is not known."""
        return self.headers.get("dead_origin", "")

    @property
    def topic(self) -> str:
        """The topic it came from."""
        return self.origin.partition("/")[0]

    @property
    def reason(self) -> str:
        """Why it was buried."""
        return self.headers.get("dead_reason", "")

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.headers.get("tenant_id", "")

    def original_headers(self) -> dict[str, str]:
        """The headers it had."""
        return {name: value for name, value in self.headers.items() if name not in MARKS}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters; what is None is not asked for."""

    ids: frozenset[str] | None = None
    topic: str | None = None
    tenant: str | None = None
    reason: str | None = None
    since: datetime | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a letter is one of them."""
        return (
            (self.ids is None or letter.id in self.ids)
            and self.topic in (None, letter.topic)
            and self.tenant in (None, letter.tenant)
            and (self.reason is None or self.reason.lower() in letter.reason.lower())
            and (self.since is None or letter.buried_at >= self.since)
        )


class Box(Protocol):
    """Where dead letters lie."""

    def letters(self) -> AsyncIterator[DeadLetter]:
        """Every letter, oldest first."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Append them to the topics they came from, and remember that."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: sent, left out because it was sent before, left out because its origin is not known."""

    sent: int
    before: int
    homeless: int


class DeadLetterOffice:
    """Lists, shows and replays."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def list(self, wanted: Wanted, limit: int) -> list[DeadLetter]:
        """The newest letters that match, oldest first."""
        found = [letter async for letter in self._box.letters() if wanted.matches(letter)]
        return found[-limit:]

    async def show(self, identity: str) -> DeadLetter:
        """One letter; raises NoLetter."""
        for letter in await self.list(Wanted(ids=frozenset({identity})), 1):
            return letter
        raise NoLetter(f"There is no dead letter {identity}.")

    async def replay(self, wanted: Wanted, *, again: bool = False) -> Replayed:
        """Send every matching letter to its topic, none twice unless `again`."""
        sent = before = homeless = 0
        batch: list[DeadLetter] = []
        async for letter in self._box.letters():
            if not wanted.matches(letter):
                continue
            if not letter.topic:
                homeless += 1
            elif letter.replayed and not again:
                before += 1
            else:
                batch.append(letter)
                if len(batch) == AT_ONCE:
                    await self._box.send(batch)
                    sent, batch = sent + len(batch), []
        if batch:
            await self._box.send(batch)
        return Replayed(sent + len(batch), before, homeless)
