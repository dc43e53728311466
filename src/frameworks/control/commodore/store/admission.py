"""Claims on streams, and the publishers that were refused."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from frameworks.control.commodore.domain.admission import KEPT_REFUSALS, STREAM_LIMIT, KnownKey, RefusedIngest
from frameworks.control.commodore.domain.claims import SILENCE, Claim, Publisher, Refused, is_live
from frameworks.control.commodore.store import directory
from frameworks.kit.sql import Connection, Database, Row

_CLAIM = """epoch, node_id, cluster_id, boot_id, connection_id, key_id, trigger_id, recent, held, admitted_at,
    last_media_at"""
_REFUSED = "id, stream_id, reason, message, protocol, node_id, key_fingerprint, refused_at"
_KEY = "k.id AS of_key, k.stream_id, k.active, s.internal_name, s.playback_id, s.recording_enabled"
_OF_KEY = """FROM commodore.stream_keys k
    JOIN commodore.streams s ON s.tenant_id = k.tenant_id AND s.id = k.stream_id
    WHERE k.tenant_id = $1 AND k.id = $2 AND s.deleted_at IS NULL"""
_CLAIMING = 2
"""The number of the lock that makes a tenant's claims one after another."""
Decide = Callable[[KnownKey, Claim | None], Claim | Refused]


class AdmissionStore:
    """Claims in PostgreSQL; a decision is made under the lock of the stream it is about."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_key(self, key_hash: str) -> tuple[UUID, UUID] | None:
        """The tenant and id of a stream key."""
        return await directory.resolve(self._db, "stream_key", key_hash)

    async def resolve_owners(self, stream_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """The tenant of each stream that exists."""
        async with self._db.directory() as c:
            rows = await c.fetch(
                "SELECT subject, tenant_id FROM commodore.directory WHERE kind = 'stream' AND value = ANY($1)",
                [str(each) for each in stream_ids],
            )
        return {row["subject"]: row["tenant_id"] for row in rows}

    async def key(self, tenant: UUID, key_id: UUID) -> KnownKey | None:
        """What a key of this tenant belongs to; None once its stream is deleted."""
        async with self._db.tenant(tenant) as c:
            row = await c.fetchrow(f"SELECT {_KEY} {_OF_KEY}", tenant, key_id)
        return _key(row) if row else None

    async def claim(
        self, tenant: UUID, key_id: UUID, decide: Decide, now: datetime, most_live: int
    ) -> tuple[KnownKey, Claim | Refused] | None:
        """Let `decide` choose under the tenant's lock, and keep a new claim unless too many streams are live.

        None when the key's stream is deleted.
        """
        async with self._db.tenant(tenant, lock=_CLAIMING) as c:
            found = await _key_and_claims(c, tenant, key_id, now)
            if found is None:
                return None
            key, current, others = found
            decided = decide(key, current)
            if isinstance(decided, Refused) or decided is current:
                return key, decided
            if not is_live(current, now) and others >= most_live:
                return key, Refused(STREAM_LIMIT)
            await _keep(c, tenant, key.stream_id, decided, used=now)
        return key, decided

    async def renew(
        self, tenant: UUID, wanted: Mapping[UUID, Callable[[Claim | None, bool], Claim | Refused]]
    ) -> Mapping[UUID, Claim | Refused]:
        """Let each stream's rule look at its claim and whether its key is active, and keep what it changed."""
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                f"""SELECT c.stream_id, {_CLAIM}, EXISTS (SELECT FROM commodore.stream_keys k
                      WHERE k.tenant_id = c.tenant_id AND k.id = c.key_id AND k.active) AS key_active
                    FROM commodore.claims c WHERE c.tenant_id = $1 AND c.stream_id = ANY($2)
                    ORDER BY c.stream_id FOR UPDATE""",
                tenant,
                list(wanted),
            )
            found = {row["stream_id"]: (_claim(row), row["key_active"]) for row in rows}
            decided = {stream: rule(*found.get(stream, (None, False))) for stream, rule in wanted.items()}
            changed = [
                (tenant, stream, claim.last_media_at)
                for stream, claim in decided.items()
                if isinstance(claim, Claim) and claim is not found[stream][0]
            ]
            await c.executemany(
                "UPDATE commodore.claims SET last_media_at = $3 WHERE tenant_id = $1 AND stream_id = $2",
                changed,
            )
        return decided

    async def release(
        self, tenant: UUID, stream_id: UUID, decide: Callable[[Claim | None], Claim | None]
    ) -> bool:
        """Give a claim back if `decide` says it may be; whether it did."""
        async with self._db.tenant(tenant) as c:
            released = decide(await _current(c, tenant, stream_id))
            if released is not None:
                await _keep(c, tenant, stream_id, released)
        return released is not None

    async def epoch(self, tenant: UUID, stream_id: UUID) -> int:
        """The latest epoch of a stream; 0 when nobody ever published it."""
        async with self._db.tenant(tenant) as c:
            found = await c.fetchval(
                "SELECT epoch FROM commodore.claims WHERE tenant_id = $1 AND stream_id = $2",
                tenant,
                stream_id,
            )
        return found or 0

    async def record(self, tenant: UUID, refused: RefusedIngest) -> None:
        """Keep a refusal for the stream's owner, the newest ones only."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                f"""INSERT INTO commodore.refused_ingests (tenant_id, {_REFUSED})
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
                tenant,
                refused.id,
                refused.stream_id,
                refused.reason,
                refused.message,
                refused.protocol,
                refused.node_id,
                refused.key_fingerprint,
                refused.refused_at,
            )
            await c.execute(
                """DELETE FROM commodore.refused_ingests WHERE tenant_id = $1 AND id IN (
                     SELECT id FROM commodore.refused_ingests WHERE tenant_id = $1 AND stream_id = $2
                     ORDER BY refused_at DESC, id DESC OFFSET $3)""",
                tenant,
                refused.stream_id,
                KEPT_REFUSALS,
            )

    async def refusals(self, tenant: UUID, stream_id: UUID | None, limit: int) -> Sequence[RefusedIngest]:
        """The newest refusals of a stream, or of all the tenant's streams."""
        of_stream, values = ("AND stream_id = $3", (stream_id,)) if stream_id else ("", ())
        async with self._db.tenant(tenant) as c:
            rows = await c.fetch(
                f"""SELECT {_REFUSED} FROM commodore.refused_ingests WHERE tenant_id = $1 {of_stream}
                    ORDER BY refused_at DESC, id DESC LIMIT $2""",
                tenant,
                limit,
                *values,
            )
        return [RefusedIngest(**row) for row in rows]


async def _current(c: Connection, tenant: UUID, stream_id: UUID) -> Claim | None:
    row = await c.fetchrow(
        f"SELECT {_CLAIM} FROM commodore.claims WHERE tenant_id = $1 AND stream_id = $2 FOR UPDATE",
        tenant,
        stream_id,
    )
    return _claim(row) if row else None


async def _key_and_claims(
    c: Connection, tenant: UUID, key_id: UUID, now: datetime
) -> tuple[KnownKey, Claim | None, int] | None:
    """A key, the claim on its stream, locked, and how many other streams of the tenant are live."""
    row = await c.fetchrow(
        f"""WITH key AS MATERIALIZED (SELECT {_KEY} {_OF_KEY}),
              claim AS MATERIALIZED (
                SELECT {_CLAIM} FROM commodore.claims
                WHERE tenant_id = $1 AND stream_id = (SELECT stream_id FROM key) FOR UPDATE)
            SELECT key.*, claim.*, (SELECT count(*) FROM commodore.claims
                WHERE tenant_id = $1 AND held AND last_media_at > $3 AND stream_id <> key.stream_id) AS others
            FROM key LEFT JOIN claim ON true""",
        tenant,
        key_id,
        now - SILENCE,
    )
    if row is None:
        return None
    return _key(row), (None if row["epoch"] is None else _claim(row)), row["others"]


async def _keep(
    c: Connection, tenant: UUID, stream_id: UUID, claim: Claim, *, used: datetime | None = None
) -> None:
    """Store a claim, and when its key was used to get it."""
    await c.execute(
        f"""WITH used AS (UPDATE commodore.stream_keys SET last_used_at = $14
              WHERE tenant_id = $1 AND id = $8 AND $14::timestamptz IS NOT NULL)
            INSERT INTO commodore.claims (tenant_id, stream_id, {_CLAIM})
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
            ON CONFLICT (tenant_id, stream_id) DO UPDATE SET epoch = excluded.epoch, node_id = excluded.node_id,
              cluster_id = excluded.cluster_id, boot_id = excluded.boot_id,
              connection_id = excluded.connection_id, key_id = excluded.key_id,
              trigger_id = excluded.trigger_id, recent = excluded.recent, held = excluded.held,
              admitted_at = excluded.admitted_at, last_media_at = excluded.last_media_at
            WHERE claims.tenant_id = $1""",
        tenant,
        stream_id,
        claim.epoch,
        claim.publisher.node_id,
        claim.publisher.cluster_id,
        claim.publisher.boot_id,
        claim.publisher.connection_id,
        claim.publisher.key_id,
        claim.publisher.trigger_id,
        list(claim.recent),
        claim.held,
        claim.admitted_at,
        claim.last_media_at,
        used,
    )


def _key(row: Row) -> KnownKey:
    return KnownKey(
        key_id=row["of_key"],
        stream_id=row["stream_id"],
        internal_name=row["internal_name"],
        playback_id=row["playback_id"],
        active=row["active"],
        recording_enabled=row["recording_enabled"],
    )


def _claim(row: Row) -> Claim:
    return Claim(
        epoch=row["epoch"],
        publisher=Publisher(
            node_id=row["node_id"],
            cluster_id=row["cluster_id"],
            boot_id=row["boot_id"],
            connection_id=row["connection_id"],
            key_id=row["key_id"],
            trigger_id=row["trigger_id"],
        ),
        held=row["held"],
        admitted_at=row["admitted_at"],
        last_media_at=row["last_media_at"],
        recent=tuple(row["recent"]),
    )
