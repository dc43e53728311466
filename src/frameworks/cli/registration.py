"""Each process tells the registry which services it runs, so that operators and discovery can see them."""

import socket
from collections.abc import Awaitable, Callable

from frameworks import __version__
from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.kit import log
from frameworks.kit.clock import micros
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.host import ProcessHost

EVERY_SECONDS = 30.0
EDGE = frozenset({"mist", "helmsman"})
"""Modules of a node: the node's own heartbeat speaks for them, and a tenant's machine has no service key."""


def reporter(
    host: ProcessHost, modules: tuple[str, ...], cluster: str
) -> Callable[[], Awaitable[None]] | None:
    """The loop that reports this process's services; None for the processes of a node."""
    services = sorted({name.split("-")[0] for name in modules} - EDGE)
    if not services:
        return None
    registry = host.peer(QuartermasterServiceStub, service=services[0])
    started = micros(host.clock.now())
    logger = log.get("host")

    async def loop() -> None:
        while True:
            try:
                await registry.ReportInstances(_instances(host, services, cluster, started))
            except (Unavailable, Refusal) as error:
                logger.warning("instances.not_reported", code=error.code, reason=error.message)
            await host.clock.sleep(EVERY_SECONDS)

    return loop


def _instances(
    host: ProcessHost, services: list[str], cluster: str, started: int
) -> pb.ReportInstancesRequest:
    failing = bool(host.unready())
    machine = socket.gethostname()
    return pb.ReportInstancesRequest(
        instances=[
            pb.ServiceInstance(
                id=f"{machine}/{service}",
                service=service,
                cluster_id=cluster,
                address=machine,
                port=host.ports.get(service, 0),
                protocol="http" if service in host.ports else "grpc",
                status="running",
                health="unhealthy" if failing else "healthy",
                version=__version__,
                started_at=started,
            )
            for service in services
        ]
    )
