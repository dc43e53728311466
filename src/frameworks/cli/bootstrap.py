"""What a first start needs: the operator's tenant, the default cluster, a node's token, and the demo's tenant."""

import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster
from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.kit import config, log
from frameworks.kit.clock import Clock, SystemClock, micros
from frameworks.kit.errors import Unavailable
from frameworks.kit.host import HostSettings, ProcessHost

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub
    from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceAsyncStub

DEMO_EMAIL = "demo@frameworks.test"
DEMO_TITLE = "Demo stream"
DEMO_SCOPES = (
    "streams:write",
    "analytics:read",
    "developer:write",
    "billing:read",
    "infrastructure:write",
)
T = TypeVar("T")

PATIENCE, AGAIN = 30.0, 0.5
"""Seconds that services are waited for, and between two attempts."""


async def ensure(*, demo: bool) -> dict[str, str]:
    """Make what is missing; the answer is what `.frameworks/demo.json` says of it.

    It is asked for right after a start, so services that can not be reached are tried again for a while.
    """
    log.setup("ERROR")
    env = config.environment()
    host = ProcessHost(env, rules={})
    return await patiently(lambda: _ensure(host, env, demo=demo), SystemClock())


async def patiently(work: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Do it again while something is away, for `PATIENCE` seconds; then raise what it raises."""
    until = clock.monotonic() + PATIENCE
    while True:
        try:
            return await work()
        except Unavailable:
            if clock.monotonic() > until:
                raise
            await clock.sleep(AGAIN)


async def _ensure(host: ProcessHost, env: dict[str, str], *, demo: bool) -> dict[str, str]:
    data = config.load(HostSettings, env).data_dir
    await _ensure_node(host.peer(QuartermasterServiceStub, service="cli"), env)
    return await _ensure_demo(host.peer(CommodoreServiceStub, service="cli"), data) if demo else {}


def _wants_token(token_file: Path) -> bool:
    """Whether no node of this machine has a certificate that is still good, nor a token to get one with."""
    now = micros(SystemClock().now())
    kept = (
        json.loads(path.read_text()) for path in (token_file.parent / "helmsman").glob("*/certificate.json")
    )
    return not token_file.exists() and not any(certificate["expires_at"] > now for certificate in kept)


def _write_token(path: Path, token: str) -> None:
    path.touch(mode=0o600)
    path.write_text(token)


async def _ensure_node(stub: "QuartermasterServiceAsyncStub", env: dict[str, str]) -> None:
    """The node of this machine gets a token, unless it was enrolled before."""
    token_file = Path(env["HELMSMAN_ENROLLMENT_TOKEN_FILE"])
    if _wants_token(token_file):
        token = await stub.CreateEnrollmentToken(
            quartermaster.CreateEnrollmentTokenRequest(
                cluster_id="default", name="this machine", ttl_seconds=86_400
            )
        )
        _write_token(token_file, token.token)


async def _ensure_demo(stub: "CommodoreServiceAsyncStub", data: Path) -> dict[str, str]:
    kept = data / "demo.json"
    before: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    password = before.get("password") or secrets.token_urlsafe(12)
    email = before.get("email") or DEMO_EMAIL
    user = await stub.EnsureUser(
        commodore.EnsureUserRequest(email=email, password=password, first_name="Demo", last_name="Streamer")
    )
    stream = await stub.EnsureStream(
        commodore.EnsureStreamRequest(tenant_id=user.tenant_id, title=DEMO_TITLE)
    )
    return {
        "email": email,
        "password": password,
        "api_token": before.get("api_token") or await _api_token(stub, email, password),
        "stream_id": stream.id,
        "stream_key": stream.stream_key,
        "playback_id": stream.playback_id,
    }


async def _api_token(stub: "CommodoreServiceAsyncStub", email: str, password: str) -> str:
    session = await stub.SignIn(commodore.SignInRequest(email=email, password=password, client="cli"))
    token = await stub.CreateApiToken(
        commodore.CreateApiTokenRequest(name="demo", scopes=DEMO_SCOPES),
        metadata=(("authorization", f"Bearer {session.access_token}"),),
    )
    return token.value
