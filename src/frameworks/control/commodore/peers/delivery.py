"""Effects from the outbox: mails, the closing of tenants, the end of what may no longer run, the audit trail."""

from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

import msgspec

from frameworks.contracts import audit_trail
from frameworks.contracts.audit_delivery import AuditDelivery
from frameworks.contracts.metrics import commodore as metrics
from frameworks.control.commodore.domain import stops
from frameworks.control.commodore.domain.letters import Mail, words
from frameworks.control.commodore.domain.stops import StopOrder
from frameworks.control.commodore.peers.mail import MailRefused
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock
from frameworks.kit.outbox import Letter

log = logs.get("commodore")


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand a mail over."""


class Tenants(Protocol):
    """Quartermaster, for closing."""

    async def close(self, tenant: UUID) -> None:
        """Switch a tenant off."""


class Streams(Protocol):
    """Foghorn, for stopping."""

    async def stop(self, order: StopOrder) -> None:
        """Hand an order over."""


class Delivery:
    """Delivers each letter of the outbox by its topic."""

    def __init__(
        self,
        mailer: Mailer,
        tenants: Tenants,
        audit: AuditDelivery,
        streams: Streams,
        standing_changed: Callable[[UUID], Awaitable[None]],
        clock: Clock,
        public_url: str,
    ) -> None:
        self._mailer = mailer
        self._tenants = tenants
        self._audit = audit
        self._streams = streams
        self._standing_changed = standing_changed
        self._clock = clock
        self._public_url = public_url

    async def deliver(self, letter: Letter) -> None:
        """Do what the letter says; raises a Fault to be tried again."""
        match letter.topic:
            case "mail":
                await self._mail(msgspec.json.decode(letter.payload, type=Mail))
            case "tenant.closed":
                tenant = UUID(letter.payload.decode())
                await self._tenants.close(tenant)
                await self._standing_changed(tenant)
            case stops.TOPIC:
                await self._streams.stop(msgspec.json.decode(letter.payload, type=StopOrder))
            case audit_trail.TOPIC:
                await self._audit.deliver(letter)
            case _:
                raise ValueError(f"nobody delivers {letter.topic}")

    async def _mail(self, mail: Mail) -> None:
        if mail.expires_at <= self._clock.now():
            metrics.MAILS.labels(kind=mail.kind.value, outcome="expired").inc()
            log.warning("mail.expired", kind=mail.kind.value)
            return
        try:
            await self._mailer.send(mail.to, *words(mail, self._public_url))
        except MailRefused as refusal:
            metrics.MAILS.labels(kind=mail.kind.value, outcome="refused").inc()
            log.warning("mail.refused", kind=mail.kind.value, **refusal.facts)
            return
        metrics.MAILS.labels(kind=mail.kind.value, outcome="sent").inc()
        log.info("mail.sent", kind=mail.kind.value)
