"""The published client, unmodified, against a Bridge that listens on a port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from fixtures_bridge import ALL_SCOPES, STREAM, BridgeFactory, FakeBridge, served
from livepeer_frameworks import AsyncFrameWorksClient
from livepeer_frameworks.errors import (
    AuthenticationError,
    GraphQLError,
    RateLimitError,
    ResultError,
    SchemaMismatchError,
)
from livepeer_frameworks.graphql import MediaViewerProtocol
from livepeer_frameworks.results import expect_result

from frameworks.contracts.pb import foghorn_v1_pb2 as foghorn
from frameworks.kit.errors import NotFound


@asynccontextmanager
async def client(bridge: FakeBridge, token: str | None) -> AsyncIterator[Any]:
    async with (
        served(bridge.app) as address,
        AsyncFrameWorksClient(url=f"http://{address}/graphql", token=token) as found,
    ):
        yield found


async def test_streams_are_listed(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    async with client(bridge, bridge.token(*ALL_SCOPES)) as fw:
        page = (await fw.list_streams()).streams_connection
    assert [stream.stream_id for stream in page.nodes] == [STREAM]


async def test_the_key_of_a_stream_is_withheld_without_the_scope(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    problems: list[Any] = []
    async with client(bridge, bridge.token("streams:read")) as fw:
        found = await fw.get_stream_key(STREAM, on_partial_errors=problems.append)
    assert found.stream.stream_key is None
    assert "FORBIDDEN" in repr(problems[0].errors)


async def test_a_refused_mutation_is_a_typed_answer(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"DeleteStream": NotFound("There is no such stream.")})
    async with client(bridge, bridge.token(*ALL_SCOPES)) as fw:
        answer = await fw.delete_stream(STREAM)
    with pytest.raises(ResultError, match="no such stream"):
        expect_result(answer.delete_stream, "DeleteSuccess")


async def test_a_bad_token_is_an_authentication_error(make_bridge: BridgeFactory) -> None:
    async with client(make_bridge(), "a.b.c") as fw:
        with pytest.raises(AuthenticationError):
            await fw.list_streams()


async def test_no_token_is_an_authentication_error(make_bridge: BridgeFactory) -> None:
    async with client(make_bridge(), None) as fw:
        with pytest.raises(AuthenticationError):
            await fw.list_streams()


async def test_a_stale_token_does_not_keep_the_public_out(make_bridge: BridgeFactory) -> None:
    async with client(make_bridge(), "a.b.c") as fw:
        found = await fw.resolve_viewer_endpoint(content_id="abc")
    assert found.resolve_viewer_endpoint.primary.node_id


async def test_players_are_told_that_a_stream_is_starting(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"ResolveViewer": foghorn.ViewerEndpoints(state="starting")})
    async with client(bridge, None) as fw:
        with pytest.raises(GraphQLError) as raised:
            await fw.resolve_viewer_endpoint(content_id="abc")
    assert "STREAM_STARTING" in repr(vars(raised.value))


async def test_an_enum_in_a_variable_is_read(make_bridge: BridgeFactory) -> None:
    async with client(make_bridge(), None) as fw:
        found = await fw.resolve_viewer_endpoint(content_id="abc", protocol=MediaViewerProtocol.HLS)
    assert found.resolve_viewer_endpoint.primary.protocol == "hls"


async def test_an_operation_we_do_not_answer_is_a_schema_mismatch(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    async with client(bridge, bridge.token(*ALL_SCOPES)) as fw:
        with pytest.raises(SchemaMismatchError):
            await fw.get_billing_tiers()


async def test_too_many_calls_are_a_rate_limit_error(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(public_per_minute=1, public_burst=1)
    async with client(bridge, None) as fw:
        # The client's own version check takes the only call.
        with pytest.raises(RateLimitError):
            await fw.resolve_viewer_endpoint(content_id="abc")


async def test_live_events_arrive(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    async with client(bridge, bridge.token(*ALL_SCOPES)) as fw:
        events = fw.live_stream_events()
        first = await anext(events)
        with suppress(StopAsyncIteration):
            await events.aclose()
    assert first.live_stream_events.source == "LIVE"


async def test_a_bad_token_closes_the_socket_as_forbidden(make_bridge: BridgeFactory) -> None:
    async with client(make_bridge(), "a.b.c") as fw:
        with pytest.raises(AuthenticationError):
            await anext(fw.live_stream_events())
