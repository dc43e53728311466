"""Enrolment: single-use tokens become nodes."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.contracts.audit_trail import note
from frameworks.control.quartermaster.domain import Enrollment, NodeFacts, NodeTaken
from frameworks.control.quartermaster.store.nodes import count_nodes
from frameworks.kit.sql import Connection, Database, UniqueViolation

_COLUMNS = "id, cluster_id, name, expires_at, created_at, used_at, node_id, public_key"


class EnrollmentStore:
    """Enrolment tokens in PostgreSQL, by hash."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_enrollment(self, token_hash: str) -> UUID | None:
        """The tenant whose enrolment token this is."""
        async with self._db.directory() as c:
            found: UUID | None = await c.fetchval(
                "SELECT tenant_id FROM quartermaster.directory WHERE kind = 'enrollment' AND value = $1",
                token_hash,
            )
            return found

    async def keep(
        self, tenant: UUID, enrollment: Enrollment, token_hash: str, *, by: Actor | None = None
    ) -> None:
        """Keep a new token's hash."""
        async with self._db.tenant(tenant) as c:
            await c.execute(
                """INSERT INTO quartermaster.enrollment_tokens
                   (tenant_id, id, token_hash, cluster_id, name, expires_at, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)""",
                tenant,
                enrollment.id,
                token_hash,
                enrollment.cluster_id,
                enrollment.name,
                enrollment.expires_at,
                enrollment.created_at,
            )
            await c.execute(
                "INSERT INTO quartermaster.directory (tenant_id, kind, value) VALUES ($1, 'enrollment', $2)",
                tenant,
                token_hash,
            )
            await note(
                c,
                "quartermaster",
                tenant,
                "enrollment.issued",
                enrollment.id,
                at=enrollment.created_at,
                by=by,
                attributes={"cluster": enrollment.cluster_id},
            )

    async def enroll(
        self,
        tenant: UUID,
        token_hash: str,
        node: tuple[str, str, str],
        facts: NodeFacts,
        at: datetime,
        admit: Callable[[Enrollment | None], bool],
    ) -> str:
        """Consume the token for `node` (id, public key, name) if `admit` says so; the cluster. Raises NodeTaken.

        The token's row is locked first, so that of many callers with one token exactly one can win.
        """
        node_id, public_key, _ = node
        try:
            async with self._db.tenant(tenant) as c:
                row = await c.fetchrow(
                    f"""SELECT {_COLUMNS} FROM quartermaster.enrollment_tokens
                        WHERE tenant_id = $1 AND token_hash = $2 FOR UPDATE""",
                    tenant,
                    token_hash,
                )
                enrollment = Enrollment(**row) if row else None
                consume = admit(enrollment)
                assert enrollment is not None
                if consume:
                    await _consume(c, tenant, enrollment.id, node_id, public_key, at)
                    await _join(c, tenant, enrollment.cluster_id, node, facts, at)
        except UniqueViolation as error:
            raise NodeTaken("A node with this id is enrolled already.") from error
        return enrollment.cluster_id


async def _consume(
    c: Connection, tenant: UUID, token: UUID, node_id: str, public_key: str, at: datetime
) -> None:
    await c.execute(
        """UPDATE quartermaster.enrollment_tokens SET used_at = $3, node_id = $4, public_key = $5
           WHERE tenant_id = $1 AND id = $2""",
        tenant,
        token,
        at,
        node_id,
        public_key,
    )


async def _join(
    c: Connection, tenant: UUID, cluster_id: str, node: tuple[str, str, str], facts: NodeFacts, at: datetime
) -> None:
    """Make the node, or accept the one that is there when key and cluster are the same."""
    node_id, public_key, name = node
    known = await c.fetchrow(
        "SELECT public_key, cluster_id FROM quartermaster.nodes WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        tenant,
        node_id,
    )
    if known is not None:
        if (known["public_key"], known["cluster_id"]) != (public_key, cluster_id):
            raise NodeTaken(
                "A node with this id is enrolled already, with another key or in another cluster."
            )
        return
    await c.execute(
        "INSERT INTO quartermaster.directory (tenant_id, kind, value) VALUES ($1, 'node', $2)",
        tenant,
        node_id,
    )
    await c.execute(
        """INSERT INTO quartermaster.nodes (tenant_id, id, name, cluster_id, public_key, region, base_url, rtmp_url,
             capabilities, version, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)""",
        tenant,
        node_id,
        name,
        cluster_id,
        public_key,
        facts.region,
        facts.base_url,
        facts.rtmp_url,
        list(facts.capabilities),
        facts.version,
        at,
    )
    await count_nodes(c, tenant, cluster_id, at)
    await note(
        c,
        "quartermaster",
        tenant,
        "node.enrolled",
        node_id,
        at=at,
        by=Actor("node", node_id),
        attributes={"cluster": cluster_id},
    )
