"""Inbound events of Signalman: every partition of the log from its end, for tenants someone watches."""

from uuid import UUID

from google.protobuf.message import DecodeError

from frameworks.contracts.framing import BrokenBatch, split, unframed
from frameworks.contracts.metrics import signalman as metrics
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.contracts.topics import ANALYTICS_EVENTS, EVENT_TYPES
from frameworks.data.signalman.domain import Change
from frameworks.data.signalman.service import Hub
from frameworks.kit.clock import Clock, jitter
from frameworks.kit.errors import Unavailable
from frameworks.kit.eventlog import EventLog, Record, Subscription
from frameworks.kit.log import get

AT_ONCE = 256
WAIT = 5.0
PAUSE = 1.0

log = get("signalman")


class Follower:
    """Reads without a group, so that every Signalman sees every event."""

    def __init__(self, eventlog: EventLog, hub: Hub, clock: Clock) -> None:
        self._eventlog = eventlog
        self._hub = hub
        self._clock = clock

    async def run(self) -> None:
        """Follow for ever; what is written while the log can not be reached is read when it is back."""
        async with self._eventlog.subscribe(ANALYTICS_EVENTS, start="latest") as subscription:
            while True:
                for record in await self._fetch(subscription):
                    metrics.PUSHED.inc(push(self._hub, record))

    async def _fetch(self, subscription: Subscription) -> list[Record]:
        """The next records; none, after a pause, while the log is away."""
        try:
            return await subscription.fetch(AT_ONCE, WAIT)
        except Unavailable as away:
            log.warning("log.missed", reason=away.message)
            await self._clock.sleep(jitter(PAUSE))
            return []


def push(hub: Hub, record: Record) -> int:
    """Hand the changes of one record to whoever watches its tenant; how many were new."""
    try:
        tenant = UUID(record.headers.get("tenant_id", ""))
    except ValueError:
        log.error("record.skipped", reason="no tenant", partition=record.partition, offset=record.offset)
        return 0
    if not hub.watches(tenant):
        return 0
    try:
        changes = [change for framed in split(record.value) if (change := _change(framed, tenant))]
    except (BrokenBatch, DecodeError) as error:
        log.error("record.skipped", reason=str(error), partition=record.partition, offset=record.offset)
        return 0
    return hub.push(tenant, changes)


def _change(framed: bytes, tenant: UUID) -> Change | None:
    """The event, if it is the tenant's and of a type this version knows."""
    raw = unframed(framed)
    event = Event.FromString(raw)
    kind = EVENT_TYPES.get(event.type)
    if kind is None or event.tenant_id != tenant.bytes:
        return None
    return Change(
        event=raw,
        event_id=event.event_id,
        type=event.type,
        channel=kind.channel,
        stream=event.stream_id,
        subject=event.stream_id or event.node_id.encode(),
        occurred_at=event.occurred_at,
    )
