"""Taking a batch: judge every event, group the good ones, make them durable, tell what was refused."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from frameworks.data.decklog import domain
from frameworks.data.decklog.domain import Arrival, Attribution, Problem, RecordBatch, Sender, Unreadable
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Unauthenticated
from frameworks.kit.log import get

IN_FLIGHT = 64
LETTERS_PER_SECOND = 10.0
LETTERS_AT_ONCE = 100

log = get("decklog")


class Attributions(Protocol):
    """Reads Commodore's signed word."""

    def read(self, token: str) -> Attribution:
        """What the token says; raises Unauthenticated when it is forged, foreign or malformed."""


class Log(Protocol):
    """Where events go."""

    async def append(self, records: Sequence[RecordBatch], *, sender: Sender, trace: str) -> None:
        """Returns when every record is durable; raises Unavailable otherwise."""

    async def bury(self, letters: Sequence[Unreadable], *, sender: Sender, trace: str) -> None:
        """Keep bytes that are no event for a person to look at; raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch; `refused` holds (index, problem)."""

    accepted: int
    repeated: int
    buried: int
    refused: tuple[tuple[int, Problem], ...]


class Intake:
    """The one use case of Decklog."""

    def __init__(
        self,
        attributions: Attributions,
        log: Log,
        clock: Clock,
        *,
        region: str = "",
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._attributions = attributions
        self._log = log
        self._clock = clock
        self._region = region
        self._slots = asyncio.Semaphore(in_flight)
        self._letters = _Allowance(clock)

    async def take(
        self,
        events: Sequence[Arrival],
        tokens: Sequence[str],
        *,
        sender: Sender,
        trace: str,
        unreadable: Sequence[Unreadable] = (),
    ) -> Outcome:
        """Durably store every acceptable event; raises Unavailable when that can not be promised."""
        async with self._slots:
            accepted, refused = self._judge(events, tokens, sender)
            fresh = list({event.event_id: event for event in accepted}.values())
            if fresh:
                await self._log.append(domain.regroup(fresh), sender=sender, trace=trace)
            letters = unreadable[: self._letters.take(len(unreadable))]
            if letters:
                await self._log.bury(letters, sender=sender, trace=trace)
        refused += [(letter.index, letter.problem) for letter in unreadable]
        self._report(refused, sender)
        return Outcome(
            len(accepted), len(accepted) - len(fresh), len(letters), tuple(sorted(refused, key=_index))
        )

    def _judge(
        self, events: Sequence[Arrival], tokens: Sequence[str], sender: Sender
    ) -> tuple[list[Arrival], list[tuple[int, Problem]]]:
        words = [self._read(token) for token in tokens]
        now = micros(self._clock.now())
        first: dict[bytes, bytes] = {}
        accepted: list[Arrival] = []
        refused: list[tuple[int, Problem]] = []
        for event in events:
            problem = self._problem(event, words, sender, now) or domain.repeat_problem(event, first)
            if problem is None:
                first[event.event_id] = event.raw
                accepted.append(domain.stamped(event, sender, self._region))
            else:
                refused.append((event.index, problem))
        return accepted, refused

    def _read(self, token: str) -> Attribution | Problem:
        try:
            return self._attributions.read(token)
        except Unauthenticated as refusal:
            return Problem("attribution.invalid", refusal.message)

    def _problem(
        self, event: Arrival, words: Sequence[Attribution | Problem], sender: Sender, now: int
    ) -> Problem | None:
        found = domain.shape_problem(event, now)
        if found is not None:
            return found
        if event.attribution > len(words):
            return Problem("attribution.missing", "The event points at an attribution that was not sent.")
        word = words[event.attribution - 1] if event.attribution else None
        if isinstance(word, Problem):
            return word
        return domain.sender_problem(event, sender, word)

    def _report(self, refused: Sequence[tuple[int, Problem]], sender: Sender) -> None:
        if refused:
            codes = dict(Counter(problem.code for _, problem in refused))
            log.warning("events.refused", sender=sender.name, cluster=sender.cluster, codes=codes)


def _index(entry: tuple[int, Problem]) -> int:
    return entry[0]


class _Allowance:
    """How many dead letters may be written now: a few a second, whoever sends them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(LETTERS_AT_ONCE)
        self._at = clock.monotonic()

    def take(self, wanted: int) -> int:
        """As many of `wanted` as there are."""
        now = self._clock.monotonic()
        self._left = min(float(LETTERS_AT_ONCE), self._left + (now - self._at) * LETTERS_PER_SECOND)
        self._at = now
        taken = min(wanted, int(self._left))
        self._left -= taken
        return taken
