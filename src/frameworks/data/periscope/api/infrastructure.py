"""Calls about nodes and routing, for the owner of a cluster."""

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.messages import page_of, paged_rows, row, rows, wanted
from frameworks.data.periscope.service.history import Figure, History, Listed, Row
from frameworks.kit.clock import Clock
from frameworks.kit.paging import Paged
from frameworks.kit.rpc import Call


class InfrastructureApi:
    """PeriscopeService: infrastructure."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def ListRoutingEvents(self, request: pb.HistoryRequest, call: Call) -> pb.RoutingEventPage:
        """Decisions with their reasons."""
        found = await self._page(Listed.ROUTING_EVENTS, request, call)
        events = paged_rows(pb.RoutingEvent, found, place="client")
        return pb.RoutingEventPage(events=events, page=page_of(found))

    async def GetRoutingEfficiency(self, request: pb.HistoryRequest, call: Call) -> pb.RoutingEfficiency:
        """How decisions went."""
        asked = wanted(request, self._clock)
        efficiency = row(pb.RoutingEfficiency, await self._history.one(call.tenant, Figure.ROUTING, asked))
        countries = await self._history.many(call.tenant, Figure.ROUTING_COUNTRIES, asked)
        efficiency.countries.extend(rows(pb.CountryRequests, countries))
        return efficiency

    async def ListNodeMetrics(self, request: pb.HistoryRequest, call: Call) -> pb.NodeMetricPage:
        """Measurements, sample by sample."""
        found = await self._page(Listed.NODE_METRICS, request, call)
        return pb.NodeMetricPage(samples=paged_rows(pb.NodeMetric, found), page=page_of(found))

    async def ListNodeMetrics1h(self, request: pb.HistoryRequest, call: Call) -> pb.NodeMetric1hPage:
        """Measurements by hour."""
        found = await self._page(Listed.NODE_METRICS_1H, request, call)
        return pb.NodeMetric1hPage(hours=paged_rows(pb.NodeMetric1h, found), page=page_of(found))

    async def GetNodeMetricsAggregated(
        self, request: pb.HistoryRequest, call: Call
    ) -> pb.NodeMetricsAggregated:
        """Measurements of the whole range, by node."""
        found = await self._history.many(call.tenant, Figure.NODES, wanted(request, self._clock))
        return pb.NodeMetricsAggregated(nodes=rows(pb.NodeAggregate, found))

    async def ListNodePerformance5m(self, request: pb.HistoryRequest, call: Call) -> pb.NodePerformance5mPage:
        """Measurements by five minutes."""
        found = await self._page(Listed.NODE_PERFORMANCE_5M, request, call)
        buckets = paged_rows(pb.NodePerformance5m, found)
        return pb.NodePerformance5mPage(buckets=buckets, page=page_of(found))

    async def _page(self, listed: Listed, request: pb.HistoryRequest, call: Call) -> Paged[Row]:
        return await self._history.page(call.tenant, listed, wanted(request, self._clock), request.page)
