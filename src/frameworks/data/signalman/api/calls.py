"""Inbound calls of Signalman."""

from collections.abc import AsyncIterator

from frameworks.contracts.pb import signalman_v1_pb2 as pb
from frameworks.contracts.permissions.signalman import open_to
from frameworks.contracts.topics import CHANNELS
from frameworks.data.signalman.domain.changes import wish
from frameworks.data.signalman.service.hub import Hub, LiveState
from frameworks.data.signalman.service.reader import Mark, Pushed
from frameworks.kit.rpc import Call

SERVICE = pb.DESCRIPTOR.services_by_name["SignalmanService"]

MARKS = {
    Mark.CHANGE: pb.MARK_CHANGE,
    Mark.SNAPSHOT_STARTED: pb.MARK_SNAPSHOT_STARTED,
    Mark.SNAPSHOT_FINISHED: pb.MARK_SNAPSHOT_FINISHED,
    Mark.RESUMED: pb.MARK_RESUMED,
    Mark.POSITION: pb.MARK_POSITION,
}


class Api:
    """SignalmanService."""

    def __init__(self, hub: Hub, live: LiveState) -> None:
        self._hub = hub
        self._live = live

    async def Subscribe(self, request: pb.SubscribeRequest, call: Call) -> AsyncIterator[pb.Frame]:
        """What was missed or a snapshot, then changes of the caller's tenant, until the caller leaves."""
        tenant, metadata = call.tenant, call.forward()
        hidden = CHANNELS - open_to(call.principal)
        wanted = wish(request.channels, request.stream_id, request.event_types, hidden=hidden)
        reader = await self._hub.join(
            tenant,
            wanted,
            lambda: self._live.changes(tenant, metadata),
            request.position,
            call.principal.expires,
        )
        try:
            async for pushed in reader:
                yield frame(pushed)
        finally:
            self._hub.leave(reader)


def frame(pushed: Pushed) -> pb.Frame:
    """The message on the wire."""
    change = pushed.change
    return pb.Frame(
        channel=change.channel if change else "",
        event=change.event if change else b"",
        snapshot=pushed.snapshot,
        position=pushed.position,
        mark=MARKS[pushed.mark],
        reason=pushed.reason,
        incomplete=not pushed.complete,
    )
