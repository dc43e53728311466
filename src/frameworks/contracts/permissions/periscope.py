"""Who may call Periscope."""

from frameworks.kit.identity import PrincipalKind, Rule

_ANALYTICS = Rule.allow(PrincipalKind.USER, PrincipalKind.API_TOKEN, scope="analytics:read")
_STREAMS = Rule.allow(PrincipalKind.USER, PrincipalKind.API_TOKEN, scope="streams:read")
_INFRASTRUCTURE = Rule.allow(PrincipalKind.USER, PrincipalKind.API_TOKEN, scope="infrastructure:read")

RULES: dict[str, Rule] = {
    "GetStreamStatuses": _STREAMS,
    "GetCurrentViewers": _ANALYTICS,
    "GetStreamSeries": _ANALYTICS,
    "GetOverview": _ANALYTICS,
    "GetDailyStats": _ANALYTICS,
    "ListStreamEvents": _ANALYTICS,
    "ListBufferEvents": _ANALYTICS,
    "ListConnectionEvents": _ANALYTICS,
    "ListViewerSessions": _ANALYTICS,
    "ListTrackLists": _ANALYTICS,
    "ListStreamHealth": _ANALYTICS,
    "ListStreamHealth5m": _ANALYTICS,
    "GetStreamHealthSummary": _ANALYTICS,
    "ListClientQoe": _ANALYTICS,
    "GetClientQoeSummary": _ANALYTICS,
    "ListRebufferings": _ANALYTICS,
    "GetStreamSummary": _ANALYTICS,
    "ListStreamSummaries": _ANALYTICS,
    "ListStreamDays": _ANALYTICS,
    "ListTenantDays": _ANALYTICS,
    "ListViewerHours": _ANALYTICS,
    "ListConnectionHours": _ANALYTICS,
    "ListQualityDays": _ANALYTICS,
    "ListViewerCounts": _ANALYTICS,
    "ListViewerGeographics": _ANALYTICS,
    "ListGeoHours": _ANALYTICS,
    "GetGeographicDistribution": _ANALYTICS,
    "ListRoutingEvents": _INFRASTRUCTURE,
    "GetRoutingEfficiency": _INFRASTRUCTURE,
    "ListNodeMetrics": _INFRASTRUCTURE,
    "ListNodeMetrics1h": _INFRASTRUCTURE,
    "GetNodeMetricsAggregated": _INFRASTRUCTURE,
    "ListNodePerformance5m": _INFRASTRUCTURE,
    "GetPipelineStatus": Rule.allow(PrincipalKind.USER, services={"cli"}, role="operator"),
    "GetUsage": Rule.allow(services={"purser"}),
}
