"""Inbound calls of Signalman."""

from collections.abc import AsyncIterator

from frameworks.contracts.pb import signalman_v1_pb2 as pb
from frameworks.data.signalman.domain import wish
from frameworks.data.signalman.service import Hub, LiveState
from frameworks.kit.rpc import Call

SERVICE = pb.DESCRIPTOR.services_by_name["SignalmanService"]

SYSTEM = frozenset({"system"})


class Api:
    """SignalmanService."""

    def __init__(self, hub: Hub, live: LiveState) -> None:
        self._hub = hub
        self._live = live

    async def Subscribe(self, request: pb.SubscribeRequest, call: Call) -> AsyncIterator[pb.Frame]:
        """A snapshot, then changes of the caller's tenant, until the caller leaves."""
        tenant, metadata = call.tenant, call.forward()
        hidden = frozenset[str]() if "infrastructure:read" in call.principal.scopes else SYSTEM
        wanted = wish(request.channels, request.stream_id, request.event_types, hidden=hidden)
        subscriber = await self._hub.join(tenant, wanted, lambda: self._live.changes(tenant, metadata))
        try:
            async for pushed in subscriber:
                yield pb.Frame(
                    channel=pushed.change.channel,
                    event=pushed.change.event,
                    snapshot=pushed.snapshot,
                    dropped=pushed.dropped,
                )
        finally:
            self._hub.leave(tenant, subscriber)
