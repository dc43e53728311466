"""The last changes of one tenant, and cursors that read them at their own pace."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from frameworks.data.signalman.domain import positions
from frameworks.data.signalman.domain.changes import Change, Wish
from frameworks.data.signalman.domain.positions import Vector

ENTRY_BYTES = 400
"""What an entry takes beside its event."""
TIMES = 4
"""What an event takes together with its JSON, in its own size."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A change and where it stands."""

    change: Change
    partition: int
    place: int
    position: str
    """Everything of the tenant up to and with this change, in the order of this replica."""


def weight(entry: Entry) -> int:
    """Bytes an entry may take."""
    return ENTRY_BYTES + TIMES * len(entry.change.event)


class Ring:
    """Changes since `floor`; each has a number, and the oldest give way when there are too many."""

    def __init__(self, sealed: str, floor: Sequence[int], *, changes: int, octets: int) -> None:
        self.sealed = sealed
        self.first = 0
        self.floor = list(floor)
        self._entries: deque[Entry] = deque()
        self._changes, self._octets = changes, octets
        self._held = 0

    @property
    def next(self) -> int:
        """The number the next change will have."""
        return self.first + len(self._entries)

    def add(self, entry: Entry) -> None:
        """Keep a change."""
        self._entries.append(entry)
        self._held += weight(entry)
        while len(self._entries) > self._changes or self._held > self._octets:
            gone = self._entries.popleft()
            self._held -= weight(gone)
            self.floor[gone.partition] = gone.place + 1
            self.first += 1

    def covers(self, vector: Vector) -> bool:
        """Whether everything after `vector` is still here."""
        return positions.reaches(vector, self.floor)

    def since(self, number: int) -> Iterator[Entry]:
        """The changes from `number` on."""
        return islice(self._entries, number - self.first, None)

    def restart(self, floor: Sequence[int]) -> None:
        """Forget everything, so that no cursor can go on."""
        self.first = self.next + 1
        self._entries.clear()
        self._held = 0
        self.floor = list(floor)


class Cursor:
    """One subscriber's place in the ring."""

    def __init__(self, ring: Ring, wish: Wish, at: int, known: Vector | None = None) -> None:
        self.wish = wish
        self.at = at
        self._ring = ring
        self._known = known
        """What the subscriber had when it came back, until this replica is past it everywhere."""
        self._wider: tuple[int, Wish] | None = None

    def widen(self, wish: Wish) -> None:
        """From what comes now on follow `wish`; until then changes have no position, as others were seen before."""
        self._wider = self._ring.next, wish

    def narrow(self, channels: frozenset[str]) -> None:
        """Follow only these of the channels."""
        self.wish = self.wish.within(channels)
        if self._wider is not None:
            self._wider = self._wider[0], self._wider[1].within(channels)

    def passes(self, change: Change, number: int) -> bool:
        """Step over change `number` if it is next and not wanted; whether it was."""
        self._settle()
        if self.at != number or self.wish.wants(change):
            return False
        self.at += 1
        return True

    @classmethod
    def resumed(cls, ring: Ring, wish: Wish, known: Vector) -> "Cursor":
        """A cursor for one who has everything before `known`, which the ring covers."""
        at = ring.first
        for entry in ring.since(at):
            if entry.place >= known[entry.partition]:
                break
            at += 1
        return cls(ring, wish, at, known)

    @property
    def is_lost(self) -> bool:
        """Whether changes it has not read are gone."""
        return self.at < self._ring.first

    @property
    def is_done(self) -> bool:
        """Whether it has read everything."""
        return self.at >= self._ring.next

    @property
    def is_ahead(self) -> bool:
        """Whether the subscriber may still know what is to come here."""
        return self._known is not None

    def read(self, limit: int) -> list[tuple[Change, str]]:
        """At most `limit` changes the subscriber wants and has not seen, each with its position."""
        found: list[tuple[Change, str]] = []
        for entry in self._ring.since(self.at):
            self._settle()
            self.at += 1
            position = entry.position if self._known is None else self._beyond(entry, self._known)
            if position and self.wish.wants(entry.change):
                found.append((entry.change, "" if self._wider else position))
                if len(found) == limit:
                    break
        self._settle()
        return found

    def _settle(self) -> None:
        if self._wider is not None and self.at >= self._wider[0]:
            self.wish, self._wider = self._wider[1], None

    def reached(self, vector: Sequence[int]) -> None:
        """This replica has read the log up to `vector`."""
        if self._known is not None and self.is_done and positions.reaches(vector, self._known):
            self._known = None

    def _beyond(self, entry: Entry, known: Vector) -> str:
        """The position after `entry` for one who knew `known`; empty when the entry is a part of that."""
        if entry.place < known[entry.partition]:
            return ""
        here = positions.read(entry.position, self._ring.sealed, len(known)) or known
        if positions.reaches(here, known):
            self._known = None
            return entry.position
        return positions.write(self._ring.sealed, positions.furthest(here, known))
