"""Inbound events of Signalman: every partition of the log, without a group, so that every replica sees everything."""

from collections.abc import Mapping
from uuid import UUID

from google.protobuf.message import DecodeError

from frameworks.contracts.framing import BrokenBatch, split, unframed
from frameworks.contracts.metrics import signalman as metrics
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.contracts.topics import ANALYTICS_EVENTS, EVENT_TYPES
from frameworks.data.signalman.domain.changes import Change
from frameworks.data.signalman.service.hub import Hub
from frameworks.data.signalman.service.tail import Raw
from frameworks.kit.clock import Clock, jitter
from frameworks.kit.errors import Unavailable
from frameworks.kit.eventlog import EventLog, Extent, Record, Subscription, UnknownTopic
from frameworks.kit.log import get

AT_ONCE = 256
WAIT = 5.0
PAUSE = 1.0
LOOK_EVERY = 10.0
"""Seconds between looks at what the log still holds."""

log = get("signalman")


class Follower:
    """Hands the log to the hub, in order and without a hole, or says that there is one."""

    def __init__(self, eventlog: EventLog, hub: Hub, clock: Clock, *, backlog: int) -> None:
        self._eventlog = eventlog
        self._hub = hub
        self._clock = clock
        self._backlog = backlog
        self._looked = 0.0
        self._since: Mapping[int, int] = {}
        """What was wanted at the last look: nothing after it may go before the next."""
        self._was_away = False
        self._reason = ""
        self._taken = 0
        self._lags: Mapping[int, int] = {}

    def facts(self) -> dict[str, object]:
        """What `/health` says of this reader; its lag is that of the last look."""
        worst = max(self._lags, key=lambda number: self._lags[number], default=0)
        return {
            ANALYTICS_EVENTS: {
                "group": "signalman",
                "last_error": "eventlog.away" if self._was_away else "",
                "reason": self._reason if self._was_away else "",
                "unclaimed": 0,
                "stored": self._taken,
                "lag": sum(self._lags.values()),
                "worst_lag": self._lags.get(worst, 0),
                "worst_partition": worst,
                "partitions": len(self._lags),
            }
        }

    async def run(self) -> None:
        """Follow for ever; what is written while the log can not be reached is read when it is back."""
        while True:
            await self.follow()

    async def follow(self) -> None:
        """Follow until it is doubtful whether this is still the same log."""
        try:
            extent = await self._eventlog.extent(ANALYTICS_EVENTS)
        except UnknownTopic as error:
            raise Unavailable("Decklog has not made its topic yet.") from error
        self.resolve(extent)
        async with self._eventlog.subscribe(ANALYTICS_EVENTS, start=self._hub.wanted) as subscription:
            while await self.step(subscription):
                pass

    def resolve(self, extent: Extent) -> None:
        """Go on where the hub is, if the log still has it; else begin."""
        if not self._goes_on(extent):
            self._begin(extent)
        self._since, self._looked = self._hub.wanted, self._clock.monotonic()

    async def step(self, subscription: Subscription, limit: int = AT_ONCE) -> bool:
        """Take the next records; False when the subscription is to be made anew."""
        for record in await self._fetch(subscription, limit):
            pushed = push(self._hub, record)
            self._taken += pushed
            metrics.PUSHED.inc(pushed)
        if self._was_away and self._eventlog.connected():
            self._was_away = False
            return False
        if self._clock.monotonic() - self._looked < LOOK_EVERY:
            return True
        self._looked = self._clock.monotonic()
        return await self.look(subscription)

    def _begin(self, extent: Extent) -> None:
        first = {p: max(extent.first[p], extent.end[p] - self._backlog) for p in extent.end}
        log.info("log.begun", epoch=extent.epoch, again=bool(self._hub.epoch))
        metrics.FROM_ANEW.inc()
        self._hub.begin(extent.epoch, first)

    def _goes_on(self, extent: Extent) -> bool:
        """Whether everything the hub wants next is still there, and is what it means."""
        wanted = self._hub.wanted
        return (
            self._hub.epoch == extent.epoch
            and wanted.keys() == extent.end.keys()
            and all(extent.first[p] <= offset <= extent.end[p] for p, offset in wanted.items())
        )

    async def look(self, subscription: Subscription) -> bool:
        """Check that nothing was dropped before it was read, and how far quiet partitions are known."""
        try:
            extent = await self._eventlog.extent(ANALYTICS_EVENTS)
            self._lags = lags = await subscription.lags()
        except Unavailable:
            return True
        if extent.epoch != self._hub.epoch or any(extent.first[p] > self._since[p] for p in self._since):
            self._begin(extent)
            return False
        self._hub.reached({p: extent.end[p] for p, lag in lags.items() if not lag})
        self._since = self._hub.wanted
        return True

    async def _fetch(self, subscription: Subscription, limit: int) -> list[Record]:
        """The next records; none, after a pause, while the log is away."""
        try:
            return await subscription.fetch(limit, WAIT)
        except Unavailable as away:
            log.warning("log.missed", reason=away.message)
            self._was_away, self._reason = True, away.message
            await self._clock.sleep(jitter(PAUSE))
            return []


def push(hub: Hub, record: Record) -> int:
    """Hand one record to the hub; how many changes were new to someone who watches its tenant."""
    try:
        tenant = UUID(record.headers.get("tenant_id", ""))
    except ValueError:
        log.error("record.skipped", reason="no tenant", partition=record.partition, offset=record.offset)
        hub.passed(record.partition, record.offset)
        return 0
    return hub.take(Raw(tenant, record.partition, record.offset, record.value))


def changes_in(raw: Raw) -> list[tuple[int, Change]]:
    """The events of a record that are its tenant's and of a type this version knows, each with its index."""
    try:
        framed = split(raw.value)
    except BrokenBatch as error:
        _skipped(raw, error)
        return []
    return [(index, change) for index, one in enumerate(framed) if (change := _change(one, raw))]


def _skipped(raw: Raw, error: Exception) -> None:
    log.error("record.skipped", reason=str(error), partition=raw.partition, offset=raw.offset)


def _change(framed: bytes, raw: Raw) -> Change | None:
    octets = unframed(framed)
    try:
        event = Event.FromString(octets)
    except DecodeError as error:
        _skipped(raw, error)
        return None
    kind = EVENT_TYPES.get(event.type)
    if kind is None or event.tenant_id != raw.tenant.bytes:
        return None
    return Change(
        event=octets,
        event_id=event.event_id,
        type=event.type,
        channel=kind.channel,
        stream=event.stream_id,
        subject=event.stream_id or event.node_id.encode(),
        occurred_at=event.occurred_at,
    )
