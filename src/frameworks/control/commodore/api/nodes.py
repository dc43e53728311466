"""Calls of nodes and Foghorn: admission, claims and resolution."""

import re
from uuid import UUID

from frameworks.contracts.limits import BITRATE_LIMIT
from frameworks.contracts.metrics import commodore as metrics
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.commodore.api import encoding
from frameworks.control.commodore.domain.accounts import Invalid
from frameworks.control.commodore.domain.admission import Ask, Overrun
from frameworks.control.commodore.domain.streams import NoSuchStream
from frameworks.control.commodore.service.admission import MOST_RENEWALS, Admissions, Node, Renewal
from frameworks.control.commodore.service.resolution import Resolution
from frameworks.kit.identity import PrincipalKind
from frameworks.kit.rpc import Call

_LONGEST = 200
_FINGERPRINT = re.compile(r"[0-9a-f]{0,12}")
_MOST_LIVE = 1_000


class NodeCalls:
    """What nodes and Foghorn ask."""

    def __init__(self, admissions: Admissions, resolution: Resolution) -> None:
        self._admissions = admissions
        self._resolution = resolution

    async def AdmitPublish(self, request: pb.AdmitPublishRequest, call: Call) -> pb.Admission:
        """Whether a publisher may come in."""
        node = _node(call, request.boot_id)
        ask = Ask(
            node_id=node.id,
            cluster_id=node.cluster,
            boot_id=node.boot_id,
            connection_id=_given(request.connection_id, "connection_id"),
            trigger_id=_given(request.trigger_id, "trigger_id"),
            protocol=request.protocol.replace("\0", ""),
            live=frozenset(request.live[:_MOST_LIVE]),
        )
        decided = await self._admissions.admit(request.stream_key, ask)
        metrics.ADMISSIONS.labels(outcome=decided.reason or "admitted").inc()
        return encoding.admission(decided)

    async def RenewClaims(self, request: pb.RenewClaimsRequest, call: Call) -> pb.RenewedClaims:
        """Which of the node's publishers may stay."""
        if len(request.claims) > MOST_RENEWALS:
            raise Invalid(f"Renew at most {MOST_RENEWALS} claims at once.", field="claims")
        renewals = [
            Renewal(
                stream_id=encoding.identity(claim.stream_id, NoSuchStream),
                epoch=claim.epoch,
                connection_id=claim.connection_id,
                media_flows=claim.media_flows,
                renew_attribution=claim.renew_attribution,
            )
            for claim in request.claims
        ]
        renewed = await self._admissions.renew(_node(call, request.boot_id), renewals)
        return pb.RenewedClaims(claims=map(encoding.renewed, renewed))

    async def ReleaseClaim(self, request: pb.ReleaseClaimRequest, call: Call) -> pb.Done:
        """The publisher went away, or was cut off."""
        stream_id: UUID = encoding.identity(request.stream_id, NoSuchStream)
        await self._admissions.release(
            _caller(call), stream_id, request.epoch, request.connection_id, _overrun(request)
        )
        return pb.Done()

    async def ResolvePlayback(self, request: pb.ResolvePlaybackRequest, call: Call) -> pb.Playback:
        """The stream of a playback id or internal name."""
        node = _caller(call) if call.principal.kind is PrincipalKind.NODE else None
        found = await self._resolution.playback(request.playback_id, request.internal_name, node)
        return encoding.playback(found)

    async def ResolveIngest(self, request: pb.ResolveIngestRequest, call: Call) -> pb.IngestTarget:
        """Where a publisher with this key should go; claims nothing."""
        return encoding.ingest_target(await self._resolution.ingest(request.stream_key))


def _overrun(request: pb.ReleaseClaimRequest) -> Overrun | None:
    if not request.reason:
        return None
    if request.reason != BITRATE_LIMIT or not _FINGERPRINT.fullmatch(request.key_fingerprint):
        raise Invalid(f"The only reason a node may give is {BITRATE_LIMIT}, with the key's fingerprint.")
    return Overrun(
        allowed_kbps=request.allowed_kbps,
        measured_kbps=request.measured_kbps,
        protocol=request.protocol.replace("\0", "")[:20],
        key_fingerprint=request.key_fingerprint,
    )


def _caller(call: Call) -> Node:
    return Node(call.principal.subject, call.principal.cluster or "")


def _node(call: Call, boot_id: str) -> Node:
    return Node(call.principal.subject, call.principal.cluster or "", _given(boot_id, "boot_id"))


def _given(text: str, field: str) -> str:
    if not 0 < len(text) <= _LONGEST or "\0" in text:
        raise Invalid(f"Send a {field} of 1 to {_LONGEST} characters.", field=field)
    return text
