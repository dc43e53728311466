"""An echo service behind each way a call can travel: `Loopback` in process, and `grpc.aio` over a socket."""

import asyncio
import contextvars
import io
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from grpc_tools import protoc

from frameworks.kit import log
from frameworks.kit.clock import SystemClock
from frameworks.kit.errors import (
    Limited,
    NotFound,
)
from frameworks.kit.identity import (
    PLATFORM,
    Identity,
    PrincipalKind,
    Rule,
    TrustStore,
    Verifier,
    register_service,
)
from frameworks.kit.rpc import Call, Channel, Dispatcher, Loopback, RpcServer, connect

PROTO = """
syntax = "proto3";
package frameworks.echo.v1;
message Note { string text = 1; int64 number = 2; }
service EchoService {
  rpc Say(Note) returns (Note);
  rpc Sum(stream Note) returns (Note);
  rpc Repeat(Note) returns (stream Note);
  rpc Chat(stream Note) returns (stream Note);
  rpc Unruled(Note) returns (Note);
  rpc Unserved(Note) returns (Note);
  rpc Open(Note) returns (Note);
  rpc Read(Note) returns (Note);
}
"""
PATH = "/frameworks.echo.v1.EchoService/"
TENANT = uuid4()
LEAK: contextvars.ContextVar[str] = contextvars.ContextVar("leak", default="nothing")


class NoSuchNote(NotFound):
    """A refusal with a code of its own."""

    code = "echo.no_such_note"


@pytest.fixture(scope="session")
def echo_pb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The generated modules of the test's own service."""
    directory = tmp_path_factory.mktemp("echo")
    (directory / "echo_v1.proto").write_text(PROTO)
    out = [f"--python_out={directory}", f"--grpc_python_out={directory}"]
    assert protoc.main(["protoc", f"-I{directory}", *out, str(directory / "echo_v1.proto")]) == 0
    sys.path.insert(0, str(directory))
    yield import_module("echo_v1_pb2"), import_module("echo_v1_pb2_grpc")
    sys.path.remove(str(directory))


@pytest.fixture
def echo_log() -> io.StringIO:
    """What the test makes the services log."""
    stream = io.StringIO()
    log.setup(stream=stream)
    return stream


@pytest.fixture(scope="session")
def echo_trust(tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    """Keys of the services the suite plays."""
    directory = tmp_path_factory.mktemp("trust") / "keys"
    for name in ("bridge", "commodore", "echo"):
        register_service(directory, name)
    return TrustStore(directory)


def identity(trust: TrustStore, service: str) -> Identity:
    """Someone to call as."""
    return Identity(service, trust.private_key(service), SystemClock())


def user_token(trust: TrustStore, *scopes: str) -> str:
    """A user's token, as Commodore would sign it."""
    claims = {"sub": "u1", "tenant": str(TENANT), "scopes": list(scopes), "kind": "user", "aud": [PLATFORM]}
    return identity(trust, "commodore").sign(claims, typ="user", lifetime=timedelta(minutes=15))


@dataclass
class Echo:
    """The servicer under test; remembers what it saw."""

    pb: Any
    calls: list[Call] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    leaks: list[str] = field(default_factory=list)
    request: Any = None
    sent: int = 0

    async def Say(self, request: Any, call: Call) -> Any:
        """Do what the text says."""
        self.calls.append(call)
        self.leaks.append(LEAK.get())
        LEAK.set("the servicer's")
        self.request = request
        match request.text:
            case "refuse":
                raise NoSuchNote("There is no such note — nö.", secret_row=7)
            case "wait":
                await self._wait()
            case "bug":
                raise KeyError("/etc/secret/path")
            case "cancelled bug":
                raise asyncio.CancelledError
            case "busy":
                raise Limited("Slow down.", retry_after=3)
            case "trailing":
                call.trailing.append(("seen-by", "echo"))
            case "wrong type":
                return self
            case "large":
                return self.pb.Note(text="x" * (9 << 20))
        return self.pb.Note(text=request.text, number=request.number + 1)

    async def Sum(self, requests: AsyncIterator[Any], call: Call) -> Any:
        """The sum of the numbers sent, or of the first ones until one is negative."""
        total = 0
        try:
            async for request in requests:
                self.reached.set()
                self.leaks.append(LEAK.get())
                if request.number < 0:
                    break
                total += request.number
        finally:
            self.cancelled.set()
        return self.pb.Note(number=total)

    async def Repeat(self, request: Any, call: Call) -> AsyncIterator[Any]:
        """`number` notes, then a refusal if asked for."""
        try:
            for number in range(request.number):
                self.sent = number
                yield self.pb.Note(number=number)
            if request.text == "refuse":
                raise NoSuchNote("No more notes.")
            if request.text == "wait":
                await self._wait()
            call.trailing.append(("seen-by", "echo"))
        finally:
            self.cancelled.set()

    async def Chat(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        """Each note back as it comes."""
        async for request in requests:
            yield self.pb.Note(text=request.text.upper(), number=request.number)

    async def Unruled(self, request: Any, call: Call) -> Any:
        """A method the permission table forgot."""
        self.reached.set()
        return request

    async def Open(self, request: Any, call: Call) -> Any:
        """A method for everyone."""
        self.calls.append(call)
        return request

    async def Read(self, request: Any, call: Call) -> Any:
        """A method for users with a scope."""
        self.calls.append(call)
        return self.pb.Note(text=str(call.tenant))

    async def _wait(self) -> None:
        self.reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


RULES = {
    PATH + "Say": Rule.allow(services=["bridge"]),
    PATH + "Sum": Rule.allow(services=["bridge"]),
    PATH + "Repeat": Rule.allow(services=["bridge"]),
    PATH + "Chat": Rule.allow(services=["bridge"]),
    PATH + "Open": Rule.allow(PrincipalKind.PUBLIC),
    PATH + "Read": Rule.allow(PrincipalKind.USER, scope="notes:read"),
}


@dataclass
class Side:
    """One transport, set up: what a test talks to."""

    echo: Echo
    stub: Any
    pb: Any
    order: list[str]
    channel: Any
    """Makes a channel that calls as the given identity."""
    grpc: Any

    def note(self, text: str = "", number: int = 0) -> Any:
        """A message."""
        return self.pb.Note(text=text, number=number)

    def stub_as(self, caller: Identity | None) -> Any:
        """A stub that calls as `caller`."""
        return self.grpc.EchoServiceStub(self.channel(caller))


@pytest.fixture(params=["loopback", "network"])
async def side(
    request: pytest.FixtureRequest,
    echo_pb: Any,
    echo_trust: TrustStore,
    echo_log: io.StringIO,
    tmp_path: Path,
) -> AsyncIterator[Side]:
    """The echo service behind each transport, called as bridge."""
    order: list[str] = []

    def interceptor(name: str) -> Any:
        @asynccontextmanager
        async def entered(call: Call) -> AsyncIterator[None]:
            order.append(f"{name} in {call.principal.subject}")
            yield
            order.append(f"{name} out")

        return entered

    messages, stubs = echo_pb
    dispatcher = Dispatcher(
        Verifier(echo_trust, SystemClock()), RULES, interceptors=[interceptor("first"), interceptor("second")]
    )
    echo = Echo(messages)
    dispatcher.add(messages.DESCRIPTOR.services_by_name["EchoService"], echo, service="echo")
    async with (
        _loopback(dispatcher) if request.param == "loopback" else _network(dispatcher, tmp_path) as transport
    ):

        def channel(caller: Identity | None) -> Channel:
            return Channel(lambda _: transport, caller)

        bridge = stubs.EchoServiceStub(channel(identity(echo_trust, "bridge")))
        yield Side(echo, bridge, messages, order, channel, stubs)


@asynccontextmanager
async def _loopback(dispatcher: Dispatcher) -> AsyncIterator[Any]:
    loopback = Loopback(dispatcher)
    yield loopback
    await loopback.close()


@asynccontextmanager
async def _network(dispatcher: Dispatcher, directory: Path) -> AsyncIterator[Any]:
    server = RpcServer(dispatcher, "echo")
    address = server.bind(f"unix:{directory}/echo.sock", setting="FRAMEWORKS_PEER_ECHO")
    await server.start()
    channel = connect(address)
    yield channel
    await channel.close()
    await server.stop(0)
