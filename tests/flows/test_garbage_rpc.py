"""Garbage to the services' sockets: no call without a credential that its own service would sign."""

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from fixtures_platform import Platform
from flow_garbage import send, unharmed

from frameworks.kit.clock import FakeClock, SystemClock
from frameworks.kit.identity import Identity, TrustStore
from frameworks.kit.identity.keys import new_key

REFUSED = "frameworks_rpc_refused_total"
SERVICES = ("commodore", "decklog", "foghorn", "periscope", "purser", "quartermaster", "signalman")
ENSURE = "/frameworks.commodore.v1.CommodoreService/EnsureUser"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def call(
    path: Path, method: str, request: bytes = b"", token: str | None = None
) -> grpc.aio.AioRpcError:
    """The error that one raw call ends with."""
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"unix:{path}", options=options) as channel:
        raw = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(request, metadata=(("authorization", token),) if token else (), timeout=20)
    assert "Traceback" not in str(caught.value.details())
    return caught.value


def sock(platform: Platform, service: str) -> Path:
    """Where a service is reached."""
    return platform.data / "run" / f"{service}.sock"


def identity(
    platform: Platform, *, service: str = "cli", stranger: bool = False, at: datetime | None = None
) -> Identity:
    """A service's own identity, one that a stranger made up, or one of another time."""
    clock = SystemClock() if at is None else FakeClock(at)
    key = new_key() if stranger else TrustStore(platform.data / "keys").private_key(service)
    return Identity(service, key, clock)


def unsigned(platform: Platform) -> str:
    """A good token, its signature replaced by "none"."""
    _, claims, _ = identity(platform).bearer("commodore").split(".")
    header = (
        base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "service"}).encode()).rstrip(b"=").decode()
    )
    return f"{header}.{claims}."


def tampered(platform: Platform) -> str:
    """A good token, its claims changed."""
    header, claims, signature = identity(platform).bearer("commodore").split(".")
    changed = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"sub": "bridge"}
    encoded = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    return f"{header}.{encoded}.{signature}"


def forgeries(platform: Platform) -> dict[str, str]:
    """Credentials that do not hold."""
    good = identity(platform)
    other = good.sign({"sub": "cli", "aud": "commodore"}, typ="attribution", lifetime=timedelta(hours=1))
    return {
        "no signature": f"Bearer {unsigned(platform)}",
        "other claims": f"Bearer {tampered(platform)}",
        "another key": f"Bearer {identity(platform, stranger=True).bearer('commodore')}",
        "another audience": f"Bearer {good.bearer('purser')}",
        "another sort": f"Bearer {other}",
        "expired": f"Bearer {identity(platform, at=LONG_AGO).bearer('commodore')}",
        "of the future": f"Bearer {identity(platform, at=datetime(2099, 1, 1, tzinfo=UTC)).bearer('commodore')}",
        "no token": "Bearer ",
        "no scheme": good.bearer("commodore"),
        "nonsense": "Bearer a.b.c",
        "a long one": "Bearer " + "a" * 6000,
    }


@pytest.mark.parametrize("service", SERVICES)
async def test_what_is_not_grpc_is_hung_up_on(platform: Platform, service: str) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    async with unharmed(platform):
        for garbage in (os.urandom(4096), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", preface + os.urandom(4096)):
            await send(0, garbage, path=sock(platform, service))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_method_nobody_offers_is_unimplemented(platform: Platform, service: str) -> None:
    async with unharmed(platform):
        for method in (
            "/x/y",
            f"/frameworks.{service}.v1.{service.capitalize()}Service/Nothing",
            "/a" * 2000,
            "/",
        ):
            error = await call(sock(platform, service), method)
            assert error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED), method


async def test_a_call_without_a_token_is_refused_and_counted(platform: Platform) -> None:
    async with unharmed(platform) as watch:
        error = await call(sock(platform, "commodore"), ENSURE)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        await watch.moved("app", REFUSED, service="commodore", method="EnsureUser")


async def test_a_forged_credential_is_refused_and_counted(platform: Platform) -> None:
    async with unharmed(platform) as watch:
        forged = forgeries(platform)
        for what, token in forged.items():
            error = await call(sock(platform, "commodore"), ENSURE, token=token)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED, (what, error)
        await watch.moved("app", REFUSED, len(forged), service="commodore", method="EnsureUser")


async def test_a_service_may_not_call_what_is_not_its_business(platform: Platform) -> None:
    token = f"Bearer {identity(platform, service='mailbox').bearer('commodore')}"
    async with unharmed(platform) as watch:
        assert (
            await call(sock(platform, "commodore"), ENSURE, token=token)
        ).code() is grpc.StatusCode.PERMISSION_DENIED
        await watch.moved("app", REFUSED, service="commodore", method="EnsureUser")


async def test_bytes_that_are_no_message_are_an_invalid_request(platform: Platform) -> None:
    token = f"Bearer {identity(platform).bearer('commodore')}"
    async with unharmed(platform) as watch:
        for request in (b"\xff" * 100, os.urandom(1000) + b"\xff", b"\x0a\xff\xff\xff\xff\x7f"):
            error = await call(sock(platform, "commodore"), ENSURE, request, token)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        await watch.moved(
            "app", "frameworks_rpc_calls_total", 3, method="EnsureUser", status="INVALID_ARGUMENT"
        )


async def test_a_message_that_is_too_large_is_refused(platform: Platform) -> None:
    token = f"Bearer {identity(platform).bearer('commodore')}"
    async with unharmed(platform):
        error = await call(sock(platform, "commodore"), ENSURE, bytes(32 << 20), token)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
