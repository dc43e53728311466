"""The clock: nodes and instances that fell silent."""

from datetime import timedelta

from frameworks.contracts.metrics import quartermaster as metrics
from frameworks.control.quartermaster.service.nodes import Nodes
from frameworks.control.quartermaster.service.registry import Registry
from frameworks.kit.clock import Clock


async def sweep(nodes: Nodes, registry: Registry, clock: Clock, every: timedelta) -> None:
    """Look for silent nodes and instances for ever."""
    while True:
        metrics.LOST_NODES.inc(await nodes.sweep())
        metrics.LOST_INSTANCES.inc(await registry.sweep())
        await clock.sleep(every.total_seconds())
