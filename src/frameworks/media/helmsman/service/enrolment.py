"""Enrolment: a single-use token becomes the node's certificate, renewed while the node lives."""

from typing import Protocol

import msgspec

from frameworks.kit import log as logs
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.kit.identity import Key, NodeIdentity, key_from_text, key_text, new_key, public_jwk

RETRY_SECONDS = 0.2
REFUSED_SECONDS = 5.0


class Certificate(msgspec.Struct, frozen=True):
    """What the node was enrolled as. Instants in microseconds since the epoch."""

    certificate: str
    expires_at: int
    cluster_id: str
    owner_tenant_id: str
    kept_since: int = 0


class Registry(Protocol):
    """Quartermaster, as far as a node's identity is concerned."""

    async def enrol(self, token: str, public_key: str) -> Certificate:
        """Spend the token. Raises Refusal, Unavailable."""

    async def renew(self, node: NodeIdentity) -> Certificate:
        """A fresh certificate for a running one. Raises Refusal, Unavailable."""


class Keeping(Protocol):
    """The node's small private files."""

    def read(self, name: str) -> str | None:
        """A file's text, None when there is none."""

    def write(self, name: str, text: str) -> None:
        """Replace a file."""

    def token(self) -> str:
        """The enrolment token someone left for us; empty when there is none."""

    def spend_token(self) -> None:
        """Remove the token."""


class Enrolment:
    """Gets and renews the node's certificate; its private key never leaves the node."""

    def __init__(self, registry: Registry, files: Keeping, clock: Clock, node_id: str) -> None:
        self._registry = registry
        self._files = files
        self._clock = clock
        self._node_id = node_id
        self._log = logs.get("helmsman")
        self._key = self._own_key()
        self.node: NodeIdentity | None = None

    async def wait(self) -> tuple[NodeIdentity, Certificate]:
        """The node's identity, from disk or by enrolling as soon as a token is there."""
        kept = self._kept()
        while kept is None:
            token = self._files.token()
            kept = await self._enrol(token) if token else None
            if kept is None:
                await self._clock.sleep(RETRY_SECONDS)
        self.node = NodeIdentity(self._node_id, self._key, kept.certificate, self._clock)
        return self.node, kept

    async def renew(self) -> None:
        """Get a fresh certificate at half of its life. Raises Refusal, Unavailable."""
        kept, node = self._kept(), self.node
        if kept is None or node is None or self._now() < (kept.kept_since + kept.expires_at) // 2:
            return
        node.certificate = self._keep(await self._registry.renew(node)).certificate

    async def _enrol(self, token: str) -> Certificate | None:
        try:
            kept = self._keep(
                await self._registry.enrol(token, msgspec.json.encode(public_jwk(self._key)).decode())
            )
        except Unavailable:
            return None
        except Refusal as refused:
            self._log.error("node.not_enrolled", code=refused.code, reason=refused.message)
            await self._clock.sleep(REFUSED_SECONDS)
            return None
        self._files.spend_token()
        self._log.info("node.enrolled", node_id=self._node_id, cluster_id=kept.cluster_id)
        return kept

    def _now(self) -> int:
        return micros(self._clock.now())

    def _keep(self, certificate: Certificate) -> Certificate:
        certificate = msgspec.structs.replace(certificate, kept_since=self._now())
        self._files.write("certificate.json", msgspec.json.encode(certificate).decode())
        return certificate

    def _kept(self) -> Certificate | None:
        text = self._files.read("certificate.json")
        kept = msgspec.json.decode(text, type=Certificate) if text else None
        return kept if kept and kept.expires_at > self._now() else None

    def _own_key(self) -> Key:
        text = self._files.read("node.pem")
        if text is None:
            text = key_text(new_key())
            self._files.write("node.pem", text)
        return key_from_text(text)
