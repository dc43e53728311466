"""What has happened: Periscope's answers as analytics rows."""

from frameworks.control.bridge.api.history import (
    api_usage,
    artifacts,
    health,
    infra,
    lifecycle,
    overview,
    usage,
    viewing,
)

BINDABLES = [
    *overview.BINDABLES,
    *usage.BINDABLES,
    *lifecycle.BINDABLES,
    *health.BINDABLES,
    *infra.BINDABLES,
    *viewing.BINDABLES,
    *artifacts.BINDABLES,
    *api_usage.BINDABLES,
]
