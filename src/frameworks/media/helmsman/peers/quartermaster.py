"""Quartermaster, who enrols the node and hears its heartbeat."""

from typing import TYPE_CHECKING

from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.kit.identity import NodeIdentity
from frameworks.media.helmsman.config import Settings
from frameworks.media.helmsman.service.enrolment import Certificate

if TYPE_CHECKING:
    from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceAsyncStub


class Quartermaster:
    """A `Registry` over gRPC, and the node's heartbeat."""

    def __init__(self, stub: "QuartermasterServiceAsyncStub", settings: Settings) -> None:
        self._stub = stub
        self._settings = settings

    async def enrol(self, token: str, public_key: str) -> Certificate:
        """Spend an enrolment token. Raises Refusal, Unavailable."""
        facts = self._facts()
        request = pb.EnrollNodeRequest(
            token=token, node_id=facts.id, public_key=public_key, name=facts.name, facts=facts
        )
        return _certificate(await self._stub.EnrollNode(request))

    async def renew(self, node: NodeIdentity) -> Certificate:
        """A fresh certificate. Raises Refusal, Unavailable."""
        request = pb.RenewNodeCertificateRequest()
        return _certificate(await self._stub.RenewNodeCertificate(request, metadata=_as(node)))

    async def report(self, node: NodeIdentity) -> None:
        """Tell that the node lives, and where it is. Raises Refusal, Unavailable."""
        await self._stub.ReportNode(pb.ReportNodeRequest(facts=self._facts()), metadata=_as(node))

    def _facts(self) -> pb.Node:
        settings = self._settings
        return pb.Node(
            id=settings.node_id,
            name=settings.node_name or settings.node_id,
            type="media",
            region=settings.region,
            base_url=settings.public_url,
            rtmp_url=settings.rtmp_url,
            latitude=settings.latitude,
            longitude=settings.longitude,
            capabilities=["ingest", "edge"],
        )


def _as(node: NodeIdentity) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {node.bearer('quartermaster')}"),)


def _certificate(answer: pb.NodeCertificate) -> Certificate:
    return Certificate(answer.certificate, answer.expires_at, answer.cluster_id, answer.owner_tenant_id)
