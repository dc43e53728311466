"""Commodore, told when what a tenant may do has changed."""

from typing import TYPE_CHECKING

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.purser.domain import STANDING_CHANGED
from frameworks.kit.outbox import Letter

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub

ASK_SECONDS = 5.0


class Delivery:
    """Delivers each letter of the outbox by its topic."""

    def __init__(self, commodore: "CommodoreServiceAsyncStub") -> None:
        self._commodore = commodore

    async def deliver(self, letter: Letter) -> None:
        """Do what the letter says; raises a Fault to be tried again."""
        if letter.topic != STANDING_CHANGED:
            raise ValueError(f"nobody delivers {letter.topic}")
        request = pb.StandingChangedRequest(tenant_id=letter.payload.decode())
        await self._commodore.StandingChanged(request, timeout=ASK_SECONDS)
