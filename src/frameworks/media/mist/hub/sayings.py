"""What players tell of themselves with their requests (CMCD), as text, until Helmsman has fetched it; bounded."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from frameworks.kit.clock import Clock

LONGEST = 2048
"""Characters of a report; a longer one is passed over."""
MOST_BYTES = 16 * 1024 * 1024
MOST_OF_A_SESSION = 16
MOST_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Saying:
    """A report as it came: by which session, when."""

    number: int
    session: str
    unix_ms: int
    text: str

    @property
    def row(self) -> list[object]:
        """As the API tells it."""
        return [self.number, self.session, self.unix_ms, self.text]


class Sayings:
    """Of each session the first and the newest report of a sort: players send one with every request."""

    def __init__(self, clock: Clock, dropped: Callable[[str], None]) -> None:
        self._clock = clock
        self._dropped = dropped
        self._kept: OrderedDict[tuple[str, str], Saying] = OrderedDict()
        self._sorts: dict[str, int] = {}
        self._bytes = 0
        self._last = 0

    def note(self, session: str, text: str) -> None:
        """Keep a report; it takes the place of the one before of its sort, unless that was the first."""
        if len(text) > LONGEST:
            self._dropped("too_long")
            return
        key = session, sort_of(text)
        if key in self._kept:
            key = session, key[1] + "+"
        if (before := self._kept.pop(key, None)) is not None:
            self._bytes -= len(before.text)
        elif self._sorts.get(session, 0) >= MOST_OF_A_SESSION:
            self._dropped("too_many")
            return
        else:
            self._sorts[session] = self._sorts.get(session, 0) + 1
        self._last += 1
        now_ms = int(self._clock.now().timestamp() * 1000)
        self._kept[key] = Saying(self._last, session, now_ms, text)
        self._bytes += len(text)
        while self._bytes > MOST_BYTES:
            self._forget()
            self._dropped("no_room")

    def after(self, number: int) -> list[Saying]:
        """The reports after this one, oldest first, as many as go at once; those up to it are forgotten."""
        while self._kept and next(iter(self._kept.values())).number <= number:
            self._forget()
        return [saying for saying, _ in zip(self._kept.values(), range(MOST_AT_ONCE), strict=False)]

    def _forget(self) -> None:
        (session, _), saying = self._kept.popitem(last=False)
        self._bytes -= len(saying.text)
        left = self._sorts[session] - 1
        if left:
            self._sorts[session] = left
        else:
            del self._sorts[session]


def sort_of(text: str) -> str:
    """The kind of object asked for, and whether the player had run dry: what must not hide one another."""
    kind, starved = "", ""
    for item in text.split(","):
        key, _, value = item.strip().partition("=")
        if key == "ot":
            kind = value[:2]
        elif key == "bs":
            starved = "!"
    return kind + starved
