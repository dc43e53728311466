"""The whole platform, started once per session as a user starts it, and tenants of it for each test."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fixtures_http import http_client

from frameworks.cli.layout import LOOPBACK_PORTS, PUBLIC_PORTS
from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.kit.clock import random_text
from frameworks.kit.host import ProcessHost

START_WITHIN = 180.0
SCOPES = (
    "streams:write",
    "analytics:read",
    "developer:write",
    "billing:read",
    "infrastructure:write",
)


SLOTS, APART = 220, 60
"""Platforms side by side, and ports from one to the next: all below those a kernel gives to whoever connects."""


def free_offset() -> int:
    """A port offset at which every port of a platform is free."""
    ports = (PUBLIC_PORTS | LOOPBACK_PORTS).values()
    for slot in range(SLOTS):
        offset = 1_000 + (os.getpid() + slot) % SLOTS * APART
        if all(_is_free(port + offset) for port in ports):
            return offset
    raise RuntimeError("no free ports for a platform")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def eventually(
    check: Callable[[], Awaitable[Any]], *, within: float = 30.0, every: float = 0.1, what: str = ""
) -> Any:
    """The first true answer of `check`; fails the test when there is none in time."""
    last: Any = None
    try:
        async with asyncio.timeout(within):
            while True:
                last = await check()
                if last:
                    return last
                await asyncio.sleep(every)
    except TimeoutError:
        pytest.fail(f"{what or check} did not come true within {within:g} s; last answer: {last!r}")


CREATE_STREAM = """
    mutation($input: CreateStreamInput!) {
      createStream(input: $input) { ... on Stream { id streamId streamKey playbackId } }
    }
"""


@dataclass(frozen=True)
class Stream:
    """A stream as its owner sees it."""

    id: str
    stream_id: str
    key: str
    playback_id: str


@dataclass
class Tenant:
    """One tenant: its owner, an API token with every scope, and a way to call GraphQL as it."""

    tenant_id: str
    user_id: str
    email: str
    password: str
    access_token: str
    api_token: str
    graphql_url: str

    async def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Run a document; fails on errors."""
        answer = await self.post(query, **variables)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def stream(self, name: str = "A stream") -> Stream:
        """Make a stream."""
        made = (await self.graphql(CREATE_STREAM, input={"name": name}))["createStream"]
        return Stream(made["id"], made["streamId"], made["streamKey"], made["playbackId"])

    async def post(self, query: str, **variables: Any) -> dict[str, Any]:
        """Run a document; the whole answer."""
        async with http_client(timeout=15.0) as client:
            response = await client.post(
                self.graphql_url,
                json={"query": query, "variables": variables},
                headers={"authorization": f"Bearer {self.api_token}"},
            )
        body: dict[str, Any] = response.json()
        return body


@dataclass
class Platform:
    """A running platform and what its table says."""

    data: Path
    offset: int
    process: "subprocess.Popen[bytes] | None"
    facts: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)
    demo: bool = True
    _host: ProcessHost | None = None

    def port(self, name: str) -> int:
        """The port of one listener."""
        return (PUBLIC_PORTS | LOOPBACK_PORTS)[name] + self.offset

    def url(self, name: str) -> str:
        """The HTTP origin of one listener."""
        return f"http://127.0.0.1:{self.port(name)}"

    @property
    def eventlog_url(self) -> str:
        """The event log of `frameworks up`."""
        home = self.data / "nats"
        return (
            f"nats://{(home / 'token').read_text().strip()}@127.0.0.1:{(home / 'port').read_text().strip()}"
        )

    @property
    def rtmp_url(self) -> str:
        """Where encoders push."""
        return f"rtmp://127.0.0.1:{self.port('rtmp')}/live"

    @property
    def host(self) -> ProcessHost:
        """gRPC as the operator's command line."""
        if self._host is None:
            self._host = ProcessHost({"FRAMEWORKS_DATA_DIR": str(self.data)}, rules={})
        return self._host

    @property
    def commodore(self) -> Any:
        """Commodore's stub, called as `cli`."""
        return self.host.peer(CommodoreServiceStub, service="cli")

    async def tenant(self, *, operator: bool = False) -> Tenant:
        """A fresh tenant with a verified owner."""
        email, password = f"{random_text(12)}@example.test", random_text(16)
        user = await self.commodore.EnsureUser(
            commodore.EnsureUserRequest(email=email, password=password, first_name="Test", operator=operator)
        )
        session = await self.commodore.SignIn(
            commodore.SignInRequest(email=email, password=password, client=random_text(8))
        )
        token = await self.commodore.CreateApiToken(
            commodore.CreateApiTokenRequest(name="test", scopes=SCOPES),
            metadata=(("authorization", f"Bearer {session.access_token}"),),
        )
        return Tenant(
            user.tenant_id,
            user.id,
            email,
            password,
            session.access_token,
            token.value,
            f"{self.url('front')}/graphql",
        )

    async def play(self, playback_id: str) -> dict[str, Any]:
        """Foghorn's JSON answer for a playback id."""
        async with http_client(timeout=10.0) as client:
            answer = await client.get(
                f"{self.url('front')}/play/{playback_id}", headers={"accept": "application/json"}
            )
        body: dict[str, Any] = answer.json()
        return body

    async def live(self, playback_id: str, *, within: float = 30.0) -> dict[str, Any]:
        """Wait until the stream can be watched; the answer."""

        async def ask() -> dict[str, Any] | None:
            answer = await self.play(playback_id)
            return answer if answer.get("state") == "live" else None

        found: dict[str, Any] = await eventually(ask, within=within, what=f"{playback_id} live")
        return found

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise

    def start(self) -> None:
        """Run `frameworks up` on the data directory and wait for its table."""
        arguments = ["up", "--data-dir", str(self.data), "--port-offset", str(self.offset)]
        output = self.data.parent / f"{self.data.name}.out"
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "frameworks", *arguments, *([] if self.demo else ["--no-demo"])],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | self.env,
                start_new_session=True,
            )
        self._wait_for_table(self.process, output)
        facts = self.data / "demo.json"
        self.facts = json.loads(facts.read_text()) if facts.exists() else {}

    def _wait_for_table(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        deadline = time.monotonic() + START_WITHIN
        while b"FrameWorks is up" not in output.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(
                    f"the platform did not start:\n{output.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(0.2)


def start_platform(
    data: Path, *, offset: int | None = None, demo: bool = True, env: dict[str, str] | None = None
) -> Platform:
    """Run `frameworks up` and wait for its table."""
    platform = Platform(data, free_offset() if offset is None else offset, None, {}, env or {}, demo)
    platform.start()
    return platform


SOON = {
    "COMMODORE_PASSWORD_MEMORY_KIB": "64",
    "HELMSMAN_CLIENTS_EVERY": "2s",
    "HELMSMAN_INPUT_TIMEOUT": "2s",
    "HELMSMAN_METRICS_EVERY": "2s",
    "HELMSMAN_NODE_EVERY": "2s",
    "MIST_VIEWER_IDLE": "4s",
    "PERISCOPE_ROLL_UP_EVERY": "1s",
}
"""Periods that a test would only wait out, and passwords that are cheap to hash: each test makes an account."""

ASKED_FOR = SOON | {
    "BRIDGE_REQUESTS_TOLD_EVERY": "1s",
    "HELMSMAN_STORAGE_EVERY": "2s",
    "HELMSMAN_CMCD_EVERY": "1s",
    "CONSOLE_PLAYER_TELEMETRY": "true",
}
"""What a test could not wait for, and what an operator has to ask for."""


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform for the whole session, with the demo stream."""
    started = start_platform(tmp_path_factory.mktemp("platform") / "data", env=ASKED_FOR)
    yield started
    started.stop()


@pytest.fixture
async def tenant(platform: Platform) -> Tenant:
    """A tenant of the test's own."""
    return await platform.tenant()


@dataclass
class Encoder:
    """Debian's ffmpeg pushing a test picture and a tone."""

    process: "asyncio.subprocess.Process"

    async def stop(self) -> None:
        """End the push as a streamer does."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            await asyncio.wait_for(self.process.wait(), 15)

    async def ended(self, within: float = 20.0) -> str:
        """Wait for ffmpeg's own end; what it complained of."""
        await asyncio.wait_for(self.process.wait(), within)
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode(errors="replace")


PERSISTENT = (
    *("-map", "0:v", "-map", "1:a", "-flags", "+global_header", "-f", "fifo", "-fifo_format", "flv"),
    *("-drop_pkts_on_overflow", "1", "-attempt_recovery", "1", "-recover_any_error", "1"),
    *("-recovery_wait_time", "0.5"),
)
"""How ffmpeg is told to come back whenever its connection breaks."""


async def push(
    url: str,
    *,
    seconds: float = 120.0,
    gop: int = 60,
    extra: tuple[str, ...] = (),
    persistent: bool = False,
) -> Encoder:
    """Push 640x360 at 30 fps with ffmpeg: cheap enough to run several; `persistent` comes back after a drop."""
    arguments = (
        *("-hide_banner", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", str(seconds)),
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(gop), "-b:v", "600k"),
        *("-c:a", "aac", "-b:a", "96k", *extra, *(PERSISTENT if persistent else ("-f", "flv")), url),
    )
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", *arguments, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    return Encoder(process)


@pytest.fixture
async def encoders() -> AsyncIterator[Callable[..., Awaitable[Encoder]]]:
    """`await encoders(url, …)` starts an encoder that the test's end stops."""
    started: list[Encoder] = []

    async def start(url: str, **options: Any) -> Encoder:
        encoder = await push(url, **options)
        started.append(encoder)
        return encoder

    yield start
    for encoder in started:
        if encoder.process.returncode is None:
            encoder.process.kill()
            await encoder.process.wait()
