"""Garbage to the GraphQL door and its socket: answered in GraphQL, closed by the protocol's own codes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fixtures_http import http_client
from fixtures_platform import Platform, Tenant
from flow_garbage import Slow, meanwhile, unharmed
from flow_socket import PROTOCOL
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

SERVED = "frameworks_http_seconds_count"
ENDED = "frameworks_bridge_sockets_ended_total"
JSON = "application/json"
DEEP = "query { " + "streamsConnection { nodes { " * 8 + "id" + " } }" * 8 + " }"
ALIASES = "query { " + " ".join(f"a{n}: streamsConnection {{ nodes {{ id }} }}" for n in range(2000)) + " }"
SAME = "query { " + "streamsConnection { nodes { id } } " * 1500 + " }"
CYCLE = "query { ...a } fragment a on Query { ...b } fragment b on Query { ...a }"
REFUSED_BODIES = {
    "no JSON": (400, b"query { me }"),
    "no text": (400, b"\xff\xfe\0"),
    "a batch": (400, json.dumps([{"query": "{ __typename }"}] * 100).encode()),
    "an array in arrays": (400, b"[" * 200_000),
    "a number": (400, b"5"),
    "a document of the wrong type": (400, b'{"query": {"a": 1}}'),
    "variables of the wrong type": (400, b'{"query": "{ __typename }", "variables": [1]}'),
    "no GraphQL": (422, b'{"query": "SELECT 1"}'),
    "two megabytes": (413, b'{"query": "' + b"a" * (2 << 20) + b'"}'),
    "a deep query": (422, json.dumps({"query": DEEP}).encode()),
    "two thousand aliases": (422, json.dumps({"query": ALIASES}).encode()),
    "the same field again and again": (422, json.dumps({"query": SAME}).encode()),
    "fragments in a circle": (422, json.dumps({"query": CYCLE}).encode()),
    "brackets in brackets": (422, json.dumps({"query": "{ a" * 5000}).encode()),
    "a lone surrogate": (400, b'{"query": "{ a\\ud800 }"}'),
}


async def post(tenant: Tenant, body: bytes, **headers: str) -> httpx.Response:
    """One POST to the front."""
    named = {"content-type": JSON, "authorization": f"Bearer {tenant.api_token}"} | {
        name.replace("_", "-"): text for name, text in headers.items()
    }
    async with http_client(timeout=20.0) as client:
        return await client.post(tenant.graphql_url, content=body, headers=named)


async def says_nothing(tenant: Tenant) -> int | None:
    """The code with which a socket that is not initialised is closed."""
    async with socket(tenant, init=False) as opened:
        return await closed(opened)


@pytest.fixture(scope="module", autouse=True)
async def slow(platform: Platform) -> AsyncIterator[Slow]:
    """A socket that says nothing, from the first test here to the last."""
    async with meanwhile(platform, says_nothing(await platform.tenant())) as began:
        yield began


@pytest.mark.parametrize("what", REFUSED_BODIES)
async def test_a_body_that_is_no_request_is_refused(platform: Platform, tenant: Tenant, what: str) -> None:
    expected, body = REFUSED_BODIES[what]
    async with unharmed(platform) as watch:
        answer = await post(tenant, body)
        assert answer.status_code == expected, answer.text[:500]
        (error, *_) = answer.json()["errors"]
        assert error["extensions"]["code"] not in ("", "INTERNAL_SERVER_ERROR")
        await watch.moved("app", SERVED, service="console", status=str(expected))


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-7"]
)
async def test_an_unknown_content_type_is_refused(platform: Platform, tenant: Tenant, kind: str) -> None:
    async with unharmed(platform) as watch:
        assert (await post(tenant, b'{"query": "{ __typename }"}', content_type=kind)).status_code == 415
        await watch.moved("app", SERVED, service="bridge", status="415")


@pytest.mark.parametrize(
    "token", ["Bearer x", "Bearer fw_a_b", "Bearer " + "a." * 2 + "a", "Basic x", "Bearer " + "a" * 9000]
)
async def test_a_credential_that_is_none_is_refused(platform: Platform, tenant: Tenant, token: str) -> None:
    async with unharmed(platform):
        answer = await post(
            tenant, b'{"query": "{ streamsConnection { nodes { id } } }"}', authorization=token
        )
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHORIZED", answer.text


@asynccontextmanager
async def socket(
    tenant: Tenant, *, init: bool = True, protocol: str = PROTOCOL
) -> AsyncIterator[ClientConnection]:
    """A socket, initialised when asked."""
    url = tenant.graphql_url.replace("http", "ws", 1) + "/ws"
    async with connect(url, subprotocols=[Subprotocol(protocol)], proxy=None) as opened:
        if init:
            await say(opened, type="connection_init", payload={"Authorization": f"Bearer {tenant.api_token}"})
            assert json.loads(await opened.recv())["type"] == "connection_ack"
        yield opened


async def say(opened: ClientConnection, **message: Any) -> None:
    """Send one message."""
    await opened.send(json.dumps(message))


async def closed(opened: ClientConnection) -> int:
    """The code that the socket is closed with."""
    try:
        async with asyncio.timeout(30):
            while True:
                await opened.recv()
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 0


UNINITIALISED: dict[str, tuple[str | bytes, int]] = {
    "a subscription": (
        '{"id":"1","type":"subscribe","payload":{"query":"subscription{liveSystemHealth{nodeId}}"}}',
        4401,
    ),
    "no JSON": ("hello", 4400),
    "an unknown message": ('{"type":"nonsense"}', 4400),
    "no object": ("[1]", 4400),
    "bytes": (os.urandom(64), 4400),
    "brackets": ("[" * 100_000, 4400),
    "too much": ('{"type":"ping","payload":{"a":"' + "a" * 300_000 + '"}}', 1009),
    "more than a frame may hold": ("a" * (3 << 20), 1009),
    "a credential that is none": ('{"type":"connection_init","payload":{"Authorization":"Bearer x"}}', 4403),
    "a payload that is none": ('{"type":"connection_init","payload":[1]}', 4400),
}


@pytest.mark.parametrize("what", UNINITIALISED)
async def test_a_socket_that_starts_wrong_is_closed(platform: Platform, tenant: Tenant, what: str) -> None:
    message, code = UNINITIALISED[what]
    async with unharmed(platform) as watch:
        async with socket(tenant, init=False) as opened:
            await opened.send(message)
            assert await closed(opened) == code
        if len(message) < 1 << 20:
            await watch.moved("app", ENDED, code=str(code))


async def test_a_socket_of_another_protocol_is_closed(platform: Platform, tenant: Tenant) -> None:
    async with unharmed(platform) as watch:
        async with socket(tenant, init=False, protocol="graphql-ws") as opened:
            assert await closed(opened) == 4406
        await watch.moved("app", ENDED, code="4406")


async def test_frames_that_are_none_end_the_socket(platform: Platform, tenant: Tenant) -> None:
    frames = (b"\xff" * 500, b"\x81\x05hello", b"\x83\x80\0\0\0\0", b"\x81\xff" + b"\xff" * 8 + bytes(100))
    async with unharmed(platform):
        for frame in frames:
            async with socket(tenant) as opened:
                opened.transport.write(frame)
                assert await closed(opened) in (1002, 1007, 1009, 1011), frame


async def test_a_socket_runs_only_so_many_operations(platform: Platform, tenant: Tenant) -> None:
    document = {"query": "subscription { liveSystemHealth { nodeId } }"}
    async with unharmed(platform), socket(tenant) as opened:
        for number in range(1000):
            await say(opened, id=f"s{number}", type="subscribe", payload=document)
        refused = 0
        async with asyncio.timeout(30):
            while refused < 900:
                message = json.loads(await opened.recv())
                refused += message["type"] == "error"
        await say(opened, type="ping")
        async with asyncio.timeout(10):
            while json.loads(await opened.recv())["type"] != "pong":
                pass


async def test_a_socket_that_says_nothing_is_closed(slow: Slow) -> None:
    assert await slow.answers == [4408]
    await slow.watch.moved("app", ENDED, code="4408")
