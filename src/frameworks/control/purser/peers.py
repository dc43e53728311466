"""What leaves Purser's outbox: Commodore hears when what a tenant may do has changed; the audit trail."""

from typing import TYPE_CHECKING

from frameworks.contracts import audit_trail
from frameworks.contracts.audit_delivery import AuditDelivery
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.purser import domain
from frameworks.kit.outbox import Letter

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub

ASK_SECONDS = 5.0


class Delivery:
    """Delivers each letter of the outbox by its topic."""

    def __init__(self, commodore: "CommodoreServiceAsyncStub", audit: AuditDelivery) -> None:
        self._commodore = commodore
        self._audit = audit

    async def deliver(self, letter: Letter) -> None:
        """Do what the letter says; raises a Fault to be tried again."""
        match letter.topic:
            case domain.STANDING_CHANGED:
                request = pb.StandingChangedRequest(tenant_id=letter.payload.decode())
                await self._commodore.StandingChanged(request, timeout=ASK_SECONDS)
            case audit_trail.TOPIC:
                await self._audit.deliver(letter)
            case _:
                raise ValueError(f"nobody delivers {letter.topic}")
