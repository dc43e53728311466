"""Metric names of Quartermaster."""

from frameworks.kit.metrics import counter

LOST_NODES = counter(
    "quartermaster_nodes_lost_total",
    "Nodes put offline because they fell silent. Look at the nodes, then at their way to the control plane.",
)
LOST_INSTANCES = counter(
    "quartermaster_instances_lost_total",
    "Service instances called unhealthy because they fell silent. Look at the process that reports them.",
)
ENROLLMENTS = counter(
    "quartermaster_enrollments_total",
    "Enrolments by outcome. Many refused ones: somebody is trying tokens, or a token was reused.",
    ("outcome",),
)
