"""Events that look like one that was accepted before are accepted without being decoded."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from frameworks.data.decklog.domain import MAX_EVENT_BYTES, NOBODY, OLDEST, SKEW, Arrival, Attribution
from frameworks.data.decklog.domain.records import Lane, Places

MAX_LANES = 4096
"""Envelopes remembered of one sender."""
_TIME = Struct("<Q")
_ID_HEAD, _TYPE_AT, _IDS, _SHORTEST = b"\n\x10", 18, 38, 40
"""How an event starts, where its type lies, how long version, tenant and stream are, and less than any good event."""
TRACE = 32
"""Digits of a trace id."""
_TRACE_HEAD, _TRACE_DIGITS = b"Z\x20", re.compile(rb"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word that a batch may point at, and when the events that do must lie (microseconds)."""

    word: Attribution | None
    earliest: int
    latest: int


def spoken(word: Attribution | None, now: int) -> Spoken:
    """When events under this word, or under none, may lie."""
    earliest, latest = now - OLDEST, now + SKEW
    if word is None:
        return Spoken(None, earliest, latest)
    return Spoken(word, max(earliest, word.not_before - SKEW), min(latest, word.not_after + SKEW))


class Lanes:
    """The lanes that events of one sender took before: the next event of the same envelope takes the same.

    An event whose fields come in order starts with its id (16 bytes), its type and its time; what follows, up to the
    tag of the payload, is alike in all events of a type and a stream, but for a trace id. So is every judgement but
    those of id and time. Only events that say every field once and in order may be looked up.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes, bytes], _Known] = {}

    def sort(
        self,
        groups: Iterable[tuple[int, Sequence[bytes]]],
        words: Sequence[Spoken | None],
        places: Places,
        judge: Callable[[int, bytes, int], None],
    ) -> int:
        """Put every event in its place whose envelope was accepted under its word and whose time is in order.

        `groups` are events with the number of the word they point at. What has no place yet goes to `judge`, in its
        turn: index, bytes, number of the word. Returns how many did not. This is the one loop over single events in
        Decklog: a dozen steps each, written out.
        """
        known, time_at, index, sorted_out = self._known, _TIME.unpack_from, -1, 0
        ids, place = places.ids, places.of
        for number, events in groups:
            word = words[number] if number < len(words) else None
            whose, earliest, latest = (id(word.word), word.earliest, word.latest) if word else (0, 1, 0)
            for raw in events:
                index += 1
                if raw.startswith(_ID_HEAD) and _SHORTEST <= len(raw) <= MAX_EVENT_BYTES:
                    at = _TYPE_AT + 11 + raw[_TYPE_AT + 1]
                    found = known.get((whose, raw[_TYPE_AT : at - 8], raw[at : at + _IDS]))
                    if (
                        found is not None
                        and (raw.startswith(found.rest, at) or found.is_traced(raw, at))
                        and earliest <= time_at(raw, at - 8)[0] <= latest
                        and (event_id := raw[2:18]) != NOBODY
                        and ids.setdefault(event_id, raw) is raw
                    ):
                        place(found.lane).append(raw)
                        sorted_out += 1
                        continue
                judge(index, raw, number)
        return sorted_out

    def remember(self, event: Arrival, lane: Lane) -> None:
        """Later events of this envelope, under the same word, take this lane."""
        if event.envelope:
            if len(self._known) >= MAX_LANES:
                self._known.clear()
            raw, at = event.raw, _TYPE_AT + 11 + len(event.type)
            key = id(lane.word), raw[_TYPE_AT : at - 8], raw[at : at + _IDS]
            names, claim = event.envelope
            self._known[key] = _Known(names + claim, names + _TRACE_HEAD, claim, lane)


class _Known(NamedTuple):
    """What follows the time in an envelope: without a trace id, up to its digits, behind them; and the lane."""

    rest: bytes
    before: bytes
    behind: bytes
    lane: Lane

    def is_traced(self, raw: bytes, at: int) -> bool:
        """Whether this is the envelope with a trace id in it."""
        digits = at + len(self.before)
        return (
            raw.startswith(self.before, at)
            and raw.startswith(self.behind, digits + TRACE)
            and _TRACE_DIGITS.match(raw, digits) is not None
        )
