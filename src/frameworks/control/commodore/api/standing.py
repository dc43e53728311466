"""Calls of services that decide what a tenant may do."""

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.commodore.api import encoding
from frameworks.control.commodore.service.enforcement import Enforcement
from frameworks.kit.rpc import Call


class StandingCalls:
    """What Purser tells."""

    def __init__(self, enforcement: Enforcement) -> None:
        self._enforcement = enforcement

    async def StandingChanged(self, request: pb.StandingChangedRequest, call: Call) -> pb.Done:
        """Act on what a tenant may do from now on."""
        await self._enforcement.standing_changed(encoding.tenant_id(request.tenant_id))
        return pb.Done()
