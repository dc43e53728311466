"""Foghorn, told what may no longer run."""

from typing import TYPE_CHECKING

from frameworks.contracts.pb import foghorn_v1_pb2 as pb
from frameworks.control.commodore.domain.stops import StopOrder

if TYPE_CHECKING:
    from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceAsyncStub

ASK_SECONDS = 5.0


class Media:
    """Streams on nodes, by way of Foghorn."""

    def __init__(self, foghorn: "FoghornServiceAsyncStub") -> None:
        self._foghorn = foghorn

    async def stop(self, order: StopOrder) -> None:
        """Hand an order over; repeating it does no harm. Raises Unavailable."""
        request = pb.StopStreamsRequest(
            order_id=order.order_id,
            tenant_id=order.tenant_id,
            reason=order.reason,
            streams=[
                pb.StreamStop(internal_name=stop.internal_name, epoch=stop.epoch, key_id=stop.key_id)
                for stop in order.streams
            ],
        )
        await self._foghorn.StopStreams(request, timeout=ASK_SECONDS)
