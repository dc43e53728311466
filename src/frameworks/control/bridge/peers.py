"""The services Bridge asks, by their generated stubs, and Decklog, which it tells what it saw itself."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.metrics import bridge as metrics
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceStub
from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceStub
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.contracts.pb.signalman_v1_pb2_grpc import SignalmanServiceStub
from frameworks.kit import log
from frameworks.kit.errors import Unavailable
from frameworks.kit.module import Host

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub
    from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceAsyncStub
    from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceAsyncStub
    from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceAsyncStub
    from frameworks.contracts.pb.signalman_v1_pb2_grpc import SignalmanServiceAsyncStub

SERVICE = "bridge"


@dataclass(frozen=True, slots=True)
class Peers:
    """Whom Bridge asks."""

    commodore: "CommodoreServiceAsyncStub"
    quartermaster: "QuartermasterServiceAsyncStub"
    periscope: "PeriscopeServiceAsyncStub"
    foghorn: "FoghornServiceAsyncStub"
    signalman: "SignalmanServiceAsyncStub"


def connect(host: Host) -> Peers:
    """Peers reached through `host`, calling as Bridge unless a caller is passed on."""
    return Peers(
        commodore=host.peer(CommodoreServiceStub, service=SERVICE),
        quartermaster=host.peer(QuartermasterServiceStub, service=SERVICE),
        periscope=host.peer(PeriscopeServiceStub, service=SERVICE),
        foghorn=host.peer(FoghornServiceStub, service=SERVICE),
        signalman=host.peer(SignalmanServiceStub, service=SERVICE),
    )


MAX_WAITING = 10_000


class Outlet:
    """Events on their way to Decklog; a bounded queue keeps who reports from waiting for the disk."""

    def __init__(self, delivery: EventDelivery) -> None:
        self._delivery = delivery
        self._queue: asyncio.Queue[events.Event] = asyncio.Queue(MAX_WAITING)
        self._log = log.get(SERVICE)

    def offer(self, event: events.Event) -> bool:
        """Take the event; False, and counted, when too many wait."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            metrics.UNSENT.inc()
            return False
        return True

    async def run(self) -> None:
        """Make waiting events durable, for ever."""
        while True:
            await self._keep(await self._queue.get())

    async def flush(self) -> None:
        """Make durable what still waits, at the end."""
        while not self._queue.empty():
            await self._keep(self._queue.get_nowait())

    async def _keep(self, event: events.Event) -> None:
        try:
            await self._delivery.record(event)
        except Unavailable as full:
            metrics.UNSENT.inc()
            self._log.error("event.dropped", type=event.type, reason=full.message)
