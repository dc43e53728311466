"""Peers of Signalman: Periscope, asked once per watched tenant for the state of its streams; Commodore, for tokens."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import periscope_v1_pb2 as periscope
from frameworks.contracts.pb.events_v1_pb2 import Event, StreamLifecycle, StreamMetrics
from frameworks.contracts.topics import EVENT_TYPES, SCHEMA_VERSION
from frameworks.data.signalman.domain.changes import Change
from frameworks.kit.clock import uuid7

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub
    from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceAsyncStub

_METRICS = (
    *("bandwidth_in_bps", "bandwidth_out_bps", "viewers", "bitrate_kbps", "fps_milli", "width", "height"),
    *("codec", "keyframe_ms", "buffer_ms", "jitter_ms", "health_score", "issues", "audio_codec"),
    *("audio_kbps", "audio_channels", "audio_rate", "quality_tier"),
)


class ApiTokens:
    """API tokens, exchanged at Commodore for ones that say who it is and that peers accept."""

    def __init__(self, stub: "CommodoreServiceAsyncStub") -> None:
        self._stub = stub

    async def exchange(self, api_token: str) -> str:
        """A token of a few minutes; raises Unauthenticated."""
        answer = await self._stub.ExchangeApiToken(commodore.ExchangeApiTokenRequest(api_token=api_token))
        return answer.token


class LiveStreams:
    """The tenant's live streams as the events that would have made them so."""

    def __init__(self, stub: "PeriscopeServiceAsyncStub") -> None:
        self._stub = stub

    async def changes(self, tenant: UUID, metadata: Any) -> list[Change]:
        """Two changes a stream: its state and its last measurement."""
        answer = await self._stub.GetStreamStatuses(periscope.GetStreamStatusesRequest(), metadata=metadata)
        return [change for status in answer.statuses for change in _changes(tenant, status)]


def _changes(tenant: UUID, status: periscope.StreamStatus) -> list[Change]:
    lifecycle = StreamLifecycle(state=status.state, reason=status.reason, detail=status.detail)
    metrics = StreamMetrics(**{name: getattr(status, name) for name in _METRICS})
    return [
        change_of(_event(tenant, status, "stream-lifecycle", stream_lifecycle=lifecycle)),
        change_of(_event(tenant, status, "stream-metrics", stream_metrics=metrics)),
    ]


def _event(tenant: UUID, status: periscope.StreamStatus, kind: str, **payload: Any) -> Event:
    return Event(
        event_id=uuid7().bytes,
        type=kind,
        occurred_at=status.updated_at,
        schema_version=SCHEMA_VERSION,
        tenant_id=tenant.bytes,
        stream_id=UUID(status.stream_id).bytes,
        node_id=status.node_id,
        cluster_id=status.cluster_id,
        source="periscope",
        claim_epoch=status.claim_epoch,
        **payload,
    )


def change_of(event: Event) -> Change:
    """The event as it is pushed."""
    return Change(
        event=event.SerializeToString(),
        event_id=event.event_id,
        type=event.type,
        channel=EVENT_TYPES[event.type].channel,
        stream=event.stream_id,
        subject=event.stream_id or event.node_id.encode(),
        occurred_at=event.occurred_at,
    )
