"""Admission: whether a publisher may come in, who holds a stream, and the signed leave nodes act on."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from frameworks.contracts.ids import STREAM_KEY
from frameworks.contracts.limits import BITRATE_LIMIT, bitrate_sentence
from frameworks.control.commodore.domain import admission as rules
from frameworks.control.commodore.domain import claims
from frameworks.control.commodore.domain.accounts import digest
from frameworks.control.commodore.domain.admission import (
    Admission,
    Ask,
    KnownKey,
    Overrun,
    RefusedIngest,
    Standing,
)
from frameworks.control.commodore.domain.claims import Claim, Publisher, Refused
from frameworks.control.commodore.service.standing import Standings
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, uuid7
from frameworks.kit.errors import Unavailable

log = logs.get("commodore")

MOST_RENEWALS = 1_000
_UNKNOWN_FOR = 2.0
_UNKNOWN_KEPT = 10_000

Rule = Callable[[Claim | None, bool], Claim | Refused]


class Store(Protocol):
    """Where claims are kept."""

    async def resolve_key(self, key_hash: str) -> tuple[UUID, UUID] | None:
        """The tenant and id of a stream key."""

    async def resolve_owners(self, stream_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """The tenant of each stream that exists."""

    async def key(self, tenant: UUID, key_id: UUID) -> KnownKey | None:
        """What a key belongs to; None once its stream is deleted."""

    async def claim(
        self,
        tenant: UUID,
        key_id: UUID,
        decide: Callable[[KnownKey, Claim | None], Claim | Refused],
        now: datetime,
        most_live: int,
    ) -> tuple[KnownKey, Claim | Refused] | None:
        """Let `decide` choose under the lock, and keep the claim; None when the key's stream is deleted."""

    async def renew(self, tenant: UUID, wanted: Mapping[UUID, Rule]) -> Mapping[UUID, Claim | Refused]:
        """Let each stream's rule look at its claim, and keep what it changed."""

    async def release(
        self, tenant: UUID, stream_id: UUID, decide: Callable[[Claim | None], Claim | None]
    ) -> bool:
        """Give a claim back if `decide` says so."""

    async def record(self, tenant: UUID, refused: RefusedIngest) -> None:
        """Keep a refusal for the stream's owner."""

    async def refusals(self, tenant: UUID, stream_id: UUID | None, limit: int) -> Sequence[RefusedIngest]:
        """The newest refusals of a stream, or of all the tenant's streams."""


class Signer(Protocol):
    """Signs attributions."""

    def attribution(
        self, *, tenant: UUID, stream: UUID, cluster: str, node: str, role: str, epoch: int
    ) -> str:
        """The signed leave of a node to act and report for a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A node says that it still has a publisher, and whether media flows."""

    stream_id: UUID
    epoch: int
    connection_id: str
    media_flows: bool
    renew_attribution: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """Whether the publisher may stay."""

    stream_id: UUID
    held: bool
    reason: str = ""
    attribution: str = ""
    attribution_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """The node that asks, as its identity says, and the run it is in."""

    id: str
    cluster: str
    boot_id: str = ""


class Admissions:
    """Decides about publishers."""

    def __init__(
        self, store: Store, standings: Standings, signer: Signer, clock: Clock, *, attribution: timedelta
    ) -> None:
        self._store = store
        self._standings = standings
        self._signer = signer
        self._clock = clock
        self._lifetime = attribution
        self._unknown: OrderedDict[str, float] = OrderedDict()

    async def admit(self, stream_key: str, ask: Ask) -> Admission:
        """Let a publisher in, or say why not; the same trigger asked again gets the same answer."""
        found = await self._resolved(stream_key)
        if found is None:
            return _refusal(rules.INVALID_KEY)
        tenant, key_id = found
        standing = await self._to_start(tenant)
        decided = await self._decide(tenant, key_id, standing, ask)
        if decided is None:
            self._remember_unknown(stream_key)
            return _refusal(rules.INVALID_KEY)
        key, claim = decided
        fingerprint = digest(stream_key)[: rules.FINGERPRINT]
        if standing is None or isinstance(claim, Refused):
            reason = claim.reason if isinstance(claim, Refused) else rules.UNAVAILABLE
            await self._record(tenant, key, ask, reason, fingerprint)
            return _refusal(reason, tenant=tenant, key=key, fingerprint=fingerprint)
        log.info("publisher.admitted", tenant_id=str(tenant), stream_id=str(key.stream_id), epoch=claim.epoch)
        return Admission(
            admitted=True,
            internal_name=key.internal_name,
            playback_id=key.playback_id,
            stream_id=key.stream_id,
            tenant_id=tenant,
            key_id=key.key_id,
            key_fingerprint=fingerprint,
            claim_epoch=claim.epoch,
            attribution=self._attribution(tenant, key.stream_id, claim.publisher, claim.epoch),
            attribution_expires_at=self._clock.now() + self._lifetime,
            max_kbps=standing.max_ingest_kbps,
        )

    async def renew(self, node: Node, renewals: Sequence[Renewal]) -> list[Renewed]:
        """Note where media flows, and say which publishers may stay; what nobody can check may."""
        owners = await self._store.resolve_owners([each.stream_id for each in renewals])
        by_tenant: dict[UUID, dict[UUID, Renewal]] = {}
        for each in renewals:
            if each.stream_id in owners:
                by_tenant.setdefault(owners[each.stream_id], {})[each.stream_id] = each
        answers: dict[UUID, Renewed] = {}
        for tenant, some in by_tenant.items():
            answers |= await self._renew(tenant, node, some)
        gone = {each.stream_id for each in renewals} - answers.keys()
        answers |= {
            stream: Renewed(stream_id=stream, held=False, reason=rules.STREAM_DELETED) for stream in gone
        }
        return [answers[each.stream_id] for each in renewals]

    async def release(
        self, node: Node, stream_id: UUID, epoch: int, connection_id: str, overrun: Overrun | None = None
    ) -> None:
        """The publisher went away, or was cut off for an overrun; nothing happens if the claim was not this one's."""
        owner = (await self._store.resolve_owners([stream_id])).get(stream_id)
        if owner is None:
            return
        released = await self._store.release(
            owner, stream_id, lambda current: claims.release(current, node.id, connection_id, epoch)
        )
        if released:
            log.info("publisher.released", tenant_id=str(owner), stream_id=str(stream_id), epoch=epoch)
        if released and overrun is not None:
            log.info(
                "publisher.cut_off", tenant_id=str(owner), stream_id=str(stream_id), reason=BITRATE_LIMIT
            )
            await self._store.record(owner, _cut_off(node, stream_id, overrun, self._clock.now()))

    async def refusals(self, tenant: UUID, stream_id: UUID | None, limit: int) -> Sequence[RefusedIngest]:
        """The newest refused publishers of a stream, or of all the tenant's streams."""
        most = rules.KEPT_REFUSALS if stream_id else rules.LISTED_REFUSALS
        return await self._store.refusals(tenant, stream_id, min(limit or most, most))

    async def lookup(self, stream_key: str) -> tuple[UUID, KnownKey] | None:
        """The tenant and stream of a key, claiming nothing; None for a key nobody has."""
        return await self._known(stream_key)

    def key_made(self, key_hash: str) -> None:
        """A key exists from now on that may have been asked for before."""
        self._unknown.pop(key_hash, None)

    async def _known(self, stream_key: str) -> tuple[UUID, KnownKey] | None:
        found = await self._resolved(stream_key)
        if found is None:
            return None
        key = await self._store.key(*found)
        if key is None:
            self._remember_unknown(stream_key)
            return None
        return found[0], key

    async def _resolved(self, stream_key: str) -> tuple[UUID, UUID] | None:
        """Keys nobody has are remembered for two seconds, so that guessing does not reach the database."""
        if not STREAM_KEY.fullmatch(stream_key):
            return None
        key_hash, now = digest(stream_key), self._clock.monotonic()
        if now - self._unknown.get(key_hash, -_UNKNOWN_FOR) < _UNKNOWN_FOR:
            return None
        found = await self._store.resolve_key(key_hash)
        if found is None:
            self._remember_unknown(stream_key)
        return found

    def _remember_unknown(self, stream_key: str) -> None:
        self._unknown[digest(stream_key)] = self._clock.monotonic()
        while len(self._unknown) > _UNKNOWN_KEPT:
            self._unknown.popitem(last=False)

    async def _to_start(self, tenant: UUID) -> Standing | None:
        try:
            return await self._standings.to_start(tenant)
        except Unavailable:
            return None

    async def _decide(
        self, tenant: UUID, key_id: UUID, standing: Standing | None, ask: Ask
    ) -> tuple[KnownKey, Claim | Refused] | None:
        """The key and its claim, or why there is none; None when the key's stream is deleted."""
        if standing is None:
            key = await self._store.key(tenant, key_id)
            return (key, Refused(rules.UNAVAILABLE)) if key else None
        now = self._clock.now()

        def decide(key: KnownKey, current: Claim | None) -> Claim | Refused:
            objection = rules.objection(key, standing, ask.cluster_id)
            if objection is not None:
                return Refused(objection)
            sees_media = key.internal_name in ask.live
            return claims.admit(current, _publisher(ask, key), now, sees_media=sees_media)

        return await self._store.claim(tenant, key_id, decide, now, standing.max_live_streams)

    async def _renew(self, tenant: UUID, node: Node, some: Mapping[UUID, Renewal]) -> dict[UUID, Renewed]:
        stop = await self._reason_to_stop(tenant, node)
        now = self._clock.now()
        if stop is not None:
            return {stream: Renewed(stream_id=stream, held=False, reason=stop) for stream in some}
        decided = await self._store.renew(
            tenant, {stream: _renewal_rule(node, renewal, now) for stream, renewal in some.items()}
        )
        return {stream: self._renewed(tenant, some[stream], claim) for stream, claim in decided.items()}

    async def _reason_to_stop(self, tenant: UUID, node: Node) -> str | None:
        try:
            standing = await self._standings.to_continue(tenant)
        except Unavailable:
            return None
        if not standing.active:
            return rules.TENANT_INACTIVE
        if standing.suspended:
            return rules.TENANT_SUSPENDED
        return None if node.cluster in standing.cluster_ids else rules.CLUSTER_NOT_ENTITLED

    def _renewed(self, tenant: UUID, renewal: Renewal, claim: Claim | Refused) -> Renewed:
        if isinstance(claim, Refused):
            return Renewed(stream_id=renewal.stream_id, held=False, reason=claim.reason)
        if not renewal.renew_attribution:
            return Renewed(stream_id=renewal.stream_id, held=True)
        return Renewed(
            stream_id=renewal.stream_id,
            held=True,
            attribution=self._attribution(tenant, renewal.stream_id, claim.publisher, claim.epoch),
            attribution_expires_at=self._clock.now() + self._lifetime,
        )

    def _attribution(self, tenant: UUID, stream: UUID, publisher: Publisher, epoch: int) -> str:
        return self._signer.attribution(
            tenant=tenant,
            stream=stream,
            cluster=publisher.cluster_id,
            node=publisher.node_id,
            role="ingest",
            epoch=epoch,
        )

    async def _record(self, tenant: UUID, key: KnownKey, ask: Ask, reason: str, fingerprint: str) -> None:
        log.info("publisher.refused", tenant_id=str(tenant), stream_id=str(key.stream_id), reason=reason)
        now = self._clock.now()
        refused = RefusedIngest(
            id=uuid7(now),
            stream_id=key.stream_id,
            reason=reason,
            message=rules.SENTENCES[reason],
            protocol=ask.protocol[:20],
            node_id=ask.node_id,
            key_fingerprint=fingerprint,
            refused_at=now,
        )
        await self._store.record(tenant, refused)


def _cut_off(node: Node, stream_id: UUID, overrun: Overrun, now: datetime) -> RefusedIngest:
    return RefusedIngest(
        id=uuid7(now),
        stream_id=stream_id,
        reason=BITRATE_LIMIT,
        message=bitrate_sentence(overrun.allowed_kbps, overrun.measured_kbps),
        protocol=overrun.protocol,
        node_id=node.id,
        key_fingerprint=overrun.key_fingerprint,
        refused_at=now,
    )


def _renewal_rule(node: Node, renewal: Renewal, now: datetime) -> Rule:
    holder = (node.id, node.boot_id, renewal.connection_id)

    def rule(current: Claim | None, key_active: bool) -> Claim | Refused:
        renewed = claims.renew(current, holder, renewal.epoch, now, media=renewal.media_flows)
        return Refused(rules.KEY_INACTIVE) if isinstance(renewed, Claim) and not key_active else renewed

    return rule


def _publisher(ask: Ask, key: KnownKey) -> Publisher:
    return Publisher(
        node_id=ask.node_id,
        cluster_id=ask.cluster_id,
        boot_id=ask.boot_id,
        connection_id=ask.connection_id,
        key_id=key.key_id,
        trigger_id=ask.trigger_id,
    )


def _refusal(
    reason: str, *, tenant: UUID | None = None, key: KnownKey | None = None, fingerprint: str = ""
) -> Admission:
    return Admission(
        admitted=False,
        reason=reason,
        message=rules.SENTENCES[reason],
        tenant_id=tenant,
        stream_id=key.stream_id if key else None,
        key_id=key.key_id if key else None,
        key_fingerprint=fingerprint,
    )
