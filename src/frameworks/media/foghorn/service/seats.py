"""Seats: a tenant's plan counts the viewers of all its streams on all nodes, and Foghorn is who counts them."""

from dataclasses import dataclass

from frameworks.kit import log as logs
from frameworks.kit.clock import Clock
from frameworks.kit.errors import NotFound, Unavailable
from frameworks.media.foghorn.service.known import KnownStream, KnownStreams
from frameworks.media.foghorn.service.viewers import VirtualViewers

SETTLING = 12.0
"""Seconds after its start in which Foghorn does not yet count: nodes come back within ten and tell their sessions."""

LEARNED_AT_ONCE = 100

VIEWER_LIMIT, NOT_ENTITLED, SUSPENDED = "VIEWER_LIMIT", "NOT_ENTITLED", "SUSPENDED"


class StillCounting(Unavailable):
    """Nodes have not told their sessions yet, so nobody knows how many watch."""

    code = "foghorn.still_counting"


@dataclass(frozen=True, slots=True)
class Seat:
    """The answer to a node: a refusal has a reason. `allowed` 0 means as many as come."""

    reason: str
    watching: int
    allowed: int


class Seats:
    """Admits viewers within their tenant's plan."""

    def __init__(self, known: KnownStreams, viewers: VirtualViewers, clock: Clock) -> None:
        self._known = known
        self._viewers = viewers
        self._clock = clock
        self._since = clock.monotonic()
        self._log = logs.get("foghorn")

    async def admit(self, node: str, cluster: str, session: str, internal: str, correlation: str) -> Seat:
        """A place for a session, kept at once; the same session asked for again keeps the one it has.

        Raises NotFound, Unavailable.
        """
        stream = await self._known.named(internal)
        if self._clock.monotonic() - self._since < SETTLING:
            raise StillCounting("Foghorn has just started and does not know yet how many watch.")
        # Nothing is awaited from here to `opened`: two viewers never get one place.
        watching = self.watching(stream.tenant_id)
        if reason := self._objection(stream, node, cluster, session, watching):
            self._log.info("viewer.refused", stream_id=stream.stream_id, node_id=node, reason=reason)
            return Seat(reason, watching, stream.max_viewers)
        if not self._viewers.is_open(node, session):
            self._viewers.opened(node, session, internal, correlation)
            watching += 1
        return Seat("", watching, stream.max_viewers)

    def watching(self, tenant: str) -> int:
        """Viewers of all the tenant's streams."""
        return sum(self._viewers.of_stream(name) for name in self._known.of_tenant(tenant))

    def is_full(self, stream: KnownStream) -> bool:
        """Whether the stream's tenant has as many viewers as its plan allows."""
        return 0 < stream.max_viewers <= self.watching(stream.tenant_id)

    async def learn(self) -> None:
        """Find out whose the watched streams are that nobody asked for here: after a restart nodes name them only."""
        unknown = [name for name in self._viewers.watched() if not self._known.knows(name)]
        for name in unknown[:LEARNED_AT_ONCE]:
            try:
                await self._known.named(name)
            except NotFound:
                continue
            except Unavailable:
                return

    def _objection(self, stream: KnownStream, node: str, cluster: str, session: str, watching: int) -> str:
        if cluster not in stream.clusters:
            return NOT_ENTITLED
        if stream.suspended:
            return SUSPENDED
        if self._viewers.is_open(node, session):
            return ""
        return VIEWER_LIMIT if 0 < stream.max_viewers <= watching else ""
