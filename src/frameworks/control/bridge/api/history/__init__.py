"""What has happened: Periscope's answers as analytics rows."""

from frameworks.control.bridge.api.history import (
    health,
    infra,
    lifecycle,
    overview,
    usage,
)

BINDABLES = [
    *overview.BINDABLES,
    *usage.BINDABLES,
    *lifecycle.BINDABLES,
    *health.BINDABLES,
    *infra.BINDABLES,
]
