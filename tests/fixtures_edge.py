"""A second edge: a node of a tenant's own cluster that says what a test wants, as another machine's agent would."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fixtures_platform import Platform, Tenant

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import decklog_v1_pb2 as decklog
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.contracts.topics import EVENT_TYPES, SCHEMA_VERSION
from frameworks.kit.clock import SystemClock, micros, random_text, uuid7
from frameworks.kit.identity import NodeIdentity, key_from_text, key_text, new_key, public_jwk

Metadata = tuple[tuple[str, str], ...]


def bearer(token: str) -> Metadata:
    """Metadata of a gRPC call made with `token`."""
    return (("authorization", f"Bearer {token}"),)


def quartermaster_of(platform: Platform) -> Any:
    """Quartermaster's stub, called as `cli`."""
    return platform.host.peer(QuartermasterServiceStub, service="cli")


@dataclass
class Edge:
    """An enrolled node: its identity, and what it knows of one stream."""

    platform: Platform
    tenant_id: str
    cluster_id: str
    identity: NodeIdentity

    @classmethod
    async def join(cls, platform: Platform, tenant: Tenant, *, name: str = "Edge") -> "Edge":
        """Make a cluster of the tenant's and enrol a node into it, by gRPC alone."""
        registry = quartermaster_of(platform)
        made = await registry.CreateEdgeCluster(
            quartermaster.CreateEdgeClusterRequest(name=name), metadata=bearer(tenant.access_token)
        )
        key, node = new_key(), f"edge-{random_text(8)}"
        certificate = await registry.EnrollNode(
            quartermaster.EnrollNodeRequest(
                token=made.token.token,
                node_id=node,
                public_key=json.dumps(public_jwk(key), sort_keys=True),
                name=node,
            )
        )
        return cls.of(platform, tenant, node, made.cluster.id, certificate.certificate, key_text(key))

    @classmethod
    def of(
        cls, platform: Platform, tenant: Tenant, node: str, cluster: str, certificate: str, key: str
    ) -> "Edge":
        """A node that was enrolled elsewhere."""
        identity = NodeIdentity(node, key_from_text(key), certificate, SystemClock())
        return cls(platform, tenant.tenant_id, cluster, identity)

    @property
    def node_id(self) -> str:
        """The node's name."""
        return self.identity.node_id

    def credential(self, audience: str) -> Metadata:
        """Metadata of a call made as this node."""
        return bearer(self.identity.bearer(audience))

    async def report(self, **facts: Any) -> None:
        """A heartbeat."""
        node = quartermaster.Node(id=self.node_id, name=self.node_id, type="media", **facts)
        await quartermaster_of(self.platform).ReportNode(
            quartermaster.ReportNodeRequest(facts=node), metadata=self.credential("quartermaster")
        )

    async def report_instance(self, name: str, **facts: Any) -> str:
        """A service this node runs; the instance's id."""
        identity = f"{self.node_id}/{name}"
        instance = quartermaster.ServiceInstance(
            id=identity, service=name, cluster_id=self.cluster_id, node_id=self.node_id, **facts
        )
        await quartermaster_of(self.platform).ReportInstances(
            quartermaster.ReportInstancesRequest(instances=[instance]),
            metadata=self.credential("quartermaster"),
        )
        return identity

    async def admit(self, stream_key: str) -> commodore.Admission:
        """Ask to take a stream in; holds its claim."""
        request = commodore.AdmitPublishRequest(
            stream_key=stream_key,
            protocol="RTMP",
            boot_id="boot-1",
            connection_id=random_text(8),
            trigger_id=random_text(8),
        )
        answer: commodore.Admission = await self.platform.commodore.AdmitPublish(
            request, metadata=self.credential("commodore")
        )
        assert answer.admitted, answer
        return answer

    async def resolve(self, playback_id: str) -> commodore.Playback:
        """Ask to hand a stream out."""
        answer: commodore.Playback = await self.platform.commodore.ResolvePlayback(
            commodore.ResolvePlaybackRequest(playback_id=playback_id), metadata=self.credential("commodore")
        )
        return answer

    def event(self, name: str, payload: Any, *, stream_id: str = "", epoch: int = 0) -> events.Event:
        """An event of this node, happening now."""
        kind = EVENT_TYPES[name]
        event = events.Event(
            event_id=uuid7().bytes,
            type=name,
            occurred_at=micros(SystemClock().now()),
            schema_version=SCHEMA_VERSION,
            tenant_id=UUID(self.tenant_id).bytes,
            stream_id=UUID(stream_id).bytes if stream_id else b"",
            node_id=self.node_id,
            cluster_id=self.cluster_id,
            source="helmsman",
            claim_epoch=epoch,
        )
        getattr(event, kind.field).CopyFrom(payload)
        return event

    async def publish(self, *said: events.Event, attribution: str = "") -> None:
        """Hand events to Decklog; fails unless every one is taken."""
        stub: Any = self.platform.host.peer(DecklogServiceStub, service="cli")
        envelopes = [
            decklog.Envelope(event=e.SerializeToString(), attribution=1 if attribution else 0) for e in said
        ]
        request = decklog.PublishRequest(
            sequence=1, attributions=[attribution] if attribution else [], events=envelopes
        )
        async for ack in stub.Publish([request], metadata=self.credential("decklog")):
            assert not ack.refused, ack
            assert ack.accepted == len(said)
