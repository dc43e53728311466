"""Live changes: Signalman's frames as subscription results."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from ariadne import SubscriptionType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.pb import signalman_v1_pb2 as pb
from frameworks.contracts.topics import (
    EVENT_TYPES,
    NODE_LIFECYCLE,
    STREAM_BUFFER,
    STREAM_INGEST,
    STREAM_LIFECYCLE,
    STREAM_METRICS,
    TRACK_LIST,
    USER_CONNECTION,
    EventType,
)
from frameworks.control.bridge.api import context, live_rows
from frameworks.control.bridge.api.history.asking import with_stream
from frameworks.control.bridge.domain import uuid_id
from frameworks.kit import log
from frameworks.kit.clock import jitter
from frameworks.kit.errors import Unavailable
from frameworks.kit.rpc import reading

Row = dict[str, Any]
RowOf = Callable[[events.Event], Row | None]

subscription = SubscriptionType()

BINDABLES = [subscription, *with_stream("ViewerMetrics", "TrackListUpdate")]

STREAM_TYPES = (STREAM_LIFECYCLE, STREAM_BUFFER, STREAM_INGEST, TRACK_LIST)
MAX_FAILURES = 6
FIRST_PAUSE = 0.5

_log = log.get("bridge")


async def frames(
    info: GraphQLResolveInfo, request: pb.SubscribeRequest
) -> AsyncGenerator[events.Event, None]:
    """Events of the caller's tenant; when Signalman goes away it is asked again, a few times, to go on there."""
    here = context.of(info)
    failures, position = 0, ""
    while True:
        asked = pb.SubscribeRequest(position=position)
        asked.MergeFrom(request)
        try:
            with reading(here.peers.signalman.Subscribe(asked, metadata=here.metadata)) as answer:
                async for frame in answer:
                    failures = 0
                    if frame.mark == pb.MARK_SNAPSHOT_STARTED and position:
                        _log.warning("frames.missed", reason=frame.reason)
                    if frame.event:
                        yield events.Event.FromString(frame.event)
                    position = frame.position or position
            failures += 1
        except Unavailable:
            failures += 1
            if failures >= MAX_FAILURES:
                raise
        if failures >= MAX_FAILURES:
            raise Unavailable("Live changes can not be followed now.")
        await here.clock.sleep(jitter(FIRST_PAUSE * 2**failures))


async def rows(
    info: GraphQLResolveInfo, types: tuple[EventType, ...], stream_id: str | None, row: RowOf
) -> AsyncGenerator[Row, None]:
    """Rows of the events of `types`, of one stream or of all."""
    wanted = uuid_id("Stream", stream_id) if stream_id else ""
    request = pb.SubscribeRequest(
        channels=sorted({t.channel for t in types}),
        stream_id=wanted,
        event_types=[t.name for t in types],
    )
    async with aclosing(frames(info, request)) as source:
        async for event in source:
            found = row(event)
            if found is not None:
                yield found


def same(source: Row, _: GraphQLResolveInfo, **__: Any) -> Row:
    """What the source yielded is the result."""
    return source


@subscription.source("liveStreamEvents")
def stream_events(
    _: Any, info: GraphQLResolveInfo, *, streamId: str | None = None
) -> AsyncGenerator[Row, None]:
    return rows(info, STREAM_TYPES, streamId, live_rows.stream_event)


@subscription.source("liveViewerMetrics")
def viewer_metrics(_: Any, info: GraphQLResolveInfo, *, streamId: str) -> AsyncGenerator[Row, None]:
    return rows(info, (USER_CONNECTION, STREAM_METRICS), streamId, live_rows.viewer_metrics)


@subscription.source("liveConnectionEvents")
def connection_events(
    _: Any, info: GraphQLResolveInfo, *, streamId: str | None = None
) -> AsyncGenerator[Row, None]:
    return rows(info, (USER_CONNECTION,), streamId, live_rows.connection_event)


@subscription.source("liveTrackListUpdates")
def track_list_updates(_: Any, info: GraphQLResolveInfo, *, streamId: str) -> AsyncGenerator[Row, None]:
    return rows(info, (TRACK_LIST,), streamId, live_rows.track_list)


@subscription.source("liveSystemHealth")
def system_health(_: Any, info: GraphQLResolveInfo) -> AsyncGenerator[Row, None]:
    return rows(info, (NODE_LIFECYCLE,), None, live_rows.node_health)


@subscription.source("liveFirehose")
def firehose(_: Any, info: GraphQLResolveInfo) -> AsyncGenerator[Row, None]:
    may_see_nodes = context.of(info).caller.may("infrastructure:read")
    types = tuple(t for t in EVENT_TYPES.values() if may_see_nodes or t.channel != NODE_LIFECYCLE.channel)
    return rows(info, types, None, live_rows.tenant_event)


for name in (
    "liveStreamEvents",
    "liveViewerMetrics",
    "liveConnectionEvents",
    "liveTrackListUpdates",
    "liveSystemHealth",
    "liveFirehose",
):
    subscription.set_field(name, same)
