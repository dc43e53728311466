"""Whom Foghorn asks (Commodore) and tells (Decklog, through its own write-ahead log)."""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from frameworks.contracts import topics
from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.metrics import foghorn as metrics
from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.kit import log as logs
from frameworks.kit import trace
from frameworks.kit.clock import Clock, micros, uuid7
from frameworks.kit.errors import Unavailable
from frameworks.kit.geo import Place
from frameworks.media.foghorn.domain import Reason
from frameworks.media.foghorn.service.known import KnownStream
from frameworks.media.foghorn.service.routing import Decision, IngestTarget

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub

MAX_NAMED = 64
"""Candidates an event names; beyond, the best and a sample of the others."""

MAX_WAITING = 10_000
ASK_SECONDS = 1.5


class CommodoreDirectory:
    """Streams and keys, as Commodore knows them."""

    def __init__(self, commodore_stub: "CommodoreServiceAsyncStub") -> None:
        self._stub = commodore_stub

    async def resolve(self, playback_id: str) -> KnownStream:
        """The stream behind a playback id. Raises NotFound, Unavailable."""
        return await self._playback(commodore.ResolvePlaybackRequest(playback_id=playback_id))

    async def resolve_internal(self, internal_name: str) -> KnownStream:
        """The stream behind an internal name. Raises NotFound, Unavailable."""
        return await self._playback(commodore.ResolvePlaybackRequest(internal_name=internal_name))

    async def _playback(self, request: commodore.ResolvePlaybackRequest) -> KnownStream:
        found = await self._stub.ResolvePlayback(request, timeout=ASK_SECONDS)
        return KnownStream(
            playback_id=found.playback_id,
            internal_name=found.internal_name,
            stream_id=found.stream_id,
            tenant_id=found.tenant_id,
            title=found.title,
            description=found.description,
            clusters=tuple(found.cluster_ids),
            created_at=found.created_at,
            recording_enabled=found.recording_enabled,
            suspended=found.suspended,
            max_viewers=found.max_viewers,
        )

    async def ingest_target(self, stream_key: str) -> IngestTarget:
        """What a key may push to. Raises NotFound, Unavailable."""
        found = await self._stub.ResolveIngest(
            commodore.ResolveIngestRequest(stream_key=stream_key), timeout=ASK_SECONDS
        )
        return IngestTarget(
            found.stream_id, found.tenant_id, found.recording_enabled, tuple(found.cluster_ids)
        )


class DecisionRecorder:
    """Turns decisions into load-balancing events; a bounded queue keeps the viewer from waiting for the disk."""

    def __init__(self, delivery: EventDelivery, clock: Clock, region: str = "") -> None:
        self._delivery = delivery
        self._clock = clock
        self._region = region
        self._queue: asyncio.Queue[events.Event] = asyncio.Queue(MAX_WAITING)
        self._log = logs.get("foghorn")

    def record(self, decision: Decision) -> None:
        """Take note; a full queue drops the decision and counts it."""
        metrics.DECISIONS.labels(decision.purpose, decision.status).inc()
        try:
            self._queue.put_nowait(self._event(decision))
        except asyncio.QueueFull:
            metrics.DROPPED.inc()

    async def run(self) -> None:
        """Make queued decisions durable, for ever."""
        while True:
            event = await self._queue.get()
            try:
                await self._delivery.record(event)
            except Unavailable as full:
                metrics.DROPPED.inc()
                self._log.error("decision.dropped", reason=full.message)

    def _event(self, decision: Decision) -> events.Event:
        return events.Event(
            event_id=uuid7().bytes,
            type=topics.LOAD_BALANCING.name,
            occurred_at=micros(self._clock.now()),
            schema_version=topics.SCHEMA_VERSION,
            tenant_id=UUID(decision.owner).bytes,
            stream_id=UUID(decision.stream_id).bytes,
            node_id=decision.selected,
            cluster_id=decision.cluster,
            region=self._region,
            source="foghorn",
            trace_id=trace.current.get() or "",
            load_balancing=_body(decision),
        )


def _body(decision: Decision) -> events.LoadBalancing:
    ranking = decision.ranking
    best = decision.nodes.index(decision.selected) if decision.selected else None
    return events.LoadBalancing(
        status=decision.status,
        purpose=decision.purpose,
        selected_node=decision.selected,
        score=int(ranking.scores[best]) if best is not None else 0,
        reason=Reason(int(ranking.reasons[best])).text if best is not None else "no_candidate",
        candidates=_candidates(decision),
        candidate_count=len(decision.nodes),
        client=_place(decision.place),
        distance_km=decision.distance_km,
        decided_in_us=decision.micros,
        stream_tenant_id=UUID(decision.tenant_id).bytes,
        protocol=decision.protocol,
        node_latitude=decision.node_where.latitude if decision.node_where else 0.0,
        node_longitude=decision.node_where.longitude if decision.node_where else 0.0,
    )


def _candidates(decision: Decision) -> list[events.Candidate]:
    ranking = decision.ranking
    best = [int(row) for row in ranking.best]
    others = [row for row in range(len(decision.nodes)) if row not in best][: MAX_NAMED - len(best)]
    return [
        events.Candidate(
            node_id=decision.nodes[row],
            score=int(ranking.scores[row]),
            reason=Reason(int(ranking.reasons[row])).text,
        )
        for row in best + others
    ]


def _place(place: Place | None) -> events.Place | None:
    if place is None:
        return None
    return events.Place(
        country=place.country,
        city=place.city,
        h3_cell=place.cell,
        latitude=place.latitude,
        longitude=place.longitude,
    )
