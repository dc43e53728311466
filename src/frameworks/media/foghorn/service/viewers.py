"""Virtual viewers: bandwidth is reserved when a viewer is sent to a node, and given back when it never arrives."""

from collections import Counter, OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta

from frameworks.kit.clock import Clock, random_text
from frameworks.media.foghorn.domain import Fleet

DECAY = 0.75
"""How much of an arrived viewer's reservation is left after each report of its node, which by then measures it."""

MAX_PENDING = 100_000


@dataclass(slots=True)
class _Pending:
    node: str
    rate: int
    since: float


class VirtualViewers:
    """Viewers on their way (pending), and viewers that arrived (open sessions)."""

    def __init__(self, fleet: Fleet, clock: Clock, pending_for: timedelta) -> None:
        self._fleet = fleet
        self._clock = clock
        self._pending_for = pending_for.total_seconds()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._settling: dict[str, float] = {}
        # A viewer that moves to another node may come with the same session id.
        self._open: dict[str, dict[str, str]] = {}
        self._here: dict[str, Counter[str]] = {}
        self._watching: Counter[str] = Counter()
        self.abandoned = 0

    def expect(self, node: str, stream: str) -> str:
        """Reserve room for one viewer of `stream` on `node`; the answer is its correlation id."""
        rate = self._fleet.viewer_rate(node, stream)
        correlation = random_text(16)
        if len(self._pending) >= MAX_PENDING:
            self._abandon(next(iter(self._pending)))
        self._pending[correlation] = _Pending(node, rate, self._clock.monotonic())
        self._fleet.reserve(node, rate)
        return correlation

    def opened(self, node: str, session: str, stream: str, correlation: str) -> None:
        """A node opened a session; the reservation that sent it there settles with the next reports."""
        self.closed(node, session)
        self._open.setdefault(node, {})[session] = stream
        self._here.setdefault(node, Counter())[stream] += 1
        self._watching[stream] += 1
        viewer = self._pending.pop(correlation, None)
        if viewer is None:
            return
        if viewer.node == node:
            self._settling[node] = self._settling.get(node, 0.0) + viewer.rate
        else:
            self._fleet.reserve(viewer.node, -viewer.rate)

    def closed(self, node: str, session: str) -> None:
        """A node closed a session."""
        stream = self._open.get(node, {}).pop(session, None)
        if stream is None:
            return
        for counts in (self._watching, self._here[node]):
            counts[stream] -= 1
            if not counts[stream]:
                del counts[stream]

    def is_open(self, node: str, session: str) -> bool:
        """Whether the node has this session."""
        return session in self._open.get(node, ())

    def node_reported(self, node: str) -> None:
        """The node's own measure now includes most of what had arrived."""
        settling = self._settling.pop(node, 0.0)
        if settling:
            kept = settling * DECAY if settling > 1024 else 0.0
            self._fleet.reserve(node, kept - settling)
            if kept:
                self._settling[node] = kept

    def node_gone(self, node: str) -> None:
        """Nothing is known of the node's sessions any more: it left, or is about to tell them anew."""
        for session in list(self._open.get(node, ())):
            self.closed(node, session)
        self._open.pop(node, None)
        self._here.pop(node, None)
        self._fleet.reserve(node, -self._settling.pop(node, 0.0))

    def sweep(self) -> None:
        """Give up on viewers that never arrived."""
        oldest_allowed = self._clock.monotonic() - self._pending_for
        while self._pending:
            correlation, viewer = next(iter(self._pending.items()))
            if viewer.since > oldest_allowed:
                return
            self._abandon(correlation)

    def count(self, node: str) -> tuple[int, int]:
        """Open and pending viewers of a node."""
        pending = sum(1 for viewer in self._pending.values() if viewer.node == node)
        return len(self._open.get(node, ())), pending

    def of_stream(self, stream: str) -> int:
        """Open sessions of a stream on all nodes."""
        return self._watching[stream]

    def watched(self) -> AbstractSet[str]:
        """Streams somebody watches."""
        return self._watching.keys()

    def watched_on(self, node: str) -> AbstractSet[str]:
        """Streams somebody watches on one node."""
        return self._here.get(node, Counter()).keys()

    def nodes_of(self, stream: str) -> list[str]:
        """Nodes where somebody watches the stream."""
        return [node for node, counts in self._here.items() if stream in counts]

    def _abandon(self, correlation: str) -> None:
        viewer = self._pending.pop(correlation)
        self._fleet.reserve(viewer.node, -viewer.rate)
        self.abandoned += 1
