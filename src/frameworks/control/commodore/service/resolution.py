"""Resolution: from what viewers and publishers say to the stream, its tenant and where it may be served."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from frameworks.contracts.ids import INTERNAL_NAME, PLAYBACK_ID
from frameworks.control.commodore.domain.streams import NoSuchStream, Stream
from frameworks.control.commodore.service.admission import Admissions, Node
from frameworks.control.commodore.service.standing import Standings
from frameworks.control.commodore.service.streams import Streams
from frameworks.kit.clock import Clock
from frameworks.kit.errors import NotFound


class NotEntitled(NotFound):
    """The node's cluster may not serve this tenant: for that node, there is no such stream."""

    code = "commodore.cluster_not_entitled"


class UnknownKey(NotFound):
    """No stream has this key."""

    code = "commodore.unknown_key"


class Store(Protocol):
    """Where public and internal names are kept."""

    async def resolve_playback(self, playback_id: str) -> tuple[UUID, UUID] | None:
        """The tenant and stream of a playback id."""

    async def resolve_internal(self, internal_name: str) -> tuple[UUID, UUID] | None:
        """The tenant and stream of an internal name."""


class Claims(Protocol):
    """Where claims are kept."""

    async def epoch(self, tenant: UUID, stream_id: UUID) -> int:
        """The latest epoch of a stream."""


class Signer(Protocol):
    """Signs attributions."""

    def attribution(
        self, *, tenant: UUID, stream: UUID, cluster: str, node: str, role: str, epoch: int
    ) -> str:
        """The signed leave of a node to act and report for a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """A stream as those who serve it need it."""

    stream: Stream
    max_viewers: int
    suspended: bool
    cluster_ids: Sequence[str]
    attribution: str = ""
    attribution_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestTarget:
    """Where a publisher with this key should go."""

    stream_id: UUID
    tenant_id: UUID
    recording_enabled: bool
    cluster_ids: Sequence[str]
    internal_name: str


class Resolution:
    """Pure look-ups: nothing is claimed and nothing is counted here."""

    def __init__(
        self,
        store: Store,
        streams: Streams,
        admissions: Admissions,
        claims: Claims,
        standings: Standings,
        signer: Signer,
        clock: Clock,
        *,
        attribution: timedelta,
    ) -> None:
        self._store = store
        self._streams = streams
        self._admissions = admissions
        self._claims = claims
        self._standings = standings
        self._signer = signer
        self._clock = clock
        self._lifetime = attribution

    async def playback(self, playback_id: str, internal_name: str, node: Node | None) -> Playback:
        """The stream of a playback id or internal name; a node also gets leave to serve and report it.

        Raises NoSuchStream, NotEntitled for a node whose cluster may not serve the tenant, and Unavailable.
        """
        tenant, stream_id = await self._named(playback_id, internal_name)
        standing = await self._standings.to_continue(tenant)
        if not standing.active:
            raise NoSuchStream("There is no such stream.")
        if node is not None and node.cluster not in standing.cluster_ids:
            raise NotEntitled("This cluster does not serve the stream's tenant.")
        stream = (await self._streams.one(tenant, stream_id)).stream
        leave = await self._attribution(tenant, stream_id, node) if node else ""
        return Playback(
            stream=stream,
            max_viewers=standing.max_viewers,
            suspended=standing.suspended,
            cluster_ids=standing.cluster_ids,
            attribution=leave,
            attribution_expires_at=self._clock.now() + self._lifetime if node else None,
        )

    async def ingest(self, stream_key: str) -> IngestTarget:
        """Where a publisher should go; raises UnknownKey for a key that would be refused, and Unavailable."""
        found = await self._admissions.lookup(stream_key)
        if found is None or not found[1].active:
            raise UnknownKey("No stream has this key.")
        tenant, key = found
        standing = await self._standings.to_continue(tenant)
        return IngestTarget(
            stream_id=key.stream_id,
            tenant_id=tenant,
            recording_enabled=key.recording_enabled,
            cluster_ids=standing.cluster_ids,
            internal_name=key.internal_name,
        )

    async def _named(self, playback_id: str, internal_name: str) -> tuple[UUID, UUID]:
        found = None
        if PLAYBACK_ID.fullmatch(playback_id):
            found = await self._store.resolve_playback(playback_id)
        elif INTERNAL_NAME.fullmatch(internal_name):
            found = await self._store.resolve_internal(internal_name)
        if found is None:
            raise NoSuchStream("There is no such stream.")
        return found

    async def _attribution(self, tenant: UUID, stream_id: UUID, node: Node) -> str:
        return self._signer.attribution(
            tenant=tenant,
            stream=stream_id,
            cluster=node.cluster,
            node=node.id,
            role="view",
            epoch=await self._claims.epoch(tenant, stream_id),
        )
