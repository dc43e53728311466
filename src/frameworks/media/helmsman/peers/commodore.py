"""Commodore, asked with the node's own identity: admission, claims, playback ids."""

from typing import TYPE_CHECKING

from frameworks.contracts.limits import BITRATE_LIMIT
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.kit.identity import NodeIdentity
from frameworks.media.helmsman.service.measuring import ClaimKept
from frameworks.media.helmsman.service.publishers import Admitted, Overrun, Publisher, Refused
from frameworks.media.helmsman.service.viewing import Viewable

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub

ASK_SECONDS = 3.0


class Commodore:
    """`Gatekeeper`, `Claims` and `Resolver` over gRPC. An encoder waits meanwhile, so answers are asked for in 3 s."""

    def __init__(self, stub: "CommodoreServiceAsyncStub", node: NodeIdentity) -> None:
        self._stub = stub
        self._node = node

    def _as_node(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._node.bearer('commodore')}"),)

    async def admit(
        self, stream_key: str, *, protocol: str, boot: str, connection: str, trigger: str, live: list[str]
    ) -> Admitted | Refused:
        """Ask for the claim of the key's stream. Raises Unavailable."""
        answer = await self._stub.AdmitPublish(
            pb.AdmitPublishRequest(
                stream_key=stream_key,
                protocol=protocol,
                boot_id=boot,
                connection_id=connection,
                trigger_id=trigger,
                live=live,
            ),
            timeout=ASK_SECONDS,
            metadata=self._as_node(),
        )
        if not answer.admitted:
            return Refused(answer.reason, answer.message)
        return Admitted(
            internal_name=answer.internal_name,
            stream_id=answer.stream_id,
            tenant_id=answer.tenant_id,
            key_id=answer.key_id,
            epoch=answer.claim_epoch,
            attribution=answer.attribution,
            attribution_expires_at=answer.attribution_expires_at,
            max_kbps=answer.max_kbps,
        )

    async def release(
        self, stream_id: str, epoch: int, connection: str, *, overrun: Overrun | None = None
    ) -> None:
        """Give a claim back; an overrun is told to the stream's owner. Raises Unavailable."""
        request = pb.ReleaseClaimRequest(stream_id=stream_id, epoch=epoch, connection_id=connection)
        if overrun is not None:
            request.reason, request.protocol = BITRATE_LIMIT, overrun.protocol
            request.key_fingerprint = overrun.key_fingerprint
            request.measured_kbps, request.allowed_kbps = overrun.measured_kbps, overrun.allowed_kbps
        await self._stub.ReleaseClaim(request, timeout=ASK_SECONDS, metadata=self._as_node())

    async def renew(self, boot: str, publishers: list[tuple[Publisher, bool, bool]]) -> list[ClaimKept]:
        """Tell whose media flows. Raises Unavailable."""
        answer = await self._stub.RenewClaims(
            pb.RenewClaimsRequest(
                boot_id=boot,
                claims=[
                    pb.ClaimRef(
                        stream_id=publisher.admitted.stream_id,
                        epoch=publisher.admitted.epoch,
                        connection_id=publisher.connection,
                        media_flows=flows,
                        renew_attribution=wants,
                    )
                    for publisher, flows, wants in publishers
                ],
            ),
            metadata=self._as_node(),
        )
        return [
            ClaimKept(c.stream_id, c.held, c.reason, c.attribution, c.attribution_expires_at)
            for c in answer.claims
        ]

    async def resolve(self, *, playback_id: str = "", internal: str = "") -> Viewable:
        """The stream behind a playback id or an internal name. Raises NotFound, Unavailable."""
        found = await self._stub.ResolvePlayback(
            pb.ResolvePlaybackRequest(playback_id=playback_id, internal_name=internal),
            timeout=ASK_SECONDS,
            metadata=self._as_node(),
        )
        return Viewable(
            internal_name=found.internal_name,
            stream_id=found.stream_id,
            tenant_id=found.tenant_id,
            playback_id=found.playback_id,
            attribution=found.attribution,
            attribution_expires_at=found.attribution_expires_at,
            max_viewers=found.max_viewers,
            suspended=found.suspended,
        )
