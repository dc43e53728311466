"""Metric names of Purser."""

from frameworks.kit.metrics import counter

SUSPENSIONS = counter(
    "purser_suspensions_total",
    "Suspensions set and lifted by operators. A burst means someone (or a script) is switching tenants off.",
    ("change",),
)
