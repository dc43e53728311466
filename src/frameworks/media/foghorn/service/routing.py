"""Placing viewers and publishers: resolve, rank, reserve, record."""

from dataclasses import dataclass
from typing import Protocol

from frameworks.kit.clock import Clock
from frameworks.kit.errors import Precondition, Unavailable
from frameworks.kit.geo import Geo, Place
from frameworks.media.foghorn.domain import (
    Fleet,
    Position,
    Ranking,
    Reason,
    Wanted,
    Weights,
    distance_km,
    position,
    rank,
)
from frameworks.media.foghorn.service.known import KnownStream, KnownStreams
from frameworks.media.foghorn.service.seats import Seats
from frameworks.media.foghorn.service.viewers import VirtualViewers

PREFERRED = ("HLS_CMAF", "HLS")
CANONICAL = {"HLS": "hls", "HLS_CMAF": "cmaf", "RTMP": "rtmp", "WHEP": "whep", "DASH": "dash"}


class NotServed(Precondition):
    """The protocol that was asked for is one no node here speaks."""

    code = "foghorn.protocol_not_served"


class NoIngestNode(Unavailable):
    """No node can take a publisher now."""

    code = "foghorn.no_ingest_node"


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """How people reach a node: URL templates by output name, `$` standing for the stream."""

    base_url: str
    rtmp_url: str
    region: str
    outputs: dict[str, str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to watch."""

    node: str
    cluster: str
    base_url: str
    region: str
    protocol: str
    url: str
    distance_km: float
    score: int
    outputs: dict[str, str]


@dataclass(frozen=True, slots=True)
class Watch:
    """The answer to a viewer: state `live` has endpoints, `starting`, `offline` and `full` have none."""

    state: str
    stream: KnownStream
    viewers: int
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestTarget:
    """What a stream key may push to."""

    stream_id: str
    tenant_id: str
    recording_enabled: bool
    clusters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """The answer to a publisher, best node first."""

    target: IngestTarget
    endpoints: tuple[tuple[str, NodeAddresses, int, str], ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """One routing decision as it goes into history. No address in it."""

    purpose: str
    status: str
    protocol: str
    ranking: Ranking
    nodes: tuple[str, ...]
    owner: str
    cluster: str
    selected: str
    stream_id: str
    tenant_id: str
    place: Place | None
    node_where: Position | None
    distance_km: float
    micros: int


class Recorder(Protocol):
    """Where decisions go."""

    def record(self, decision: Decision) -> None:
        """Take note; never waits, never fails the viewer."""


class Keys(Protocol):
    """Who knows stream keys: Commodore."""

    async def ingest_target(self, stream_key: str) -> IngestTarget:
        """What the key may push to. Raises NotFound, Unavailable."""


class Router:
    """Answers viewers and publishers from the fleet's picture."""

    def __init__(
        self,
        fleet: Fleet,
        addresses: dict[str, NodeAddresses],
        known: KnownStreams,
        keys: Keys,
        viewers: VirtualViewers,
        seats: Seats,
        recorder: Recorder,
        geo: Geo,
        clock: Clock,
        weights: Weights,
        fallbacks: int,
    ) -> None:
        self._fleet = fleet
        self._addresses = addresses
        self._known = known
        self._keys = keys
        self._viewers = viewers
        self._seats = seats
        self._recorder = recorder
        self._geo = geo
        self._clock = clock
        self._weights = weights
        self._count = fallbacks + 1

    async def watch(
        self,
        playback_id: str,
        *,
        protocol: str = "",
        address: str = "",
        where: Position | None = None,
        redirect: bool,
    ) -> Watch:
        """Where to watch; a live answer reserves bandwidth on its first endpoint."""
        stream = await self._known.resolve(playback_id)
        state = self._state(stream)
        viewers = self._viewers.of_stream(stream.internal_name)
        if state != "live" or stream.suspended:
            return Watch("offline" if stream.suspended else state, stream, viewers)
        if self._seats.is_full(stream):
            return Watch("full", stream, viewers)
        place = self._geo.place(address)
        wanted = Wanted(
            "edge", frozenset(stream.clusters), stream.internal_name, where or _position(place), self._count
        )
        started = self._clock.monotonic()
        ranking = rank(self._fleet, wanted, self._weights)
        taken = int((self._clock.monotonic() - started) * 1e6)
        endpoints = self._endpoints(ranking, wanted, stream, protocol)
        status = "failed" if not endpoints else "redirect" if redirect else "success"
        selected = endpoints[0].node if endpoints else ""
        owner = stream.stream_id, stream.tenant_id
        self._note(ranking, wanted, "viewer", status, selected, protocol, owner, place, taken)
        if protocol and len(ranking.best) and not endpoints:
            raise NotServed(f"No node serves this stream by {protocol}.", protocol=protocol)
        return Watch("live" if endpoints else "offline", stream, viewers, endpoints)

    async def publish(self, stream_key: str, *, protocol: str = "", address: str = "") -> Publish:
        """Where to push a stream. Raises NotFound for a key that is not one, NoIngestNode when none has room."""
        target = await self._keys.ingest_target(stream_key)
        place = self._geo.place(address)
        wanted = Wanted("ingest", frozenset(target.clusters), where=_position(place), count=self._count)
        started = self._clock.monotonic()
        ranking = rank(self._fleet, wanted, self._weights)
        taken = int((self._clock.monotonic() - started) * 1e6)
        status = "success" if len(ranking.best) else "failed"
        selected = self._fleet.nodes[int(ranking.best[0])] if len(ranking.best) else ""
        owner = target.stream_id, target.tenant_id
        self._note(ranking, wanted, "ingest", status, selected, protocol, owner, place, taken)
        if not len(ranking.best):
            raise NoIngestNode("No node can take a publisher now; try again in a few seconds.")
        return Publish(target, tuple(self._ingest_endpoint(int(row), ranking) for row in ranking.best))

    def _state(self, stream: KnownStream) -> str:
        seen = [
            p
            for node, p in self._fleet.presence(stream.internal_name).items()
            if not self._fleet.is_stale(node)
        ]
        if any(p.inputs and p.ready for p in seen):
            return "live"
        return "starting" if any(p.inputs for p in seen) else "offline"

    def _endpoints(
        self, ranking: Ranking, wanted: Wanted, stream: KnownStream, protocol: str
    ) -> tuple[Endpoint, ...]:
        endpoints: list[Endpoint] = []
        for row in ranking.best:
            node = self._fleet.nodes[int(row)]
            addresses = self._addresses[node]
            chosen = protocol or next((name for name in PREFERRED if name in addresses.outputs), "")
            if chosen not in addresses.outputs:
                continue
            token = self._viewers.expect(node, stream.internal_name) if not endpoints else ""
            endpoints.append(
                self._endpoint(node, int(ranking.scores[row]), addresses, chosen, stream, token, wanted)
            )
        return tuple(endpoints)

    def _endpoint(
        self,
        node: str,
        score: int,
        addresses: NodeAddresses,
        chosen: str,
        stream: KnownStream,
        correlation: str,
        wanted: Wanted,
    ) -> Endpoint:
        suffix = f"?fwcid={correlation}" if correlation else ""
        urls = {
            name: url.replace("$", stream.playback_id) + suffix for name, url in addresses.outputs.items()
        }
        facts = self._fleet.facts(node)
        return Endpoint(
            node=node,
            cluster=facts.cluster if facts else "",
            base_url=addresses.base_url,
            region=addresses.region,
            protocol=CANONICAL.get(chosen, chosen.lower()),
            url=urls[chosen],
            distance_km=distance_km(wanted.where, facts.where if facts else None),
            score=score,
            outputs=urls,
        )

    def _ingest_endpoint(self, row: int, ranking: Ranking) -> tuple[str, NodeAddresses, int, str]:
        node = self._fleet.nodes[row]
        facts = self._fleet.facts(node)
        return node, self._addresses[node], int(ranking.scores[row]), facts.cluster if facts else ""

    def _note(
        self,
        ranking: Ranking,
        wanted: Wanted,
        purpose: str,
        status: str,
        selected: str,
        protocol: str,
        owner: tuple[str, str],
        place: Place | None,
        taken: int,
    ) -> None:
        row = self._fleet.row(selected) if selected else next(iter(self._entitled(ranking)), None)
        if row is None:
            return
        node = self._fleet.nodes[row]
        facts = self._fleet.facts(node)
        if facts is None:
            return
        self._recorder.record(
            Decision(
                purpose=purpose,
                status=status,
                protocol=protocol,
                ranking=ranking,
                nodes=tuple(self._fleet.nodes),
                owner=facts.owner,
                cluster=facts.cluster,
                selected=selected,
                stream_id=owner[0],
                tenant_id=owner[1],
                place=place,
                node_where=facts.where,
                distance_km=distance_km(wanted.where, facts.where),
                micros=taken,
            )
        )

    @staticmethod
    def _entitled(ranking: Ranking) -> list[int]:
        """Rows of clusters the tenant may use: a failed decision is recorded with their owner."""
        return [row for row, reason in enumerate(ranking.reasons) if reason != Reason.NOT_ENTITLED]


def _position(place: Place | None) -> Position | None:
    return position(place.latitude, place.longitude) if place else None
