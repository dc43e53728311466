"""Real sockets: handshake, operations, closing codes, and what happens to the peers' streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fixtures_bridge import ALL_SCOPES, BridgeFactory, FakeBridge, served
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from frameworks.kit.errors import Unavailable

PROTOCOL = Subprotocol("graphql-transport-ws")


@asynccontextmanager
async def opened(
    bridge: FakeBridge, *, protocol: Subprotocol | None = PROTOCOL, **headers: str
) -> AsyncIterator[ClientConnection]:
    protocols = [protocol] if protocol else None
    async with (
        served(bridge.app) as address,
        connect(f"ws://{address}/graphql/ws", subprotocols=protocols, additional_headers=headers) as socket,
    ):
        yield socket


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def closing(socket: ClientConnection) -> int:
    await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code


async def signed_in(bridge: FakeBridge, socket: ClientConnection) -> None:
    await say(
        socket, type="connection_init", payload={"Authorization": f"Bearer {bridge.token(*ALL_SCOPES)}"}
    )
    assert (await hear(socket))["type"] == "connection_ack"


async def test_another_subprotocol_is_not_acceptable(make_bridge: BridgeFactory) -> None:
    async with opened(make_bridge(), protocol=None) as socket:
        assert await closing(socket) == 4406


async def test_a_query_is_answered_and_completed(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    async with opened(bridge) as socket:
        await signed_in(bridge, socket)
        await say(socket, type="subscribe", id="q", payload={"query": "{ serverInfo { version } }"})
        assert (await hear(socket))["payload"]["data"]["serverInfo"]
        assert await hear(socket) == {"id": "q", "type": "complete"}


async def test_a_document_that_does_not_fit_is_an_error_of_its_operation(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    async with opened(bridge) as socket:
        await signed_in(bridge, socket)
        await say(socket, type="subscribe", id="q", payload={"query": "subscription { nothing }"})
        answer = await hear(socket)
        assert (answer["type"], answer["id"]) == ("error", "q")
        assert answer["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_a_scope_that_is_missing_is_an_error_of_its_operation(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    async with opened(bridge) as socket:
        token = bridge.token("streams:read")
        await say(socket, type="connection_init", payload={"Authorization": f"Bearer {token}"})
        await hear(socket)
        query = "subscription { liveStreamEvents { id } }"
        await say(socket, type="subscribe", id="s", payload={"query": query})
        assert (await hear(socket))["payload"][0]["extensions"]["code"] == "FORBIDDEN"
    assert bridge.signalman.streams == []


async def test_without_a_token_only_public_operations_run(make_bridge: BridgeFactory) -> None:
    async with opened(make_bridge()) as socket:
        await say(socket, type="connection_init")
        await hear(socket)
        await say(socket, type="subscribe", id="a", payload={"query": "{ serverInfo { version } }"})
        assert (await hear(socket))["type"] == "next"
        assert (await hear(socket))["type"] == "complete"
        await say(socket, type="subscribe", id="b", payload={"query": "{ tenant { id } }"})
        assert (await hear(socket))["payload"][0]["extensions"]["code"] == "UNAUTHORIZED"


async def test_a_completed_subscription_ends_the_peers_stream(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    async with opened(bridge) as socket:
        await signed_in(bridge, socket)
        query = "subscription { liveSystemHealth { node } }"
        await say(socket, type="subscribe", id="s", payload={"query": query})
        assert (await hear(socket))["payload"]["data"]["liveSystemHealth"]["node"] == "n1"
        await say(socket, type="complete", id="s")
        await say(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"
        while not bridge.signalman.streams[0].cancelled:  # noqa: ASYNC110 - the other side tells nobody
            await asyncio.sleep(0)


async def test_a_client_that_goes_away_ends_the_peers_streams(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    async with opened(bridge) as socket:
        await signed_in(bridge, socket)
        query = "subscription { liveFirehose { type } }"
        await say(socket, type="subscribe", id="s", payload={"query": query})
        await hear(socket)
    assert [stream.cancelled for stream in bridge.signalman.streams] == [True]


async def test_garbage_closes_the_socket_without_ado(make_bridge: BridgeFactory) -> None:
    async with opened(make_bridge()) as socket:
        await socket.send("garbage")
        assert await closing(socket) == 4400


async def test_a_bad_token_is_forbidden(make_bridge: BridgeFactory) -> None:
    async with opened(make_bridge()) as socket:
        await say(socket, type="connection_init", payload={"Authorization": "Bearer a.b.c"})
        assert await closing(socket) == 4403


async def test_a_caller_holds_a_bounded_number_of_sockets(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(sockets_per_caller=0)
    async with opened(bridge) as socket:
        await say(socket, type="connection_init")
        assert await closing(socket) == 4429


async def test_the_cookie_of_a_page_of_another_host_does_not_count(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    cookie = f"fw_access={bridge.token(*ALL_SCOPES)}"
    async with opened(bridge, cookie=cookie, origin="https://elsewhere.example") as socket:
        await say(socket, type="connection_init")
        await hear(socket)
        await say(socket, type="subscribe", id="b", payload={"query": "{ tenant { id } }"})
        assert (await hear(socket))["type"] == "error"


async def test_the_cookie_of_our_own_page_counts(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    cookie = f"fw_access={bridge.token(*ALL_SCOPES)}"
    async with served(bridge.app) as address:
        headers = {"cookie": cookie, "origin": f"http://{address}"}
        async with connect(
            f"ws://{address}/graphql/ws", subprotocols=[PROTOCOL], additional_headers=headers
        ) as socket:
            await say(socket, type="connection_init")
            await hear(socket)
            await say(socket, type="subscribe", id="b", payload={"query": "{ tenant { id } }"})
            assert (await hear(socket))["type"] == "next"


PIPELINE = (
    "subscription { pipelineStatus { isKnown liveStreams flow { stored } problems { place message } } }"
)


async def followed(bridge: FakeBridge, token: str) -> dict[str, Any]:
    """The first word on the pipeline's subscription."""
    async with opened(bridge) as socket:
        await say(socket, type="connection_init", payload={"Authorization": f"Bearer {token}"})
        await hear(socket)
        await say(socket, type="subscribe", id="p", payload={"query": PIPELINE})
        return await hear(socket)


async def test_only_operators_follow_the_pipeline(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    refused = await followed(bridge, bridge.token(*ALL_SCOPES))
    assert refused["payload"][0]["extensions"]["code"] == "FORBIDDEN"
    assert bridge.periscope.calls == []
    told = await followed(bridge, bridge.token(roles=("operator",)))
    found = told["payload"]["data"]["pipelineStatus"]
    assert (found["isKnown"], found["liveStreams"]) == (True, 7)


async def test_operators_are_told_that_periscope_is_away(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"GetPipelineStatus": Unavailable("no connection.")})
    told = await followed(bridge, bridge.token(roles=("operator",)))
    found = told["payload"]["data"]["pipelineStatus"]
    assert (found["isKnown"], found["flow"]) == (False, {"stored": None})
    assert found["problems"] == [{"place": "ingest", "message": "Periscope does not answer: no connection."}]
