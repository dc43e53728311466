"""Taking a batch: judge every event, group the good ones, make them durable, tell what was refused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from frameworks.data.decklog import domain
from frameworks.data.decklog.domain import Arrival, Attribution, Problem, RecordBatch, Sender
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Unauthenticated
from frameworks.kit.log import get

log = get("decklog")


class Attributions(Protocol):
    """Reads Commodore's signed word."""

    def read(self, token: str) -> Attribution:
        """What the token says; raises Unauthenticated when it is forged, foreign or malformed."""


class Log(Protocol):
    """Where accepted events go."""

    async def append(self, records: Sequence[RecordBatch], *, sender: Sender, trace: str) -> None:
        """Returns when every record is durable; raises Unavailable otherwise."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch; `refused` holds (index, problem)."""

    accepted: int
    refused: tuple[tuple[int, Problem], ...]


class Intake:
    """The one use case of Decklog."""

    def __init__(self, attributions: Attributions, log: Log, clock: Clock) -> None:
        self._attributions = attributions
        self._log = log
        self._clock = clock

    async def take(
        self, events: Sequence[Arrival], tokens: Sequence[str], *, sender: Sender, trace: str
    ) -> Outcome:
        """Durably store every acceptable event; raises Unavailable when that can not be promised."""
        words = [self._read(token) for token in tokens]
        now = micros(self._clock.now())
        accepted: list[Arrival] = []
        refused: list[tuple[int, Problem]] = []
        for event in events:
            problem = self._problem(event, words, sender, now)
            if problem is None:
                accepted.append(event)
            else:
                refused.append((event.index, problem))
        if accepted:
            await self._log.append(domain.regroup(accepted), sender=sender, trace=trace)
        self._report(refused, sender)
        return Outcome(len(accepted), tuple(refused))

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
