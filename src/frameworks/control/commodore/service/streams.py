"""Streams: made within the plan, changed by their tenant, pushed to with keys that only it can read."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.control.commodore.domain.accounts import digest
from frameworks.control.commodore.domain.streams import (
    KeptStream,
    Key,
    NewKey,
    NoSuchStream,
    Stream,
    Suspended,
    description,
    new_internal_name,
    new_playback_id,
    new_stream_key,
    title,
)
from frameworks.control.commodore.service.standing import Standings
from frameworks.control.commodore.service.vault import Vault
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, uuid7
from frameworks.kit.paging import Paged, Window

log = logs.get("commodore")


class Store(Protocol):
    """Where streams and keys are kept."""

    async def resolve_streams(
        self, ids: Sequence[str], playback_ids: Sequence[str]
    ) -> Sequence[tuple[UUID, UUID]]:
        """The tenant and id of each stream that exists."""

    async def create(
        self, tenant: UUID, stream: Stream, key: NewKey, most: int, *, by: Actor | None = None
    ) -> None:
        """Keep a new stream and its first key; raises TooManyStreams."""

    async def streams(self, tenant: UUID, window: Window, now: datetime, search: str) -> Paged[KeptStream]:
        """The tenant's streams."""

    async def some(
        self, tenant: UUID, ids: Sequence[UUID], playback_ids: Sequence[str], now: datetime
    ) -> Sequence[KeptStream]:
        """Those of the named streams that this tenant has."""

    async def titled(self, tenant: UUID, title: str, now: datetime) -> KeptStream | None:
        """The tenant's oldest stream of this title."""

    async def update(
        self,
        tenant: UUID,
        stream_id: UUID,
        changes: Mapping[str, object],
        now: datetime,
        *,
        by: Actor | None = None,
    ) -> None:
        """Change what is named; raises NoSuchStream."""

    async def delete(self, tenant: UUID, stream_id: UUID, now: datetime, *, by: Actor | None = None) -> None:
        """Remove a stream; raises NoSuchStream."""

    async def rotate_key(
        self, tenant: UUID, stream_id: UUID, key: NewKey, now: datetime, *, by: Actor | None = None
    ) -> None:
        """Replace the main key; raises NoSuchStream."""

    async def add_key(
        self, tenant: UUID, stream_id: UUID, key: NewKey, now: datetime, *, by: Actor | None = None
    ) -> Key:
        """Keep another key; raises NoSuchStream or TooManyKeys."""

    async def deactivate_key(
        self, tenant: UUID, stream_id: UUID, key_id: UUID, now: datetime, *, by: Actor | None = None
    ) -> None:
        """End a key; raises NoSuchKey."""

    async def keys(self, tenant: UUID, stream_id: UUID, window: Window) -> Paged[Key]:
        """The keys of a stream; raises NoSuchStream."""


class Streams:
    """The streams of each tenant."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        standings: Standings,
        clock: Clock,
        *,
        key_made: Callable[[str], None] = lambda key_hash: None,
        nudge: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._vault = vault
        self._standings = standings
        self._clock = clock
        self._key_made = key_made
        self._nudge = nudge

    async def create(
        self, tenant: UUID, *, name: str, about: str = "", recording: bool = False, by: Actor | None = None
    ) -> KeptStream:
        """A new stream with a key; raises Invalid, Suspended, TooManyStreams, or Unavailable: then nobody knows."""
        standing = await self._standings.to_start(tenant)
        if standing.suspended or not standing.active:
            raise Suspended("This account is suspended. Open Billing to see why.")
        now = self._clock.now()
        stream = Stream(
            id=uuid7(now),
            tenant_id=tenant,
            title=title(name),
            description=description(about),
            playback_id=new_playback_id(),
            internal_name=new_internal_name(),
            recording_enabled=recording,
            created_at=now,
            updated_at=now,
        )
        await self._store.create(tenant, stream, self._new_key("Main"), standing.max_streams, by=by)
        log.info("stream.created", tenant_id=str(tenant), stream_id=str(stream.id))
        return await self.one(tenant, stream.id)

    async def one(self, tenant: UUID, stream_id: UUID) -> KeptStream:
        """A stream of this tenant; raises NoSuchStream."""
        found = await self._store.some(tenant, [stream_id], [], self._clock.now())
        if not found:
            raise NoSuchStream("There is no such stream.")
        return found[0]

    async def some(
        self, tenant: UUID, ids: Sequence[UUID], playback_ids: Sequence[str]
    ) -> Sequence[KeptStream]:
        """Those of the named streams that this tenant has."""
        return await self._store.some(tenant, ids, playback_ids, self._clock.now())

    async def of_any_tenant(self, ids: Sequence[UUID], playback_ids: Sequence[str]) -> Sequence[KeptStream]:
        """The named streams, whoever has them; for services."""
        owners: dict[UUID, list[UUID]] = {}
        for tenant, stream_id in await self._store.resolve_streams([str(each) for each in ids], playback_ids):
            owners.setdefault(tenant, []).append(stream_id)
        return [kept for tenant, some in owners.items() for kept in await self.some(tenant, some, [])]

    async def page(self, tenant: UUID, window: Window, search: str) -> Paged[KeptStream]:
        """The tenant's streams whose title, description or playback id contains `search`."""
        return await self._store.streams(tenant, window, self._clock.now(), search.strip()[:200])

    async def ensure(self, tenant: UUID, name: str) -> KeptStream:
        """The tenant's stream of this title, made when it is missing."""
        found = await self._store.titled(tenant, title(name), self._clock.now())
        return found or await self.create(tenant, name=name)

    async def update(
        self,
        tenant: UUID,
        stream_id: UUID,
        *,
        name: str | None,
        about: str | None,
        recording: bool | None,
        by: Actor | None = None,
    ) -> KeptStream:
        """Change what is given; raises Invalid or NoSuchStream."""
        changes: dict[str, object] = {}
        if name is not None:
            changes["title"] = title(name)
        if about is not None:
            changes["description"] = description(about)
        if recording is not None:
            changes["recording_enabled"] = recording
        await self._store.update(tenant, stream_id, changes, self._clock.now(), by=by)
        return await self.one(tenant, stream_id)

    async def delete(self, tenant: UUID, stream_id: UUID, *, by: Actor | None = None) -> None:
        """Delete a stream: its keys and ids end at once, its history stays. Raises NoSuchStream."""
        await self._store.delete(tenant, stream_id, self._clock.now(), by=by)
        self._nudge()
        log.info("stream.deleted", tenant_id=str(tenant), stream_id=str(stream_id))

    async def rotate_key(self, tenant: UUID, stream_id: UUID, *, by: Actor | None = None) -> KeptStream:
        """Replace the main key; who publishes with the old one is stopped. Raises NoSuchStream."""
        await self._store.rotate_key(tenant, stream_id, self._new_key("Main"), self._clock.now(), by=by)
        self._nudge()
        log.info("stream_key.rotated", tenant_id=str(tenant), stream_id=str(stream_id))
        return await self.one(tenant, stream_id)

    async def add_key(self, tenant: UUID, stream_id: UUID, name: str, *, by: Actor | None = None) -> Key:
        """Another key of a stream; raises Invalid, NoSuchStream or TooManyKeys."""
        key = self._new_key(title(name or "Key", field="name"))
        return await self._store.add_key(tenant, stream_id, key, self._clock.now(), by=by)

    async def deactivate_key(
        self, tenant: UUID, stream_id: UUID, key_id: UUID, *, by: Actor | None = None
    ) -> None:
        """End a key; who publishes with it is stopped. Raises NoSuchKey."""
        await self._store.deactivate_key(tenant, stream_id, key_id, self._clock.now(), by=by)
        self._nudge()
        log.info("stream_key.deactivated", tenant_id=str(tenant), key_id=str(key_id))

    async def keys(self, tenant: UUID, stream_id: UUID, window: Window) -> Paged[Key]:
        """The keys of a stream; raises NoSuchStream."""
        return await self._store.keys(tenant, stream_id, window)

    def value(self, key_id: UUID, sealed: bytes) -> str:
        """A key as its owner types it into an encoder."""
        return self._vault.open(key_id, sealed)

    def _new_key(self, name: str) -> NewKey:
        value, key_id = new_stream_key(), uuid7(self._clock.now())
        key_hash = digest(value)
        self._key_made(key_hash)
        return NewKey(id=key_id, name=name, key_hash=key_hash, sealed=self._vault.seal(key_id, value))
