"""Enrolment: a single-use token becomes the node's certificate, renewed while it lives."""

from pathlib import Path

import msgspec

from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.identity import Key, NodeIdentity, key_from_text, key_text, new_key, public_jwk
from frameworks.media.helmsman.config import Settings
from frameworks.media.helmsman.store import NodeFiles


class Certificate(msgspec.Struct, frozen=True):
    """What the node was enrolled as."""

    certificate: str
    expires_at: int
    cluster_id: str
    owner_tenant_id: str


class Enrolment:
    """Gets and renews the node's certificate; its private key never leaves the node."""

    def __init__(
        self, stub: QuartermasterServiceStub, files: NodeFiles, settings: Settings, clock: Clock
    ) -> None:
        self._stub = stub
        self._files = files
        self._settings = settings
        self._clock = clock
        self._log = logs.get("helmsman")
        self._key = self._own_key()
        self.node: NodeIdentity | None = None

    async def wait(self) -> tuple[NodeIdentity, Certificate]:
        """The node's identity, from disk or by enrolling as soon as a token is there."""
        kept = self._kept()
        while kept is None:
            token = self._token()
            if token:
                kept = await self._enrol(token)
            if kept is None:
                await self._clock.sleep(0.2)
        self.node = NodeIdentity(self._settings.node_id, self._key, kept.certificate, self._clock)
        return self.node, kept

    async def renew(self) -> None:
        """Once: renew the certificate when half of a day of its life is left. Raises Unavailable."""
        kept, node = self._kept(), self.node
        if (
            kept is None
            or node is None
            or kept.expires_at - micros(self._clock.now()) > 12 * 3600 * 1_000_000
        ):
            return
        as_node = (("authorization", f"Bearer {node.bearer('quartermaster')}"),)
        fresh = await self._stub.RenewNodeCertificate(pb.RenewNodeCertificateRequest(), metadata=as_node)
        node.certificate = self._keep(fresh).certificate

    async def report(self, facts: pb.Node) -> pb.NodeConfig:
        """The node's heartbeat to the registry. Raises Unavailable."""
        assert self.node is not None
        as_node = (("authorization", f"Bearer {self.node.bearer('quartermaster')}"),)
        return await self._stub.ReportNode(pb.ReportNodeRequest(facts=facts), metadata=as_node)

    async def _enrol(self, token: str) -> Certificate | None:
        settings = self._settings
        request = pb.EnrollNodeRequest(
            token=token,
            node_id=settings.node_id,
            public_key=msgspec.json.encode(public_jwk(self._key)).decode(),
            name=settings.node_name or settings.node_id,
            facts=pb.Node(
                region=settings.region,
                base_url=settings.public_url,
                rtmp_url=settings.rtmp_url,
                latitude=settings.latitude,
                longitude=settings.longitude,
            ),
        )
        try:
            kept = self._keep(await self._stub.EnrollNode(request))
        except Unavailable:
            return None
        except Refusal as refused:
            self._log.error("node.not_enrolled", code=refused.code, reason=refused.message)
            await self._clock.sleep(5)
            return None
        if (path := self._settings.enrollment_token_file) is not None:
            path.unlink(missing_ok=True)
        self._log.info("node.enrolled", node_id=settings.node_id, cluster_id=kept.cluster_id)
        return kept

    def _keep(self, answer: pb.NodeCertificate) -> Certificate:
        kept = Certificate(answer.certificate, answer.expires_at, answer.cluster_id, answer.owner_tenant_id)
        self._files.write("certificate.json", msgspec.json.encode(kept).decode())
        return kept

    def _kept(self) -> Certificate | None:
        text = self._files.read("certificate.json")
        kept = msgspec.json.decode(text, type=Certificate) if text else None
        return kept if kept and kept.expires_at > micros(self._clock.now()) else None

    def _token(self) -> str:
        path: Path | None = self._settings.enrollment_token_file
        return path.read_text().strip() if path and path.exists() else ""

    def _own_key(self) -> Key:
        text = self._files.read("node.pem")
        if text is None:
            text = key_text(new_key())
            self._files.write("node.pem", text)
        return key_from_text(text)
