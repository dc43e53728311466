"""The columnar picture of the fleet, and `rank`: pure scoring, with a reason for every candidate.

The score is MistServer's: integers, higher wins, equal scores go to the lower node id.

    cpu + ram + bandwidth + geo + stream bonus

    cpu        = Wc − cpu‰ · Wc / 1000
    ram        = Wr − used · Wr / total
    bandwidth  = Wb − (up + reserved) · Wb / limit
    geo        = Wg − Wg · angle / π        (both positions known)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_KM = 6371.0
MIN_VIEWER_RATE = 64 * 1024
MAX_VIEWER_RATE = 1024 * 1024
DEFAULT_VIEWER_RATE = 128 * 1024
MAX_MASKS = 4096


class Reason(IntEnum):
    """Why a candidate was taken or passed over; 0 means it may be chosen."""

    ELIGIBLE = 0
    CHOSEN = 1
    FALLBACK = 2
    STALE = 3
    DRAINING = 4
    NOT_CAPABLE = 5
    NOT_ENTITLED = 6
    NO_STREAM = 7
    NO_BANDWIDTH = 8
    UNMEASURED = 9

    @property
    def text(self) -> str:
        """The reason as events and people read it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Weights:
    """What each term is worth at most."""

    cpu: int = 500
    ram: int = 500
    bandwidth: int = 1000
    geo: int = 1000
    stream: int = 50


@dataclass(frozen=True, slots=True)
class Position:
    """A place on Earth in degrees."""

    latitude: float
    longitude: float

    def unit(self) -> NDArray[np.float64]:
        """The unit vector from the Earth's centre."""
        phi, lam = math.radians(self.latitude), math.radians(self.longitude)
        return np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)])


def position(latitude: float, longitude: float) -> Position | None:
    """The position, or None when the pair is out of range or the (0, 0) that stands for unknown."""
    valid = -90 <= latitude <= 90 and -180 <= longitude <= 180 and (latitude, longitude) != (0, 0)
    return Position(latitude, longitude) if valid else None


@dataclass(frozen=True, slots=True)
class StreamPresence:
    """One stream on one node. `rate` is one viewer's bytes per second, 0 when not measured."""

    viewers: int
    inputs: int
    rate: int
    ready: bool = True
    """The buffer holds enough to play."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node last said of itself. Rates and limit in bytes per second."""

    node: str
    cluster: str
    owner: str
    cpu_permille: int
    memory_used: int
    memory_total: int
    up: int
    limit: int
    where: Position | None
    capabilities: frozenset[str]
    draining: bool = False
    streams: dict[str, StreamPresence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be placed: a viewer of `stream`, or a publisher when `stream` is empty."""

    capability: str
    clusters: frozenset[str]
    stream: str = ""
    where: Position | None = None
    count: int = 5


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best rows, best first; score and reason of every candidate row (parallel to the fleet's rows)."""

    best: NDArray[np.int64]
    scores: NDArray[np.int64]
    reasons: NDArray[np.uint8]


class Fleet:
    """All nodes in columns, one row each; updated in place, read by `rank`.

    What only a node's report can change is derived once after the report (`derived`), so a decision computes
    bandwidth and distance, nothing else.
    """

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self._rows: dict[str, int] = {}
        self._facts: dict[str, NodeFacts] = {}
        self._stale: set[str] = set()
        self._presence: dict[str, dict[str, StreamPresence]] = {}
        self._serving: dict[str, NDArray[np.bool_]] = {}
        self._masks: dict[tuple[str, frozenset[str]], Standing] = {}
        self._columns: Columns | None = None
        self.reserved = np.zeros(0)

    def __len__(self) -> int:
        return len(self.nodes)

    def row(self, node: str) -> int | None:
        """The node's row, None when it is not in the fleet."""
        return self._rows.get(node)

    def facts(self, node: str) -> NodeFacts | None:
        """What the node last said."""
        return self._facts.get(node)

    def is_stale(self, node: str) -> bool:
        """Whether the node has gone silent."""
        return node in self._stale

    def update(self, facts: NodeFacts) -> None:
        """Take a node's newest facts; a node not seen before gets a row."""
        if facts.node not in self._rows:
            self._rows[facts.node] = len(self.nodes)
            self.nodes.append(facts.node)
            self.reserved = np.append(self.reserved, 0.0)
        before = self._facts.get(facts.node)
        self._facts[facts.node] = facts
        self._stale.discard(facts.node)
        self._write_presence(facts, before)
        self._changed()

    def remove(self, node: str) -> None:
        """Forget a node."""
        if node not in self._facts:
            return
        for stream in self._facts.pop(node).streams:
            self._drop_presence(stream, node)
        self._stale.discard(node)
        self.reserved = np.delete(self.reserved, self._rows[node])
        self.nodes.remove(node)
        self._rows = {name: row for row, name in enumerate(self.nodes)}
        self._serving.clear()
        self._changed()

    def mark_stale(self, node: str) -> None:
        """A node has gone silent; its next report brings it back."""
        self._stale.add(node)
        self._changed()

    def reserve(self, node: str, rate: float) -> None:
        """Add (or with a negative rate give back) bandwidth promised to viewers on their way."""
        if (row := self._rows.get(node)) is not None:
            self.reserved[row] = max(0.0, self.reserved[row] + rate)

    def presence(self, stream: str) -> Mapping[str, StreamPresence]:
        """Node → presence of one stream."""
        return self._presence.get(stream, {})

    def viewer_rate(self, node: str, stream: str) -> int:
        """Bytes per second to reserve for one more viewer of `stream` on `node`."""
        seen = self.presence(stream).get(node)
        rate = seen.rate if seen and seen.rate else DEFAULT_VIEWER_RATE
        return min(max(rate, MIN_VIEWER_RATE), MAX_VIEWER_RATE)

    def columns(self) -> "Columns":
        """The fleet's columns, derived anew after a change."""
        if self._columns is None:
            self._columns = _derive([self._facts[node] for node in self.nodes])
            self._masks.clear()
        return self._columns

    def serving(self, stream: str) -> NDArray[np.bool_]:
        """Whether each row can serve the stream: it is published there and its buffer is ready."""
        mask = self._serving.get(stream)
        if mask is None or len(mask) != len(self):
            mask = np.zeros(len(self), dtype=bool)
            mask[
                [self._rows[n] for n, seen in self.presence(stream).items() if seen.inputs and seen.ready]
            ] = True
            self._serving[stream] = mask
        return mask

    def standing(self, capability: str, clusters: frozenset[str]) -> "Standing":
        """What speaks against each row whatever the stream; the most fundamental reason wins."""
        columns = self.columns()
        mask = self._masks.get((capability, clusters))
        if mask is None:
            if len(self._masks) >= MAX_MASKS:
                self._masks.clear()
            reasons = self._judge(columns, capability, clusters)
            mask = self._masks[capability, clusters] = Standing(reasons, reasons == Reason.ELIGIBLE)
        return mask

    def _judge(self, columns: "Columns", capability: str, clusters: frozenset[str]) -> NDArray[np.uint8]:
        reasons = np.zeros(len(self), dtype=np.uint8)
        for row, node in enumerate(self.nodes):
            facts = self._facts[node]
            if facts.cluster not in clusters:
                reasons[row] = Reason.NOT_ENTITLED
            elif node in self._stale:
                reasons[row] = Reason.STALE
            elif facts.draining:
                reasons[row] = Reason.DRAINING
            elif capability not in facts.capabilities:
                reasons[row] = Reason.NOT_CAPABLE
            elif not columns.measured[row]:
                reasons[row] = Reason.UNMEASURED
        return reasons

    def _changed(self) -> None:
        self._columns = None

    def _write_presence(self, facts: NodeFacts, before: NodeFacts | None) -> None:
        for stream in before.streams.keys() - facts.streams.keys() if before else ():
            self._drop_presence(stream, facts.node)
        for stream, seen in facts.streams.items():
            self._presence.setdefault(stream, {})[facts.node] = seen
            self._serving.pop(stream, None)

    def _drop_presence(self, stream: str, node: str) -> None:
        held = self._presence.get(stream, {})
        held.pop(node, None)
        self._serving.pop(stream, None)
        if not held:
            self._presence.pop(stream, None)


@dataclass(frozen=True, slots=True)
class Standing:
    """The reasons that hold whatever the stream and the load, and the rows that have none."""

    reasons: NDArray[np.uint8]
    open: NDArray[np.bool_]


@dataclass(slots=True)
class Columns:
    """What scoring needs of each row, derived from the nodes' facts."""

    idle: NDArray[np.float64]
    """Shares of one: row 0 free processor, row 1 free memory."""
    up: NDArray[np.float64]
    limit: NDArray[np.float64]
    unit: NDArray[np.float64]
    """The unit vectors from the Earth's centre, one column each."""
    placed: NDArray[np.bool_]
    measured: NDArray[np.bool_]
    tie: NDArray[np.int64]
    """Higher for lower node ids: the tie-break."""
    _machine: tuple[Weights, NDArray[np.int64]] | None = None

    def machine(self, weights: Weights) -> NDArray[np.int64]:
        """The CPU and RAM terms, which no viewer changes."""
        if self._machine is None or self._machine[0] != weights:
            terms = np.floor(self.idle[0] * weights.cpu) + np.floor(self.idle[1] * weights.ram)
            self._machine = weights, terms.astype(np.int64)
        return self._machine[1]


def _derive(facts: Sequence[NodeFacts]) -> Columns:
    memory = np.array([f.memory_total for f in facts], dtype=float)
    limit = np.array([f.limit for f in facts], dtype=float)
    used = np.array([f.memory_used for f in facts], dtype=float)
    cpu = np.array([f.cpu_permille for f in facts], dtype=float)
    tie = np.empty(len(facts), dtype=np.int64)
    tie[sorted(range(len(facts)), key=lambda row: facts[row].node, reverse=True)] = np.arange(len(facts))
    return Columns(
        idle=np.stack([1 - np.clip(cpu, 0, 1000) / 1000, 1 - np.minimum(used / np.maximum(memory, 1), 1)]),
        up=np.array([f.up for f in facts], dtype=float),
        limit=np.maximum(limit, 1.0),
        unit=_units(facts),
        placed=np.array([f.where is not None for f in facts], dtype=bool),
        measured=(memory > 0) & (limit > 0),
        tie=tie,
    )


def _units(facts: Sequence[NodeFacts]) -> NDArray[np.float64]:
    vectors = [f.where.unit() if f.where else np.zeros(3) for f in facts]
    return np.ascontiguousarray(np.array(vectors).reshape(len(facts), 3).T)


# Plain numbers: looking an enum member up costs more than the arithmetic it would stand in.
_CHOSEN, _FALLBACK = int(Reason.CHOSEN), int(Reason.FALLBACK)
_NO_STREAM, _NO_BANDWIDTH = int(Reason.NO_STREAM), int(Reason.NO_BANDWIDTH)


def rank(fleet: Fleet, wanted: Wanted, weights: Weights) -> Ranking:
    """Score every node for `wanted`; the best are chosen, each other candidate has the reason it was not."""
    columns = fleet.columns()
    standing = fleet.standing(wanted.capability, wanted.clusters)
    load = columns.up + fleet.reserved
    load /= columns.limit
    eligible = load < 1.0
    eligible &= standing.open
    reasons = standing.reasons.copy()
    np.copyto(reasons, _NO_BANDWIDTH, where=standing.open > eligible)
    scores = _bandwidth(load, weights.bandwidth)
    scores += columns.machine(weights)
    if wanted.where is not None:
        scores += _geo(columns, wanted.where, weights.geo)
    if wanted.stream:
        serving = fleet.serving(wanted.stream)
        np.copyto(reasons, _NO_STREAM, where=standing.open > serving)
        eligible &= serving
        scores += weights.stream
    scores *= eligible
    best = _top(scores, columns.tie, eligible, wanted.count)
    reasons[best] = _FALLBACK
    reasons[best[:1]] = _CHOSEN
    return Ranking(best, scores, reasons)


def _bandwidth(load: NDArray[np.float64], weight: int) -> NDArray[np.int64]:
    """The bandwidth term in place of `load`; below 0 for full nodes, which are not eligible."""
    np.subtract(1.0, load, out=load)
    load *= weight
    return load.astype(np.int64)


def _geo(columns: Columns, where: Position, weight: int) -> NDArray[np.int64]:
    """The distance term; 0 for nodes whose place is unknown."""
    terms = where.unit() @ columns.unit
    terms.clip(-1.0, 1.0, terms)
    np.arccos(terms, out=terms)
    terms *= -weight / math.pi
    terms += weight
    terms *= columns.placed
    return terms.astype(np.int64)


def _top(
    scores: NDArray[np.int64], tie: NDArray[np.int64], eligible: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Rows of the `count` highest eligible scores, equal scores in the order of node ids."""
    keys = scores * len(scores)
    keys += tie
    np.copyto(keys, -1, where=~eligible)
    best: list[int] = []
    while len(best) < min(count, len(keys)) and keys[row := int(keys.argmax())] >= 0:
        best.append(row)
        keys[row] = -1
    return np.array(best, dtype=np.int64)


def distance_km(a: Position | None, b: Position | None) -> float:
    """Great-circle distance; 0 when either place is unknown."""
    if a is None or b is None:
        return 0.0
    return EARTH_RADIUS_KM * math.acos(max(-1.0, min(1.0, float(a.unit() @ b.unit()))))
