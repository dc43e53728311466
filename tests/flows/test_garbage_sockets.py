"""Garbage to the two doors of the public that are no GraphQL: sockets with live changes, and players' reports."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable

import pytest
from fixtures_platform import Platform
from flow_garbage import Slow, ask, meanwhile, send, status, trickle, unharmed
from test_garbage import HOST, MALFORMED, TOO_LONG
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

REFUSED = "frameworks_signalman_refused_total"
CUT = "frameworks_signalman_cut_total"
TELEMETRY = "frameworks_bridge_telemetry_total"
PATHS = ("/ws", "/ws/streams", "/ws/analytics", "/ws/system")
UPGRADE = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")


async def knock(port: int, path: str, *lines: str) -> int:
    """The status with which a request for a socket is answered."""
    head = (f"GET {path} HTTP/1.1", "Host: platform", "Connection: Upgrade", *UPGRADE, *lines)
    return status(await send(port, "\r\n".join((*head, "", "")).encode("latin-1"), ends=False))


@pytest.fixture(scope="module", autouse=True)
async def slow(platform: Platform) -> AsyncIterator[Slow]:
    """A client that asks for a socket a byte at a time, from the first test here to the last."""
    client = trickle(platform.port("signalman"), b"GET /ws HTTP/1.1\r\n" + HOST, b"a")
    async with meanwhile(platform, client) as began:
        yield began


async def test_what_is_not_http_opens_no_socket(platform: Platform) -> None:
    port = platform.port("signalman")
    pieces = MALFORMED | TOO_LONG
    async with unharmed(platform) as watch:
        answers = await asyncio.gather(*(send(port, garbage) for garbage in pieces.values()))
        for name, said in zip(pieces, answers, strict=True):
            assert not said or 400 <= status(said) < 500, name
        await watch.moved("app", REFUSED)


REQUESTS: dict[str, tuple[str, tuple[str, ...], int, str]] = {
    "no such path": ("/ws/../graphql", (), 404, "path"),
    "a long path": ("/ws/" + "a" * 3000, (), 404, "path"),
    "a strange page": ("/ws", ("Origin: https://elsewhere.example",), 403, "origin"),
    "a page that is none": ("/ws", ("Origin: \xff\xfe",), 403, "origin"),
    "a long position": ("/ws?position=" + "a" * 3000, (), 400, "position"),
    "a token of nonsense": ("/ws", ("Authorization: Bearer a.b.c",), 401, "credential"),
    "no token": ("/ws", ("Authorization: Bearer ",), 401, "credential"),
    "another scheme": ("/ws", ("Authorization: Basic YTpi",), 401, "credential"),
    "two tokens": (
        "/ws",
        ("Authorization: Bearer a.b.c", "Sec-WebSocket-Protocol: frameworks.live, bearer.a.b.c"),
        400,
        "credential",
    ),
    "another protocol": ("/ws", ("Sec-WebSocket-Protocol: graphql-transport-ws",), 400, "subprotocol"),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_that_is_none_of_ours_opens_no_socket(platform: Platform, name: str) -> None:
    path, lines, code, reason = REQUESTS[name]
    async with unharmed(platform) as watch:
        assert await knock(platform.port("signalman"), path, *lines) == code
        await watch.moved("app", REFUSED, reason=reason)


async def closed_with(socket: ClientConnection, *messages: str | bytes) -> int | None:
    """The code with which a socket is ended after these messages."""
    try:
        for message in messages:
            await socket.send(message)
        async for _ in socket:
            pass
    except ConnectionClosed:
        pass
    return socket.close_code


MESSAGES: dict[str, tuple[tuple[str | bytes, ...], int]] = {
    "no JSON": (("{",), 4400),
    "no object": (("[]",), 4400),
    "no action": (('{"channels": ["streams"]}',), 4400),
    "a number for a channel": (('{"action": "subscribe", "channels": [7]}',), 4400),
    "deep nesting": (("[" * 5000,), 4400),
    "bytes": ((os.urandom(200),), 1003),
    "a stranger's wish": (('{"action": "subscribe", "channels": ["all"]}',), 4401),
    "a token of nonsense": (('{"action": "authenticate", "token": "nonsense"}',), 4401),
    "a forged token": (('{"action": "authenticate", "token": "a.b.c"}',), 4401),
    "no token": (('{"action": "authenticate"}',), 4401),
}


@pytest.mark.parametrize("path", PATHS)
async def test_a_socket_that_talks_nonsense_is_ended_with_its_code(platform: Platform, path: str) -> None:
    url = f"ws://127.0.0.1:{platform.port('signalman')}{path}"
    async with unharmed(platform) as watch:
        for name, (messages, code) in MESSAGES.items():
            async with connect(url, proxy=None) as socket:
                assert await closed_with(socket, *messages) == code, name
        await watch.moved("app", CUT, 5, reason="4400")


async def test_a_flood_of_messages_ends_the_socket(platform: Platform) -> None:
    url = f"ws://127.0.0.1:{platform.port('signalman')}/ws"
    async with unharmed(platform) as watch:
        async with connect(url, proxy=None) as socket:
            assert await closed_with(socket, *('{"action": "x"}',) * 400) in (1006, 1008)
        await watch.moved("app", CUT, reason="1008")


async def test_frames_that_break_the_protocol_end_the_connection(platform: Platform) -> None:
    port = platform.port("signalman")
    head = "\r\n".join(("GET /ws HTTP/1.1", "Host: platform", "Connection: Upgrade", *UPGRADE, "", ""))
    async with unharmed(platform):
        for frame in (b"\xff" * 100, b"\x81\x7f" + b"\xff" * 8, b"\x83\x80" + bytes(4), os.urandom(4096)):
            await send(port, head.encode() + frame)


REPORTS: dict[str, Callable[[str], tuple[str, bytes]]] = {
    "nothing": lambda _: ("text/plain", b""),
    "no JSON": lambda _: ("text/plain", b"{"),
    "no object": lambda _: ("application/json", b"[]"),
    "no UTF-8": lambda _: ("text/plain", b"\xff\xfe"),
    "deep nesting": lambda _: ("text/plain", b"[" * 12_000),
    "a number for a name": lambda _: ("text/plain", b'{"sessionId": 7, "beaconSeq": 1}'),
    "no token": lambda _: ("text/plain", b'{"sessionId": "s", "beaconSeq": 1}'),
    "a forged token": lambda _: (
        "text/plain",
        b'{"telemetryToken": "a.b.c", "sessionId": "s", "beaconSeq": 1}',
    ),
    "a token of another sort": lambda api: (
        "text/plain",
        json.dumps({"telemetryToken": api, "sessionId": "s", "beaconSeq": 1}).encode(),
    ),
    "too long": lambda _: ("text/plain", b"a" * 40_000),
    "another sort of body": lambda _: ("multipart/form-data", b"--x"),
    "CMCD that is none": lambda _: ("application/cmcd", b"\xff=;,"),
}


@pytest.mark.parametrize("kind", ["boot", "session"])
@pytest.mark.parametrize("port", ["front", "bridge"])
async def test_garbage_for_a_players_report_is_refused_and_counted(
    platform: Platform, port: str, kind: str
) -> None:
    tenant = await platform.tenant()
    async with unharmed(platform) as watch:
        for name, make in REPORTS.items():
            media, body = make(tenant.access_token)
            answer = await ask(
                platform.port(port),
                f"Content-Type: {media}",
                f"Content-Length: {len(body)}",
                method="POST",
                path=f"/playback/telemetry/{kind}",
                body=body,
            )
            assert 400 <= status(answer) < 500, (name, answer)
        await watch.moved("app", TELEMETRY, 3, kind=kind, outcome="refused")
        await watch.moved("app", TELEMETRY, 6, kind=kind, outcome="invalid")


async def test_whoever_opens_a_socket_a_byte_at_a_time_is_cut_off(slow: Slow) -> None:
    (said,) = await slow.answers
    assert b"101" not in said
