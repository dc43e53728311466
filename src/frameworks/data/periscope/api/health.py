"""Calls about how well streams do."""

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.messages import page_of, paged_rows, share, wanted
from frameworks.data.periscope.service.history import Figure, History, Listed, Row
from frameworks.kit.clock import Clock
from frameworks.kit.paging import Paged
from frameworks.kit.rpc import Call


class HealthApi:
    """PeriscopeService: health."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def ListStreamHealth(self, request: pb.HistoryRequest, call: Call) -> pb.StreamHealthPage:
        """Measurements, sample by sample."""
        found = await self._page(Listed.STREAM_HEALTH, request, call)
        return pb.StreamHealthPage(samples=paged_rows(pb.StreamHealth, found), page=page_of(found))

    async def ListStreamHealth5m(self, request: pb.HistoryRequest, call: Call) -> pb.StreamHealth5mPage:
        """Measurements by five minutes."""
        found = await self._page(Listed.STREAM_HEALTH_5M, request, call)
        return pb.StreamHealth5mPage(buckets=paged_rows(pb.StreamHealth5m, found), page=page_of(found))

    async def GetStreamHealthSummary(self, request: pb.HistoryRequest, call: Call) -> pb.StreamHealthSummary:
        """Measurements of the whole range."""
        asked = wanted(request, self._clock)
        health, lifecycle = await self._history.both(call.tenant, Figure.HEALTH, Figure.LIFECYCLE, asked)
        samples, tiers = health["samples"], health["tiers_us"]
        return pb.StreamHealthSummary(
            samples=samples,
            avg_bitrate_kbps=share(health["bitrate_kbps_sum"], samples),
            avg_fps=share(health["fps_milli_sum"], samples) / 1000,
            avg_buffer_ms=share(health["buffer_ms_sum"], samples),
            avg_health_score=share(health["health_score_sum"], samples),
            rebuffer_count=lifecycle["rebuffer_count"],
            issue_count=health["issue_count"],
            buffer_dry_count=lifecycle["buffer_dry_count"],
            has_active_issues=bool(health["has_active_issues"]),
            quality_tier=max(tiers, key=lambda tier: tiers[tier], default=""),
        )

    async def ListClientQoe(self, request: pb.HistoryRequest, call: Call) -> pb.ClientQoePage:
        """Delivery by five minutes."""
        found = await self._page(Listed.CLIENT_QOE, request, call)
        return pb.ClientQoePage(buckets=paged_rows(pb.ClientQoe, found), page=page_of(found))

    async def GetClientQoeSummary(self, request: pb.HistoryRequest, call: Call) -> pb.ClientQoeSummary:
        """Delivery of the whole range."""
        asked = wanted(request, self._clock)
        health, connections = await self._history.both(call.tenant, Figure.HEALTH, Figure.CONNECTIONS, asked)
        samples = health["samples"]
        return pb.ClientQoeSummary(
            packets_sent=health["packets_sent"],
            packets_lost=health["packets_lost"],
            peak_packet_loss=health["peak_packet_loss"],
            avg_bandwidth_in_bps=share(health["bandwidth_in_bps_sum"], samples),
            avg_bandwidth_out_bps=share(health["bandwidth_out_bps_sum"], samples),
            avg_connection_seconds=share(connections["seconds"], connections["closed"]),
            active_sessions=health["peak_viewers"],
        )

    async def ListRebufferings(self, request: pb.HistoryRequest, call: Call) -> pb.RebufferingPage:
        """Times a buffer ran dry."""
        found = await self._page(Listed.REBUFFERINGS, request, call)
        return pb.RebufferingPage(events=paged_rows(pb.Rebuffering, found), page=page_of(found))

    async def _page(self, listed: Listed, request: pb.HistoryRequest, call: Call) -> Paged[Row]:
        return await self._history.page(call.tenant, listed, wanted(request, self._clock), request.page)
