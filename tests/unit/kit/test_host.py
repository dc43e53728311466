"""A process starts its modules, binds before it is ready, serves, and stops in order."""

import asyncio
import io
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from fixtures_tls import new_authority
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.wrappers_pb2 import StringValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from frameworks.kit import http, log
from frameworks.kit.config import BadSetting
from frameworks.kit.errors import Unavailable
from frameworks.kit.host import HostSettings, ProcessEnded, ProcessHost, serve
from frameworks.kit.host.settings import peer_address
from frameworks.kit.identity import Rule, register_service
from frameworks.kit.module import Host, InvariantViolated, Module
from frameworks.kit.rpc import Call
from frameworks.kit.rpc.server import AddressTaken

PATH = "/frameworks.parrot.v1.ParrotService/Say"


@pytest.fixture(autouse=True)
def logged() -> io.StringIO:
    """What the process logs."""
    stream = io.StringIO()
    log.setup(stream=stream)
    return stream


@pytest.fixture(scope="session")
def parrot() -> ServiceDescriptor:
    """A service with one method, made without a compiler."""
    file = descriptor_pb2.FileDescriptorProto(
        name="frameworks/parrot/v1/parrot.proto",
        package="frameworks.parrot.v1",
        dependency=["google/protobuf/wrappers.proto"],
        syntax="proto3",
    )
    text = ".google.protobuf.StringValue"
    file.service.add(name="ParrotService").method.add(name="Say", input_type=text, output_type=text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(descriptor_pb2.FileDescriptorProto.FromString(StringValue.DESCRIPTOR.file.serialized_pb))
    pool.Add(file)
    return pool.FindServiceByName("frameworks.parrot.v1.ParrotService")


class ParrotStub:
    """What the compiler would generate."""

    def __init__(self, channel: Any) -> None:
        self.Say = channel.unary_unary(
            PATH,
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
            _registered_method=True,
        )


@dataclass
class Parrot:
    """Says who asked."""

    reply: Callable[..., Any]

    async def Say(self, request: Any, call: Call) -> Any:
        """Who asked for what."""
        return self.reply(value=f"{call.principal.subject}: {request.value}")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a fresh installation."""
    for name in ("parrot", "bridge"):
        register_service(tmp_path / "keys", name)
    return {
        "FRAMEWORKS_DATA_DIR": str(tmp_path),
        "FRAMEWORKS_ADMIN_PORT": "0",
        "FRAMEWORKS_STOP_GRACE": "100ms",
    }


def module(name: str, start: Callable[[Host], AbstractAsyncContextManager[None]], *after: str) -> Module:
    """A module."""
    return Module(name, start, after=frozenset(after))


def parrot_module(descriptor: ServiceDescriptor, steps: list[str] | None = None) -> Module:
    """The module that serves parrot."""
    from google.protobuf.message_factory import GetMessageClass

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        reply = GetMessageClass(descriptor.methods[0].output_type)
        host.serve_rpc(descriptor, Parrot(reply), service="parrot")
        yield
        if steps is not None:
            steps.append("parrot stopped")

    return module("parrot", start)


def bridge_module(stubs: list[Any], steps: list[str] | None = None) -> Module:
    """A module that calls parrot, also at its stop."""

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        stub = host.peer(ParrotStub, service="bridge")
        stubs.append(stub)
        yield
        if steps is not None:
            steps.append((await stub.Say(StringValue(value="bye"))).value)

    return module("bridge", start, "parrot")


def make(env: dict[str, str]) -> ProcessHost:
    """A process in which bridge may call parrot."""
    return ProcessHost(env, rules={PATH: Rule.allow(services=["bridge"])})


@asynccontextmanager
async def served(env: dict[str, str], *modules: Module) -> AsyncIterator[ProcessHost]:
    """A process that runs `modules` within the block."""
    host, ready = make(env), asyncio.Event()
    task = asyncio.create_task(serve(modules, host, ready.set, signals=False))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        await task
    try:
        yield host
    finally:
        host.stopping.set()
        await task


async def get(host: ProcessHost, path: str, service: str = "host") -> httpx.Response:
    """Ask one of the process's HTTP listeners."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{host.ports[service]}{path}")


async def test_modules_of_one_process_reach_each_other_even_while_they_stop(
    env: dict[str, str], parrot: ServiceDescriptor
) -> None:
    stubs: list[Any] = []
    steps: list[str] = []
    async with served(env, bridge_module(stubs, steps), parrot_module(parrot, steps)):
        assert (await stubs[0].Say(StringValue(value="hi"))).value == "bridge: hi"
    assert steps == ["bridge: bye", "parrot stopped"]


async def test_modules_of_two_processes_reach_each_other(
    env: dict[str, str], parrot: ServiceDescriptor
) -> None:
    stubs: list[Any] = []
    async with served(env, parrot_module(parrot)), served(env, bridge_module(stubs)):
        assert (await stubs[0].Say(StringValue(value="hi"))).value == "bridge: hi"


async def test_a_peer_can_be_named_by_address(env: dict[str, str], parrot: ServiceDescriptor) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        named = env | {"FRAMEWORKS_PEER_PARROT": f"127.0.0.1:{probe.getsockname()[1]}"}
    stubs: list[Any] = []
    async with served(named, parrot_module(parrot)), served(named, bridge_module(stubs)):
        assert (await stubs[0].Say(StringValue(value="hi"))).value == "bridge: hi"


async def test_processes_on_ports_speak_tls_when_they_have_files(
    env: dict[str, str], parrot: ServiceDescriptor, tmp_path: Path
) -> None:
    authority = new_authority()
    authority.issue(tmp_path / "c.pem", tmp_path / "k.pem")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        named = env | {"FRAMEWORKS_PEER_PARROT": f"127.0.0.1:{probe.getsockname()[1]}"}
    named["FRAMEWORKS_RPC_CLEAR"] = "never"
    with pytest.raises(BadSetting, match="clear text"):
        async with served(named, parrot_module(parrot)):
            pass
    named["FRAMEWORKS_RPC_TLS_CA"] = str(authority.keep(tmp_path / "ca.pem"))
    files = {name: str(tmp_path / file) for name, file in (("CERTIFICATE", "c.pem"), ("KEY", "k.pem"))}
    serving = named | {f"FRAMEWORKS_RPC_TLS_{name}": file for name, file in files.items()}
    stubs: list[Any] = []
    async with served(serving, parrot_module(parrot)), served(named, bridge_module(stubs)):
        assert (await stubs[0].Say(StringValue(value="hi"))).value == "bridge: hi"


async def test_a_peer_that_is_away_is_unavailable_and_found_again(
    env: dict[str, str], parrot: ServiceDescriptor
) -> None:
    stubs: list[Any] = []
    async with served(env, bridge_module(stubs)):
        with pytest.raises(Unavailable):
            await stubs[0].Say(StringValue(value="hi"))
        async with served(env, parrot_module(parrot)):
            answer = await stubs[0].Say(StringValue(value="hi"), wait_for_ready=True)
            assert answer.value == "bridge: hi"


async def test_probes_and_numbers_are_served(env: dict[str, str]) -> None:
    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        host.expose("outbox", lambda: {"depth": 3})
        yield

    async with served(env, module("commodore", start)) as host:
        health, ready, numbers = (
            await get(host, "/health"),
            await get(host, "/ready"),
            await get(host, "/metrics"),
        )
    said = {"status": "ok", "failing_loops": {}, "loops": [], "facts": {"outbox": {"depth": 3}}}
    assert health.json() == said
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "waiting_for": []})
    assert "frameworks_rpc_calls_total" in numbers.text


async def test_a_process_that_still_starts_is_not_ready(env: dict[str, str]) -> None:
    entered, go = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        entered.set()
        await go.wait()
        yield

    host = make(env)
    task = asyncio.create_task(serve([module("slow", start)], host, signals=False))
    await entered.wait()
    assert ((await get(host, "/ready")).status_code, (await get(host, "/health")).status_code) == (503, 200)
    host.stopping.set()
    await task


async def test_being_told_to_stop_ends_a_start_that_hangs(env: dict[str, str]) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        yield

    host = make(env)
    task = asyncio.create_task(serve([module("hangs", start)], host, signals=False))
    await entered.wait()
    host.stopping.set()
    await task
    assert left.is_set()


async def test_a_failing_loop_makes_its_module_unready(env: dict[str, str]) -> None:
    failed = asyncio.Event()

    async def broken() -> None:
        failed.set()
        raise Unavailable("The database is away.")

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        host.spawn("outbox", broken, module="commodore")
        yield

    async with served(env, module("commodore", start)) as host:
        await failed.wait()
        ready = await get(host, "/ready")
    assert (ready.status_code, ready.json()["waiting_for"]) == (503, ["commodore"])


async def test_a_violated_invariant_ends_the_process(env: dict[str, str]) -> None:
    async def broken() -> None:
        raise InvariantViolated("the ledger does not balance")

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        host.spawn("audit", broken, module="purser")
        yield

    with pytest.raises(ProcessEnded, match="does not balance"):
        await serve([module("purser", start)], make(env), signals=False)


async def hello(request: Request) -> Response:
    """An endpoint."""
    return Response("hello")


def web_module(port: int) -> Module:
    """A module with a web listener."""

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        app = http.application([Route("/hello", hello)], http.Policy(service="console"))
        host.serve_http(app, service="console", port=port, setting="CONSOLE_PORT")
        yield

    return module("console", start)


async def test_an_http_application_is_served_on_its_own_port(env: dict[str, str]) -> None:
    async with served(env, web_module(0)) as host:
        assert (await get(host, "/hello", "console")).text == "hello"


async def test_a_protocol_of_the_modules_own_is_served_on_its_own_port(env: dict[str, str]) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def listen(bound: socket.socket, _: ssl.SSLContext | None) -> asyncio.Server:
        return await asyncio.start_server(greet, sock=bound)

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        host.serve_socket(listen, service="signalman", port=0, setting="SIGNALMAN_PORT")
        yield

    async with served(env, module("signalman", start)) as host:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.ports["signalman"])
        assert await reader.read() == b"hello"
        writer.close()


async def test_a_protocol_that_can_not_be_served_ends_the_process(env: dict[str, str]) -> None:
    async def listen(_: socket.socket, __: ssl.SSLContext | None) -> asyncio.Server:
        raise ValueError("no such protocol")

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        host.serve_socket(listen, service="signalman", port=0)
        yield

    with pytest.raises(ProcessEnded, match="no such protocol"):
        await serve([module("signalman", start)], make(env), signals=False)


async def test_a_taken_port_is_named_with_its_setting(env: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressTaken, match=f"Port {port} is taken by another program.*CONSOLE_PORT"):
            await serve([web_module(port)], make(env), signals=False)
        with pytest.raises(AddressTaken, match="FRAMEWORKS_ADMIN_PORT"):
            await serve([], make(env | {"FRAMEWORKS_ADMIN_PORT": str(port)}), signals=False)


async def test_a_taken_rpc_address_is_named_with_its_setting(
    env: dict[str, str], parrot: ServiceDescriptor
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        named = env | {"FRAMEWORKS_PEER_PARROT": f"127.0.0.1:{taken.getsockname()[1]}"}
        with pytest.raises(AddressTaken, match="FRAMEWORKS_PEER_PARROT"):
            await serve([parrot_module(parrot)], make(named), signals=False)


async def test_two_processes_can_not_serve_one_service(
    env: dict[str, str], parrot: ServiceDescriptor
) -> None:
    async with served(env, parrot_module(parrot)):
        with pytest.raises(AddressTaken, match="Another process already serves"):
            await serve([parrot_module(parrot)], make(env), signals=False)


async def test_a_socket_left_by_a_crash_is_taken_over(env: dict[str, str], parrot: ServiceDescriptor) -> None:
    path = Path(env["FRAMEWORKS_DATA_DIR"]) / "run" / "parrot.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    stubs: list[Any] = []
    async with served(env, parrot_module(parrot)), served(env, bridge_module(stubs)):
        assert (await stubs[0].Say(StringValue(value="hi"))).value == "bridge: hi"


async def test_a_signal_stops_the_process(env: dict[str, str]) -> None:
    stopped: list[str] = []

    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        yield
        stopped.append("in order")

    def tell() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    await serve([module("commodore", start), web_module(0)], make(env), tell)
    assert stopped == ["in order"]


async def test_a_module_that_does_not_start_ends_the_process_with_its_error(env: dict[str, str]) -> None:
    @asynccontextmanager
    async def start(host: Host) -> AsyncIterator[None]:
        raise LookupError("no")
        yield

    with pytest.raises(LookupError):
        await serve([module("commodore", start)], make(env), signals=False)


async def test_an_engine_that_no_setting_names_is_an_error(env: dict[str, str]) -> None:
    host = make(env)
    with pytest.raises(BadSetting, match="FRAMEWORKS_DATABASE is not set"):
        await host.database("frameworks.control.commodore")
    with pytest.raises(BadSetting, match="FRAMEWORKS_EVENTLOG is not set"):
        await host.eventlog()


def test_settings_are_read_once_from_the_processes_environment(env: dict[str, str]) -> None:
    @dataclass(frozen=True)
    class Settings:
        PREFIX: ClassVar[str] = "PURSER_"
        currency: str = "EUR"

    host = make(env | {"PURSER_CURRENCY": "USD"})
    assert host.settings(Settings) is host.settings(Settings)
    assert host.settings(Settings).currency == "USD"


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:x", f"unix:/{'x' * 101}"])
def test_an_address_that_can_not_be_is_an_error(address: str) -> None:
    with pytest.raises(BadSetting, match="FRAMEWORKS_PEER_PERISCOPE_QUERY"):
        peer_address("periscope-query", {"FRAMEWORKS_PEER_PERISCOPE_QUERY": address}, HostSettings())
