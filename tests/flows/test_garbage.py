"""Garbage on every port: a clear refusal, counted, and a platform that does not notice."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fixtures_platform import Encoder, Platform
from flow_garbage import Slow, ask, meanwhile, send, status, trickle, unharmed

Encoders = Callable[..., Awaitable[Encoder]]

APP_PORTS = {
    "front": "console",
    "bridge": "bridge",
    "foghorn": "foghorn",
    "helmsman": "helmsman",
    "mailbox": "mailbox",
    "app_admin": "host",
}
MIST_PORTS = {"mist_api": "mist", "mist_admin": "host"}
LISTENERS = {
    **{port: ("app", service) for port, service in APP_PORTS.items()},
    **{port: ("mist", service) for port, service in MIST_PORTS.items()},
}
"""Port → the process behind it and what its refusals are counted as."""

HTTP = "frameworks_http_refused_total"
SERVED = "frameworks_http_seconds_count"
HOST = b"Host: platform\r\n"
MALFORMED = {
    "random bytes": os.urandom(4096),
    "a TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(150),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "no such method": b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "control characters": b"GET /\0\1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a negative length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\n",
    "a length and chunks": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of nonsense": b"POST /graphql HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}
TOO_LONG = {
    "one header of a megabyte": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n",
    "a header without end": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (8 << 20),
    "a thousand headers": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"".join(b"X-%d: a\r\n" % n for n in range(1000))
    + b"\r\n",
    "a long path": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
}
TRAVERSALS = (
    "/../../../../etc/passwd",
    "/assets/../../../../../../etc/passwd",
    "/assets/..%2f..%2f..%2fmodule.py",
    "/%2e%2e/%2e%2e/config.py",
    "/assets/%00",
    "/assets/..%5c..%5cmodule.py",
)


@pytest.fixture(scope="module", autouse=True)
async def slow(platform: Platform) -> AsyncIterator[Slow]:
    """Clients that send a byte at a time to every port, from the first test here to the last."""
    request = b"GET / HTTP/1.1\r\n" + HOST
    clients = (
        *(trickle(platform.port(port), request, b"a") for port in LISTENERS),
        trickle(platform.port("media"), request, b"a"),
        trickle(platform.port("rtmp"), b"\x03", b"\0"),
        trickle(platform.port("mailbox_smtp"), b"", b"\0"),
    )
    async with meanwhile(platform, *clients) as began:
        yield began


@pytest.mark.parametrize("port", LISTENERS)
async def test_what_is_not_http_is_refused_on_every_port_of_services(platform: Platform, port: str) -> None:
    process, service = LISTENERS[port]
    async with unharmed(platform) as watch:
        for name, garbage in MALFORMED.items():
            assert status(await send(platform.port(port), garbage)) == 400, name
        await watch.moved(process, HTTP, len(MALFORMED), service=service, reason="malformed")


@pytest.mark.parametrize("port", LISTENERS)
async def test_a_head_that_is_too_long_is_refused_before_it_is_kept(platform: Platform, port: str) -> None:
    process, service = LISTENERS[port]
    async with unharmed(platform) as watch:
        for garbage in TOO_LONG.values():
            await send(platform.port(port), garbage)
        await watch.moved(process, HTTP, len(TOO_LONG), service=service, reason="head")


@pytest.mark.parametrize("port", LISTENERS)
async def test_thousands_of_requests_at_once_are_refused(platform: Platform, port: str) -> None:
    process, service = LISTENERS[port]
    async with unharmed(platform) as watch:
        await send(platform.port(port), (b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n") * 2000)
        await watch.moved(process, HTTP, service=service, reason="pipelined")


@pytest.mark.parametrize("path", TRAVERSALS)
@pytest.mark.parametrize("port", ["front", "media", "bridge", "foghorn", "helmsman", "mist_api", "mailbox"])
async def test_no_path_leads_out_of_what_is_served(platform: Platform, port: str, path: str) -> None:
    async with unharmed(platform):
        answer = await ask(platform.port(port), path=path)
        assert status(answer) in (400, 404)
        assert b"root:" not in answer
        assert b"import" not in answer


async def test_garbage_to_viewers_port_is_refused_and_counted(platform: Platform) -> None:
    port = platform.port("media")
    async with unharmed(platform) as watch:
        for name, garbage in MALFORMED.items():
            assert status(await send(port, garbage)) in (400, 405, 413, 431), name
        for garbage in TOO_LONG.values():
            await send(port, garbage)
        await watch.moved("mist", "frameworks_mist_requests_refused_total", len(TOO_LONG), reason="431")
        for path in (
            "/hls/%ff/index.m3u8",
            "/cmaf/x/" + "~" * 5000 + "/index.m3u8",
            "/.jpg",
            "/hls//",
        ):
            assert status(await ask(port, path=path)) in (400, 404)
        for lines in ("Range: bytes=-99999999999999999999-,x", "Range: rows=1-2"):
            assert status(await ask(port, lines, path="/nothing")) == 404
        await watch.moved("mist", "frameworks_mist_requests_refused_total", 6, reason="404")


async def test_garbage_to_play_is_a_missing_stream(platform: Platform) -> None:
    async with unharmed(platform) as watch:
        for playback_id in (
            "%ff%fe",
            "a" * 5000,
            "..",
            "%00",
            "'; DROP TABLE streams; --".replace(" ", "%20"),
            "x%0d%0aA:b",
        ):
            for port in ("front", "foghorn"):
                assert status(await ask(platform.port(port), path=f"/play/{playback_id}")) == 404
        known = platform.facts["playback_id"]
        for query in ("lat=x&lon=y", "protocol=%00", "protocol=" + "a" * 5000):
            answer = await ask(platform.port("foghorn"), path=f"/play/{known}?{query}")
            assert status(answer) == 400, query
        for nowhere in ("lat=nan&lon=inf", "lat=999&lon=0"):
            assert status(await ask(platform.port("foghorn"), path=f"/play/{known}?{nowhere}")) == 307
        lines = ("X-Forwarded-For: \xff,,,;", "X-Forwarded-Proto: gopher", "Accept: \xff", "Host: \xff")
        assert status(await ask(platform.port("front"), *lines, path=f"/play/{known}")) in (200, 307)
        await watch.moved("app", SERVED, 6, service="foghorn", status="404")
        await watch.moved("app", SERVED, 3, service="foghorn", status="400")


async def test_a_body_that_never_ends_is_refused(platform: Platform) -> None:
    async with unharmed(platform) as watch:
        for port, path in (("front", "/graphql"), ("bridge", "/graphql")):
            announced = await ask(
                platform.port(port), "Content-Length: 99999999999", method="POST", path=path
            )
            sent = await ask(
                platform.port(port),
                "Content-Type: application/json",
                "Transfer-Encoding: chunked",
                method="POST",
                path=path,
                body=(b"10000\r\n" + b"a" * 65_536 + b"\r\n") * 32,
            )
            assert {status(announced), status(sent)} <= {413, 415}
        await watch.moved("app", SERVED, 2, service="console", status="413")


@pytest.mark.parametrize("hung_up", [b"{", b"a" * 60_000])
async def test_whoever_hangs_up_in_a_body_is_no_error(platform: Platform, hung_up: bytes) -> None:
    head = (
        b"POST /graphql HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: application/json\r\nContent-Length: 90000\r\n\r\n"
    )
    async with unharmed(platform) as watch:
        _, writer = await asyncio.open_connection("127.0.0.1", platform.port("front"))
        writer.write(head + hung_up)
        await writer.drain()
        writer.close()
        await watch.moved("app", SERVED, service="console", status="499")


async def test_garbage_to_auth_is_refused(platform: Platform) -> None:
    bodies = (
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"email": 5}',
        b'{"email": "' + b"a" * 9000 + b'"}',
    )
    async with unharmed(platform) as watch:
        for path in (
            "/auth/login",
            "/auth/register",
            "/auth/refresh",
            "/auth/verify",
            "/auth/\0",
            "/auth/nothing",
        ):
            for body in bodies:
                answer = await ask(
                    platform.port("front"),
                    "Content-Type: application/json",
                    f"Content-Length: {len(body)}",
                    method="POST",
                    path=path.replace("\0", "%00"),
                    body=body,
                )
                assert 400 <= status(answer) < 500, (path, body, answer)
        await watch.moved("app", SERVED, len(bodies), service="console", status="404")


async def test_triggers_of_strangers_are_refused_and_counted(platform: Platform) -> None:
    port, secret = platform.port("helmsman"), _trigger_secret(platform)
    refused = "frameworks_helmsman_triggers_total"

    async def trigger(path: str, body: bytes, *lines: str) -> bytes:
        return await ask(port, f"Content-Length: {len(body)}", *lines, method="POST", path=path, body=body)

    async with unharmed(platform) as watch:
        for path in (
            "/webhooks/mist/wrong/PUSH_REWRITE",
            f"/webhooks/mist/{secret}/FORMAT_DISK",
            "/webhooks/mist/",
        ):
            assert status(await trigger(path, b"a\nb\nc")) == 404
        await watch.moved("app", refused, 3, trigger="unknown", outcome="refused")
        for body in (b"", b"\xff\xfe\xfd", b"\0" * 1000, b"one line", b"\n" * 500):
            answer = await trigger(f"/webhooks/mist/{secret}/PUSH_REWRITE", body, "X-Version: \xff")
            assert status(answer) in (200, 400), body
            assert b"live+" not in answer
        assert status(await trigger(f"/webhooks/mist/{secret}/USER_NEW", b"a" * (600 << 10))) == 413
        await watch.moved("app", refused, trigger="USER_NEW", outcome="bad")


async def test_garbage_to_the_nodes_api_is_refused(platform: Platform) -> None:
    port = platform.port("mist_api")
    commands = (b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":' * 5000)
    async with unharmed(platform) as watch:
        for body in commands:
            answer = await ask(port, f"Content-Length: {len(body)}", method="POST", path="/api2", body=body)
            assert status(answer) == 400, body[:20]
        answer = await ask(port, "Content-Length: 2100000", method="POST", path="/api", body=b" " * 2_100_000)
        assert status(answer) == 413
        odd = {
            "addstream": 7,
            "deletestream": [[]],
            "active_streams": "\0",
            "config": [],
            "no such command": {},
        }
        for name, value in odd.items():
            body = json.dumps({name: value}).encode()
            answer = await ask(port, f"Content-Length: {len(body)}", method="POST", path="/api2", body=body)
            assert status(answer) in (200, 400), name
        await watch.moved("mist", SERVED, len(commands), service="mist", status="400")


async def test_garbage_to_the_mailbox_is_refused(platform: Platform) -> None:
    port = platform.port("mailbox_smtp")
    async with unharmed(platform) as watch:
        said = await send(port, os.urandom(64) + b"\r\n", b"GET / HTTP/1.1\r\n" * 20)
        assert b"500 " in said
        assert b"502 5.5.1 Too many unrecognized commands" in said
        await watch.moved("app", "frameworks_mailbox_refused_total", code="502")
        mails = (
            b"Content-Type: text/plain; charset=nope\r\n\r\nhello",
            b"Subject: \xff\xfe\r\nContent-Type: multipart/mixed\r\n\r\n--",
            b"Content-Type: text/plain; charset=\0\r\n\r\n\xff",
            b"",
        )
        for mail in mails:
            said = await send(
                port,
                b"EHLO x\r\nMAIL FROM:<\xff@x>\r\nRCPT TO:<a@b>\r\nDATA\r\n",
                mail + b"\r\n.\r\nQUIT\r\n",
            )
            assert b"250 Taken" in said or b"553" in said, mail
        flood = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n"
        said = await send(port, flood, *[b"a" * 60 + b"\r\n"] * 10_000, b".\r\nQUIT\r\n")
        assert b"552" in said
        assert status(await ask(platform.port("front"), path="/mail.json")) == 200


async def test_whoever_sends_a_byte_at_a_time_is_cut_off(slow: Slow) -> None:
    answers = await slow.answers
    assert {status(answer) for answer in answers[: len(LISTENERS) + 1]} == {408}
    await slow.watch.moved("app", HTTP, len(APP_PORTS), reason="head_time")
    await slow.watch.moved("mist", "frameworks_mist_requests_refused_total", reason="408")
    refused = "frameworks_mist_publishers_refused_total"
    await slow.watch.moved("mist", refused, code="mist.rtmp.unauthenticated_time")


def _trigger_secret(platform: Platform) -> str:
    (path,) = (platform.data / "helmsman").glob("*/trigger.key")
    return path.read_bytes().hex()[:32]
