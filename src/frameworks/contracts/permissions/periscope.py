"""Who may call Periscope."""

from frameworks.kit.identity import PrincipalKind, Rule

_ANALYTICS = Rule.allow(PrincipalKind.USER, PrincipalKind.API_TOKEN, scope="analytics:read")
_STREAMS = Rule.allow(PrincipalKind.USER, PrincipalKind.API_TOKEN, scope="streams:read")
_INFRASTRUCTURE = Rule.allow(PrincipalKind.USER, PrincipalKind.API_TOKEN, scope="infrastructure:read")
_REPORTING = {
    *("bridge", "commodore", "quartermaster", "purser", "decklog", "periscope", "signalman"),
    *("foghorn", "helmsman", "mist", "console", "mailbox"),
}
"""Services whose processes say what they do."""

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
    "ListArtifactEvents": _ANALYTICS,
    "ListArtifactStates": _ANALYTICS,
    "ListStorageEvents": _ANALYTICS,
    "ListStreamHealth": _ANALYTICS,
    "ListStreamHealth5m": _ANALYTICS,
    "GetStreamHealthSummary": _ANALYTICS,
    "ListClientQoe": _ANALYTICS,
    "GetClientQoeSummary": _ANALYTICS,
    "ListRebufferings": _ANALYTICS,
    "GetViewing": _ANALYTICS,
    "GetViewingSeries": _ANALYTICS,
    "GetBoots": _ANALYTICS,
    "GetBootSeries": _ANALYTICS,
    "GetRetention": _ANALYTICS,
    "ListRetentionAssets": _ANALYTICS,
    "GetTopAssets": _ANALYTICS,
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
    "ListStorageUsage": _ANALYTICS,
    "ListApiUsage": _ANALYTICS,
    "GetApiUsageSummary": _ANALYTICS,
    "ListRoutingEvents": _INFRASTRUCTURE,
    "GetRoutingEfficiency": _INFRASTRUCTURE,
    "ListNodeMetrics": _INFRASTRUCTURE,
    "ListNodeMetrics1h": _INFRASTRUCTURE,
    "GetNodeMetricsAggregated": _INFRASTRUCTURE,
    "ListNodePerformance5m": _INFRASTRUCTURE,
    "GetPipelineStatus": Rule.allow(PrincipalKind.USER, services={"cli"}, role="operator"),
    "ReportProcess": Rule.allow(services=_REPORTING),
    "GetUsage": Rule.allow(services={"purser"}),
}
