"""The plan's bitrate: who sends more, for longer than a keyframe or a network's hiccup explains, is cut off.

The average of the last five seconds may exceed the plan by a tenth, and by any amount for less than ten seconds in a
row. A burst of one second lifts that average for five, so neither a large keyframe nor a flushed buffer ends a stream.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from frameworks.kit.clock import Clock

WINDOW_SECONDS = 5.0
SUSTAINED_SECONDS = 10.0
TOLERANCE = 1.1
BARRED_SECONDS = 60.0
"""How long an encoder that was cut off is refused: else one that reconnects by itself is hardly ever off air."""

MAX_BARS = 1_000


class Bars:
    """Keys that may not publish on this node for a while, and the sentence their encoders read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def put(self, fingerprint: str, sentence: str) -> None:
        """From now on."""
        self._until[fingerprint] = self._clock.monotonic() + BARRED_SECONDS, sentence
        self._until.move_to_end(fingerprint)
        while len(self._until) > MAX_BARS:
            self._until.popitem(last=False)

    def reason(self, fingerprint: str) -> str:
        """Why this key may not publish here now; empty when it may."""
        until, sentence = self._until.get(fingerprint, (0.0, ""))
        if until > self._clock.monotonic():
            return sentence
        self._until.pop(fingerprint, None)
        return ""


@dataclass(slots=True)
class _Meter:
    connection: str
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    over_since: float | None = None


class BitrateLimit:
    """Measures publishers against their plans."""

    def __init__(self) -> None:
        self._meters: dict[str, _Meter] = {}

    def take(
        self, name: str, connection: str, now: float, received: int, *, declared_kbps: int, allowed_kbps: int
    ) -> int:
        """Note a stream's received bytes; the kbit/s it sends when that has been too much for too long, else 0.

        `declared_kbps` is the sum of the tracks' own rates, for nodes that do not count bytes of near peers.
        """
        if not allowed_kbps:
            self._meters.pop(name, None)
            return 0
        meter = self._meters.get(name)
        if meter is None or meter.connection != connection:
            meter = self._meters[name] = _Meter(connection)
        measured = _average(meter.samples, now, received)
        if measured is None:
            return 0
        kbps = measured or declared_kbps
        if kbps <= allowed_kbps * TOLERANCE:
            meter.over_since = None
            return 0
        meter.over_since = now if meter.over_since is None else meter.over_since
        return kbps if now - meter.over_since >= SUSTAINED_SECONDS else 0

    def is_over(self, name: str) -> bool:
        """Whether a publisher sends too much right now."""
        meter = self._meters.get(name)
        return meter is not None and meter.over_since is not None

    def over(self) -> int:
        """How many do."""
        return sum(meter.over_since is not None for meter in self._meters.values())

    def keep(self, names: frozenset[str]) -> None:
        """Forget all but these streams."""
        for gone in self._meters.keys() - names:
            del self._meters[gone]


def _average(samples: deque[tuple[float, int]], now: float, received: int) -> int | None:
    """Kbit/s over the window; None before there is one. A counter that went back starts anew."""
    if samples and received < samples[-1][1]:
        samples.clear()
    samples.append((now, received))
    while len(samples) > 2 and now - samples[1][0] >= WINDOW_SECONDS:
        samples.popleft()
    began, before = samples[0]
    if now - began < WINDOW_SECONDS:
        return None
    return int((received - before) * 8 / 1000 / (now - began))
