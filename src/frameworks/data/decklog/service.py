"""Taking a batch: judge every event, group the good ones, make them durable, tell what was refused."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from frameworks.data.decklog import domain
from frameworks.data.decklog.domain import Arrival, Attribution, Problem, Sender, Unreadable
from frameworks.data.decklog.domain.lanes import Lanes, spoken
from frameworks.data.decklog.domain.records import Lane, Places, RecordBatch, lane_of, regroup
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Unauthenticated
from frameworks.kit.log import get

IN_FLIGHT = 64
LETTERS_PER_SECOND = 10.0
LETTERS_AT_ONCE = 100

_NOT_SENT = Problem("attribution.missing", "The event points at an attribution that was not sent.")

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
    dropped: int
    refused: Sequence[tuple[int, Problem]]


@dataclass(frozen=True, slots=True)
class Offered:
    """A batch as it came: signed words, events in groups with the number of the word they point at, how to read one.

    It is `plain` when every event says each of its fields once, in order, and nothing else.
    """

    tokens: Sequence[str]
    groups: Sequence[tuple[int, Sequence[bytes]]]
    plain: bool
    size: int
    """Bytes of all events."""
    read: Callable[[int, bytes, int], Arrival | Unreadable | Problem]


@dataclass(slots=True)
class Judged:
    """What is to be stored of a batch, and why the rest is not."""

    accepted: int = 0
    places: Places = field(default_factory=Places)
    """Where the accepted events lie."""
    refused: list[tuple[int, Problem]] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    size: int = 0


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

    def judge(self, offered: Offered, sender: Sender, lanes: Lanes) -> Judged:
        """Sort out what may be stored; `lanes` are the sender's own."""
        pointed = [None, *map(self._read, offered.tokens)]
        now = micros(self._clock.now())
        judged = Judged(size=offered.size)

        def read(index: int, raw: bytes, attribution: int) -> None:
            word = pointed[attribution] if attribution < len(pointed) else _NOT_SENT
            event = offered.read(index, raw, attribution)
            if isinstance(event, Arrival):
                lane = self._judge_whole(event, word, sender, now, judged)
                if lane is not None:
                    lanes.remember(event, lane)
            elif isinstance(event, Unreadable):
                judged.unreadable.append(event)
            else:
                judged.refused.append((index, event))

        words = [None if isinstance(word, Problem) else spoken(word, now) for word in pointed]
        known = lanes.sort(offered.groups, words if offered.plain else (), judged.places, read)
        judged.accepted += known
        judged.refused += [(letter.index, letter.problem) for letter in judged.unreadable]
        judged.refused.sort(key=_index)
        return judged

    def _judge_whole(
        self,
        event: Arrival,
        word: Attribution | Problem | None,
        sender: Sender,
        now: int,
        judged: Judged,
    ) -> Lane | None:
        """Keep or refuse an event, judged by all of it; where it goes."""
        problem = domain.shape_problem(event, now)
        if problem is None and isinstance(word, Problem):
            problem = word
        if problem is None and not isinstance(word, Problem):
            problem = domain.sender_problem(event, sender, word) or domain.repeat_problem(
                event, judged.places.ids.get(event.event_id)
            )
        if problem is not None:
            judged.refused.append((event.index, problem))
            return None
        lane = lane_of(event, sender, self._region, word if isinstance(word, Attribution) else None)
        if judged.places.ids.setdefault(event.event_id, event.raw) is event.raw:
            judged.places.of(lane).append(event.raw)
        judged.accepted += 1
        return lane

    async def store(self, batches: Sequence[Judged], *, sender: Sender, trace: str) -> list[Outcome]:
        """Durably store every accepted event; raises Unavailable when that can not be promised."""
        kept = regroup(part for judged in batches for part in judged.places.parts.values())
        letters = [letter for judged in batches for letter in judged.unreadable]
        async with self._slots:
            if kept:
                await self._log.append(kept, sender=sender, trace=trace)
            letters = letters[: self._letters.take(len(letters))]
            if letters:
                await self._log.bury(letters, sender=sender, trace=trace)
        buried = set(map(id, letters))
        return [self._outcome(judged, buried, sender) for judged in batches]

    def _outcome(self, judged: Judged, letters: set[int], sender: Sender) -> Outcome:
        self._report(judged.refused, sender)
        buried = sum(id(letter) in letters for letter in judged.unreadable)
        return Outcome(
            accepted=judged.accepted,
            repeated=judged.accepted - len(judged.places.ids),
            buried=buried,
            dropped=len(judged.unreadable) - buried,
            refused=judged.refused,
        )

    def _read(self, token: str) -> Attribution | Problem:
        try:
            return self._attributions.read(token)
        except Unauthenticated as refusal:
            return Problem("attribution.invalid", refusal.message)

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
