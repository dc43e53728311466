"""Enrolment: single-use tokens, and the certificates that bind a node to its cluster, owner and key."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from frameworks.contracts.audit import Actor
from frameworks.control.quartermaster.domain import (
    LONGEST_TOKEN_LIFETIME,
    TOKEN_LIFETIME,
    TOKEN_PREFIX,
    BadEnrollment,
    Enrollment,
    Invalid,
    Node,
    NodeFacts,
    NoSuchNode,
    admit_enrollment,
    facts,
    node_id,
    public_key,
    title,
)
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, random_text, uuid7

log = logs.get("quartermaster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A node's identity, signed."""

    certificate: str
    expires_at: datetime
    node_id: str
    cluster_id: str
    owner_tenant_id: UUID


class Store(Protocol):
    """Where enrolment tokens are kept, by hash."""

    async def resolve_enrollment(self, token_hash: str) -> UUID | None:
        """The tenant whose enrolment token this is."""

    async def keep(
        self, tenant: UUID, enrollment: Enrollment, token_hash: str, *, by: Actor | None = None
    ) -> None:
        """Keep a new token's hash."""

    async def enroll(
        self,
        tenant: UUID,
        token_hash: str,
        node: tuple[str, str, str],
        facts: NodeFacts,
        at: datetime,
        admit: Callable[[Enrollment | None], bool],
    ) -> str:
        """Consume the token for the node, atomically; the cluster."""


class Nodes(Protocol):
    """Where nodes are kept."""

    async def node(self, tenant: UUID, node_id: str) -> tuple[Node, str] | None:
        """A node of this tenant and its public key."""


class Signer(Protocol):
    """Signs node certificates."""

    def certify(
        self, *, node: str, cluster: str, region: str, owner: UUID, public_key: str, lifetime: timedelta
    ) -> str:
        """The certificate as nodes send it."""


class Enrollments:
    """How nodes join."""

    def __init__(
        self, store: Store, nodes: Nodes, signer: Signer, clock: Clock, *, lifetime: timedelta
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._signer = signer
        self._clock = clock
        self._lifetime = lifetime

    async def issue(
        self, tenant: UUID, cluster_id: str, *, name: str, ttl_seconds: int, by: Actor | None = None
    ) -> tuple[Enrollment, str]:
        """A token that enrols one node into a cluster of this tenant, and the token's value, shown only here."""
        lifetime = timedelta(seconds=ttl_seconds) if ttl_seconds else TOKEN_LIFETIME
        if lifetime > LONGEST_TOKEN_LIFETIME:
            raise Invalid("An enrolment token lives at most 7 days.", field="ttl")
        now = self._clock.now()
        token = TOKEN_PREFIX + random_text(40)
        enrollment = Enrollment(
            id=uuid7(now),
            cluster_id=cluster_id,
            name=title(name or "Enrolment token"),
            expires_at=now + lifetime,
            created_at=now,
        )
        await self._store.keep(tenant, enrollment, _digest(token), by=by)
        log.info(
            "enrollment.issued",
            tenant_id=str(tenant),
            cluster_id=cluster_id,
            enrollment_id=str(enrollment.id),
        )
        return enrollment, token

    async def enroll(self, token: str, node: str, key: str, *, name: str, given: NodeFacts) -> Certificate:
        """Admit a node; the same node with the same key may repeat it. Raises BadEnrollment, NodeTaken, Invalid."""
        identity, canonical = node_id(node), public_key(key)
        tenant = (
            await self._store.resolve_enrollment(_digest(token)) if token.startswith(TOKEN_PREFIX) else None
        )
        if tenant is None:
            raise BadEnrollment("This enrolment token is not valid.")
        now = self._clock.now()
        cluster = await self._store.enroll(
            tenant,
            _digest(token),
            (identity, canonical, title(name or identity)),
            facts(given),
            now,
            lambda found: admit_enrollment(found, identity, canonical, now),
        )
        log.info("node.enrolled", tenant_id=str(tenant), node_id=identity, cluster_id=cluster)
        return self._certify((identity, cluster, given.region), tenant, canonical)

    async def renew(self, tenant: UUID, node: str) -> Certificate:
        """A fresh certificate for an enrolled node; raises NoSuchNode once it was removed."""
        found = await self._nodes.node(tenant, node)
        if found is None:
            raise NoSuchNode("This node is not enrolled.")
        kept, key = found
        return self._certify((kept.id, kept.cluster_id, kept.region), tenant, key)

    def _certify(self, place: tuple[str, str, str], owner: UUID, key: str) -> Certificate:
        node, cluster, region = place
        signed = self._signer.certify(
            node=node,
            cluster=cluster,
            region=region,
            owner=owner,
            public_key=key,
            lifetime=self._lifetime,
        )
        return Certificate(
            certificate=signed,
            expires_at=self._clock.now() + self._lifetime,
            node_id=node,
            cluster_id=cluster,
            owner_tenant_id=owner,
        )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
