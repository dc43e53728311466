"""Streams and their keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.contracts.audit_trail import note
from frameworks.control.commodore.domain.admission import STREAM_DELETED
from frameworks.control.commodore.domain.claims import SILENCE
from frameworks.control.commodore.domain.streams import (
    MOST_KEYS,
    KeptStream,
    Key,
    NewKey,
    NoSuchKey,
    NoSuchStream,
    SealedKey,
    Stream,
    TooManyKeys,
    TooManyStreams,
)
from frameworks.control.commodore.store import directory, stops
from frameworks.kit.paging import Paged, Position, Window, paged
from frameworks.kit.sql import Connection, Database, Row

_STREAMS = """SELECT s.id, s.tenant_id, s.title, s.description, s.playback_id, s.internal_name,
      s.recording_enabled, s.public, s.created_at, s.updated_at, k.id AS key_id, k.sealed,
      CASE WHEN cl.held AND cl.last_media_at > $2 THEN 'claimed' ELSE 'idle' END AS claim_state
    FROM commodore.streams s
    LEFT JOIN commodore.claims cl ON cl.tenant_id = s.tenant_id AND cl.stream_id = s.id
    LEFT JOIN LATERAL (
      SELECT id, sealed FROM commodore.stream_keys
      WHERE tenant_id = s.tenant_id AND stream_id = s.id AND active
      ORDER BY is_primary DESC, created_at DESC, id DESC LIMIT 1
    ) k ON true
    WHERE s.tenant_id = $1 AND s.deleted_at IS NULL"""
_KEYS = "id, stream_id, name, active, last_used_at, created_at, sealed"
_CHANGEABLE = ("title", "description", "recording_enabled")


class StreamStore:
    """Streams in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_streams(
        self, ids: Sequence[str], playback_ids: Sequence[str]
    ) -> Sequence[tuple[UUID, UUID]]:
        """The tenant and id of each stream that exists."""
        async with self._db.directory() as c:
            rows = await c.fetch(
                """SELECT tenant_id, subject FROM commodore.directory
                   WHERE (kind = 'stream' AND value = ANY($1)) OR (kind = 'playback' AND value = ANY($2))""",
                ids,
                playback_ids,
            )
        return [(row["tenant_id"], row["subject"]) for row in rows]

    async def create(
        self, tenant: UUID, stream: Stream, key: NewKey, most: int, *, by: Actor | None = None
    ) -> None:
        """Keep a new stream and its first key; raises TooManyStreams."""
        async with self._db.tenant(tenant) as c:
            await c.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", str(tenant))
            count = await c.fetchval(
                "SELECT count(*) FROM commodore.streams WHERE tenant_id = $1 AND deleted_at IS NULL", tenant
            )
            if count >= most:
                raise TooManyStreams(f"Your plan has {most} streams. Delete one, or choose a larger plan.")
            await c.execute(
                """INSERT INTO commodore.streams (tenant_id, id, title, description, playback_id, internal_name,
                     recording_enabled, public, created_at, updated_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
                tenant,
                stream.id,
                stream.title,
                stream.description,
                stream.playback_id,
                stream.internal_name,
                stream.recording_enabled,
                stream.public,
                stream.created_at,
                stream.updated_at,
            )
            await directory.enter(c, tenant, "stream", str(stream.id), stream.id)
            await directory.enter(c, tenant, "playback", stream.playback_id, stream.id)
            await directory.enter(c, tenant, "internal", stream.internal_name, stream.id)
            await _add_key(c, tenant, stream.id, key, stream.created_at, primary=True)
            at, of = stream.created_at, stream.id
            await note(c, "commodore", tenant, "stream.created", of, at=at, by=by, stream=of)
            await note(c, "commodore", tenant, "key.created", key.id, at=at, by=by, stream=of)

    async def streams(self, tenant: UUID, window: Window, now: datetime, search: str) -> Paged[KeptStream]:
        """The tenant's streams whose title, description or playback id contains `search`."""
        condition = f" AND ({_CONTAINS.format(place=3)})"
        clause, values = window.clause(4, at="s.created_at", id="s.id")
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(f"{_STREAMS}{condition}{clause}", tenant, now - SILENCE, search, *values)
            total = await c.fetchval(
                f"""SELECT count(*) FROM commodore.streams s
                    WHERE s.tenant_id = $1 AND s.deleted_at IS NULL AND ({_CONTAINS.format(place=2)})""",
                tenant,
                search,
            )
        found = [_kept(row) for row in rows]
        return paged(found, window, total, lambda row: Position(row.stream.created_at, str(row.stream.id)))

    async def some(
        self, tenant: UUID, ids: Sequence[UUID], playback_ids: Sequence[str], now: datetime
    ) -> Sequence[KeptStream]:
        """Those of the named streams that this tenant has."""
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                f"{_STREAMS} AND (s.id = ANY($3) OR s.playback_id = ANY($4))",
                tenant,
                now - SILENCE,
                ids,
                playback_ids,
            )
        return [_kept(row) for row in rows]

    async def titled(self, tenant: UUID, title: str, now: datetime) -> KeptStream | None:
        """The tenant's oldest stream of this title."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(
                f"{_STREAMS} AND s.title = $3 ORDER BY s.created_at, s.id LIMIT 1",
                tenant,
                now - SILENCE,
                title,
            )
        return _kept(row) if row else None

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
        names = [name for name in _CHANGEABLE if name in changes]
        assignments = "".join(f"{name} = ${place}, " for place, name in enumerate(names, start=4))
        async with self._db.tenant(tenant) as c:
            tag = await c.execute(
                f"""UPDATE commodore.streams SET {assignments}updated_at = $3
                    WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL""",
                tenant,
                stream_id,
                now,
                *(changes[name] for name in names),
            )
            _found(tag, NoSuchStream("There is no such stream."))
            await note(
                c,
                "commodore",
                tenant,
                "stream.updated",
                stream_id,
                at=now,
                by=by,
                stream=stream_id,
                attributes={"changed": ",".join(names)},
            )

    async def delete(self, tenant: UUID, stream_id: UUID, now: datetime, *, by: Actor | None = None) -> None:
        """Remove a stream from sight and forget its names and keys; raises NoSuchStream."""
        async with self._db.tenant(tenant) as c:
            tag = await c.execute(
                """UPDATE commodore.streams SET deleted_at = $3
                   WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL""",
                tenant,
                stream_id,
                now,
            )
            _found(tag, NoSuchStream("There is no such stream."))
            if (stop := await stops.of_stream(c, tenant, stream_id)) is not None:
                await stops.order(c, tenant, [stop], STREAM_DELETED, now)
            await c.execute(
                """DELETE FROM commodore.directory WHERE tenant_id = $1 AND (subject = $2 OR subject IN
                     (SELECT id FROM commodore.stream_keys WHERE tenant_id = $1 AND stream_id = $2))""",
                tenant,
                stream_id,
            )
            await note(c, "commodore", tenant, "stream.deleted", stream_id, at=now, by=by, stream=stream_id)

    async def rotate_key(
        self, tenant: UUID, stream_id: UUID, key: NewKey, now: datetime, *, by: Actor | None = None
    ) -> None:
        """Replace the stream's main key, ending the old one at once; raises NoSuchStream."""
        async with self._db.tenant(tenant) as c:
            await _lock(c, tenant, stream_id)
            ended = await c.fetch(
                """UPDATE commodore.stream_keys SET active = false, is_primary = false
                   WHERE tenant_id = $1 AND stream_id = $2 AND is_primary RETURNING id""",
                tenant,
                stream_id,
            )
            await stops.of_keys(c, tenant, stream_id, [row["id"] for row in ended], now)
            await _add_key(c, tenant, stream_id, key, now, primary=True)
            await note(c, "commodore", tenant, "key.rotated", key.id, at=now, by=by, stream=stream_id)

    async def add_key(
        self, tenant: UUID, stream_id: UUID, key: NewKey, now: datetime, *, by: Actor | None = None
    ) -> Key:
        """Keep another key of a stream; raises NoSuchStream or TooManyKeys."""
        async with self._db.tenant(tenant) as c:
            await _lock(c, tenant, stream_id)
            count = await c.fetchval(
                "SELECT count(*) FROM commodore.stream_keys WHERE tenant_id = $1 AND stream_id = $2 AND active",
                tenant,
                stream_id,
            )
            if count >= MOST_KEYS:
                raise TooManyKeys(f"A stream has at most {MOST_KEYS} active keys. Deactivate one.")
            added = await _add_key(c, tenant, stream_id, key, now, primary=False)
            await note(c, "commodore", tenant, "key.created", key.id, at=now, by=by, stream=stream_id)
        return added

    async def deactivate_key(
        self, tenant: UUID, stream_id: UUID, key_id: UUID, now: datetime, *, by: Actor | None = None
    ) -> None:
        """End a key; raises NoSuchKey."""
        async with self._db.tenant(tenant) as c:
            tag = await c.execute(
                """UPDATE commodore.stream_keys SET active = false, is_primary = false
                   WHERE tenant_id = $1 AND stream_id = $2 AND id = $3""",
                tenant,
                stream_id,
                key_id,
            )
            _found(tag, NoSuchKey("There is no such key."))
            await stops.of_keys(c, tenant, stream_id, [key_id], now)
            await note(c, "commodore", tenant, "key.revoked", key_id, at=now, by=by, stream=stream_id)

    async def keys(self, tenant: UUID, stream_id: UUID, window: Window) -> Paged[Key]:
        """The keys of a stream, ended ones too; raises NoSuchStream."""
        condition = "tenant_id = $1 AND stream_id = $2"
        clause, values = window.clause(3)
        async with self._db.tenant(tenant) as c:
            await _lock(c, tenant, stream_id)
            rows = await c.fetch(
                f"SELECT {_KEYS} FROM commodore.stream_keys WHERE {condition}{clause}",
                tenant,
                stream_id,
                *values,
            )
            total = await c.fetchval(
                f"SELECT count(*) FROM commodore.stream_keys WHERE {condition}", tenant, stream_id
            )
        found = [Key(**row) for row in rows]
        return paged(found, window, total, lambda row: Position(row.created_at, str(row.id)))


_CONTAINS = """${place} = '' OR strpos(lower(s.title), lower(${place})) > 0
    OR strpos(lower(s.description), lower(${place})) > 0 OR s.playback_id = ${place}"""


async def _lock(c: Connection, tenant: UUID, stream_id: UUID) -> None:
    found = await c.fetchval(
        "SELECT id FROM commodore.streams WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE",
        tenant,
        stream_id,
    )
    if found is None:
        raise NoSuchStream("There is no such stream.")


async def _add_key(
    c: Connection, tenant: UUID, stream_id: UUID, key: NewKey, now: datetime, *, primary: bool
) -> Key:
    await directory.enter(c, tenant, "stream_key", key.key_hash, key.id)
    row = await c.fetchrow(
        f"""INSERT INTO commodore.stream_keys (tenant_id, id, stream_id, name, sealed, is_primary, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_KEYS}""",
        tenant,
        key.id,
        stream_id,
        key.name,
        key.sealed,
        primary,
        now,
    )
    assert row is not None
    return Key(**row)


def _found(tag: str, missing: NoSuchStream | NoSuchKey) -> None:
    if tag == "UPDATE 0":
        raise missing


def _kept(row: Row) -> KeptStream:
    own = {"key_id", "sealed"}
    stream = Stream(**{name: value for name, value in row.items() if name not in own})
    return KeptStream(stream, SealedKey(row["key_id"], row["sealed"]) if row["key_id"] else None)
