"""gRPC: nodes connect and report, Bridge asks where to watch and where to publish."""

import asyncio
from collections.abc import AsyncIterator

from frameworks.contracts.ids import INTERNAL_NAME
from frameworks.contracts.metrics import foghorn as metrics
from frameworks.contracts.pb import foghorn_v1_pb2 as pb
from frameworks.kit.errors import Forbidden, Refusal
from frameworks.kit.identity import Principal
from frameworks.kit.rpc import Call
from frameworks.kit.tasks import end
from frameworks.media.foghorn.domain import NodeFacts, StreamPresence, position
from frameworks.media.foghorn.service.known import KnownStreams
from frameworks.media.foghorn.service.nodes import Link, Nodes
from frameworks.media.foghorn.service.orders import Orders, Told
from frameworks.media.foghorn.service.passes import Passes
from frameworks.media.foghorn.service.routing import Endpoint, NodeAddresses, Router, Watch
from frameworks.media.foghorn.service.seats import Seats
from frameworks.media.foghorn.service.viewers import VirtualViewers

MAX_STOPS = 1_000
READY = frozenset({"FULL", "RECOVER", "DRY"})


LONGEST = 200


class BadViewer(Refusal):
    """A viewer without a stream or a session."""

    code = "foghorn.bad_viewer"


class TooManyStops(Refusal):
    """More streams in one order than are taken at once."""

    code = "foghorn.too_many_stops"


class FoghornApi:
    """The servicer of FoghornService."""

    def __init__(
        self,
        nodes: Nodes[pb.NodeCommand],
        viewers: VirtualViewers,
        router: Router,
        seats: Seats,
        orders: Orders,
        known: KnownStreams,
        passes: Passes | None = None,
    ) -> None:
        self._nodes = nodes
        self._viewers = viewers
        self._router = router
        self._seats = seats
        self._orders = orders
        self._known = known
        self._passes = passes
        self._states: dict[str, pb.NodeState] = {}

    async def Connect(
        self, requests: AsyncIterator[pb.NodeReport], call: Call
    ) -> AsyncIterator[pb.NodeCommand]:
        """A node's standing connection: reports in, commands out, until either side ends it."""
        node = call.principal
        if node.cluster is None or node.tenant is None:
            raise Forbidden("The node's certificate names no cluster.")
        link = self._nodes.connect(node.subject)
        reading = asyncio.create_task(self._read(requests, node, link))
        try:
            async for command in link.outgoing():
                yield command
        finally:
            await end([reading])
            self._nodes.disconnected(link)

    async def AdmitViewer(self, request: pb.AdmitViewerRequest, call: Call) -> pb.ViewerAdmission:
        """A place for a viewer on the calling node, within its tenant's plan."""
        node = call.principal
        if not INTERNAL_NAME.fullmatch(request.internal_name) or not 0 < len(request.session_id) <= LONGEST:
            raise BadViewer("Name the stream by its internal name, and the session.")
        seat = await self._seats.admit(
            node.subject,
            node.cluster or "",
            request.session_id,
            request.internal_name,
            request.correlation_id,
        )
        if seat.reason:
            metrics.REFUSED.labels(seat.reason).inc()
        return pb.ViewerAdmission(
            admitted=not seat.reason, reason=seat.reason, watching=seat.watching, allowed=seat.allowed
        )

    async def StopStreams(self, request: pb.StopStreamsRequest, call: Call) -> pb.StopStreamsResponse:
        """What Commodore no longer allows; kept and told to nodes until they have done it."""
        if len(request.streams) > MAX_STOPS:
            raise TooManyStops(f"Stop at most {MAX_STOPS} streams at once.")
        self._known.doubt(request.tenant_id)
        stops = ((stop.internal_name, stop.epoch, stop.key_id) for stop in request.streams)
        self._orders.place(request.order_id, stops, request.reason)
        return pb.StopStreamsResponse()

    async def ResolveViewer(self, request: pb.ResolveViewerRequest, call: Call) -> pb.ViewerEndpoints:
        """Where to watch a playback id."""
        where = position(request.latitude, request.longitude) if request.has_position else None
        watch = await self._router.watch(
            request.playback_id,
            protocol=request.protocol,
            address=request.client_address,
            where=where,
            redirect=False,
        )
        found = viewer_endpoints(watch)
        if self._passes is not None:
            found.telemetry_token = self._passes.of(watch.stream)
        return found

    async def ResolveIngest(self, request: pb.ResolveIngestRequest, call: Call) -> pb.IngestEndpoints:
        """Where to push with a stream key."""
        found = await self._router.publish(
            request.stream_key, protocol=request.protocol, address=request.client_address
        )
        return pb.IngestEndpoints(
            endpoints=[
                pb.IngestEndpoint(
                    node_id=node,
                    base_url=addresses.base_url,
                    rtmp_url=addresses.rtmp_url,
                    region=addresses.region,
                    load_score=score,
                    cluster_id=cluster,
                )
                for node, addresses, score, cluster in found.endpoints
            ],
            stream_id=found.target.stream_id,
            tenant_id=found.target.tenant_id,
            recording_enabled=found.target.recording_enabled,
        )

    async def ListNodes(self, request: pb.ListNodesRequest, call: Call) -> pb.NodeStates:
        """The fleet as Foghorn sees it now."""
        views = []
        for node in sorted(self._nodes.fleet.nodes):
            facts = self._nodes.fleet.facts(node)
            opened, pending = self._viewers.count(node)
            views.append(
                pb.NodeView(
                    node_id=node,
                    cluster_id=facts.cluster if facts else "",
                    state=self._states.get(node),
                    fresh=not self._nodes.fleet.is_stale(node),
                    viewers=opened,
                    pending_viewers=pending,
                )
            )
        return pb.NodeStates(nodes=views)

    async def _read(
        self, requests: AsyncIterator[pb.NodeReport], node: Principal, link: Link[pb.NodeCommand]
    ) -> None:
        try:
            async for report in requests:
                if link.superseded.is_set():
                    return
                self._apply(report, node)
        finally:
            link.superseded.set()

    def _apply(self, report: pb.NodeReport, node: Principal) -> None:
        match report.WhichOneof("report"):
            case "state":
                self._states[node.subject] = report.state
                self._nodes.report(
                    _facts(report.state, node),
                    _addresses(report.state),
                    report.state.boot_id,
                    answers=report.state.standing in ("", "up"),
                )
                self._orders.heard(node.subject)
            case "viewer_opened":
                seen = report.viewer_opened
                self._viewers.opened(node.subject, seen.session_id, seen.internal_name, seen.correlation_id)
            case "viewer_closed":
                self._viewers.closed(node.subject, report.viewer_closed.session_id)
            case "command_done":
                self._orders.done(node.subject, report.command_done.command_id)


def command(told: Told) -> pb.NodeCommand:
    """An order as the node is told it."""
    order = told.order
    if not told.stops:
        asks = pb.InvalidateSessions(internal_name=order.internal_name)
        return pb.NodeCommand(command_id=order.id, invalidate_sessions=asks)
    stop = pb.StopStream(
        internal_name=order.internal_name, reason=order.reason, epoch=order.epoch, key_id=order.key_id
    )
    return pb.NodeCommand(command_id=order.id, stop_stream=stop)


def viewer_endpoints(watch: Watch) -> pb.ViewerEndpoints:
    """The answer as Bridge receives it."""
    stream = watch.stream
    return pb.ViewerEndpoints(
        primary=_endpoint(watch.endpoints[0]) if watch.endpoints else None,
        fallbacks=[_endpoint(endpoint) for endpoint in watch.endpoints[1:]],
        state=watch.state,
        stream_id=stream.stream_id,
        tenant_id=stream.tenant_id,
        title=stream.title,
        description=stream.description,
        viewers=watch.viewers,
        created_at=stream.created_at,
        playback_id=stream.playback_id,
        recording_enabled=stream.recording_enabled,
    )


def _endpoint(endpoint: Endpoint) -> pb.Endpoint:
    return pb.Endpoint(
        node_id=endpoint.node,
        base_url=endpoint.base_url,
        protocol=endpoint.protocol,
        url=endpoint.url,
        distance_km=endpoint.distance_km,
        load_score=endpoint.score,
        outputs=endpoint.outputs,
        cluster_id=endpoint.cluster,
        region=endpoint.region,
    )


def _facts(state: pb.NodeState, node: Principal) -> NodeFacts:
    return NodeFacts(
        node=node.subject,
        cluster=node.cluster or "",
        owner=str(node.tenant),
        cpu_permille=state.cpu_permille,
        memory_used=state.memory_used_bytes,
        memory_total=state.memory_total_bytes,
        up=state.up_bytes_per_second,
        limit=state.bandwidth_limit,
        where=position(state.latitude, state.longitude),
        capabilities=frozenset(state.capabilities),
        draining=state.draining,
        streams={
            seen.internal_name: StreamPresence(
                seen.viewers,
                0 if seen.replicated else seen.inputs,
                seen.bandwidth,
                seen.buffer_state in READY,
            )
            for seen in state.streams
        },
    )


def _addresses(state: pb.NodeState) -> NodeAddresses:
    return NodeAddresses(state.base_url, state.rtmp_url, state.region, dict(state.outputs))
