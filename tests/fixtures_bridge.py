"""Bridge with peers that answer every call from their protos, and a real Bridge on a free port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.types import ASGIApp

from frameworks.contracts.pb import (
    commodore_v1_pb2,
    events_v1_pb2,
    foghorn_v1_pb2,
    periscope_v1_pb2,
    quartermaster_v1_pb2,
    signalman_v1_pb2,
)
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.control.bridge import module
from frameworks.control.bridge.config import Settings
from frameworks.control.bridge.peers import Peers
from frameworks.kit.clock import SystemClock, micros
from frameworks.kit.host.listeners import Listener
from frameworks.kit.identity import Identity, TrustStore, Verifier

STREAM = "01890000-0000-7000-8000-000000000001"
TENANT = "01890000-0000-7000-8000-0000000000aa"
INSTANT = micros(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))
ALL_SCOPES = (
    "streams:read",
    "streams:write",
    "analytics:read",
    "developer:read",
    "developer:write",
    "infrastructure:read",
    "infrastructure:write",
)
WORDS = {"id": STREAM, "stream_id": STREAM, "tenant_id": TENANT, "state": "live", "visibility": "public"}
WORDS |= {"event_id": STREAM, "json": '{"keys": []}', "buffer_state": "FULL", "previous_state": "FULL"}


def _text(message: str, name: str) -> str:
    if name == "state" and message in ("BufferEvent", "Rebuffering", "StreamBuffer"):
        return "DRY"
    return WORDS.get(name, f"a {name}")


def _scalar(message: str, spec: Any) -> Any:
    if spec.type == FieldDescriptor.TYPE_STRING:
        return _text(message, spec.name)
    if spec.type == FieldDescriptor.TYPE_BYTES:
        return bytes(16)
    if spec.type == FieldDescriptor.TYPE_BOOL:
        return True
    if spec.type == FieldDescriptor.TYPE_FIXED64:
        return INSTANT
    if spec.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return 1.5
    return 7


def sample(kind: type[Message], depth: int = 0) -> Any:
    """A message with a plausible value in every field."""
    message = kind()
    if depth > 4:
        return message
    for spec in kind.DESCRIPTOR.fields:
        if spec.message_type is not None and spec.message_type.GetOptions().map_entry:
            number = spec.message_type.fields_by_name["value"].type != FieldDescriptor.TYPE_STRING
            getattr(message, spec.name)["HLS"] = 1 if number else "http://localhost/hls"
        elif spec.message_type is not None:
            inner = sample(GetMessageClass(cast("Any", spec.message_type)), depth + 1)
            if spec.is_repeated:
                getattr(message, spec.name).append(inner)
            else:
                getattr(message, spec.name).CopyFrom(inner)
        elif spec.is_repeated:
            getattr(message, spec.name).append(_scalar(kind.DESCRIPTOR.name, spec))
        else:
            setattr(message, spec.name, _scalar(kind.DESCRIPTOR.name, spec))
    return message


Script = dict[str, Any]
"""Method name → the answer, or the fault to raise, or a function of the request."""


@dataclass
class FakePeer:
    """Answers each method of a service from `script`, else with a sample or an empty message."""

    service: ServiceDescriptor
    full: bool
    script: Script
    calls: list[tuple[str, Any, Any]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = self.service.methods_by_name.get(name)
        if method is None:
            raise AttributeError(name)
        kind = GetMessageClass(cast("Any", method.output_type))

        async def answer(request: Any, metadata: Any = None) -> Any:
            self.calls.append((name, request, metadata))
            found = self.script.get(name)
            if callable(found):
                found = found(request)
            if isinstance(found, Exception):
                raise found
            return found if found is not None else (sample(kind) if self.full else kind())

        return answer


@dataclass
class FakeStream:
    """One frame of each type asked for, then silence until it is cancelled."""

    types: list[str]
    cancelled: bool = False

    async def __aiter__(self) -> AsyncIterator[Any]:
        for name in self.types:
            kind = EVENT_TYPES[name]
            event = events_v1_pb2.Event(
                event_id=bytes(16), type=name, occurred_at=INSTANT, stream_id=bytes(16), node_id="n1"
            )
            data = getattr(event, kind.field)
            data.CopyFrom(sample(type(data)))
            yield signalman_v1_pb2.Frame(channel=kind.channel, event=event.SerializeToString())
        await asyncio.Event().wait()

    def cancel(self) -> bool:
        """Remember that nobody listens any more."""
        self.cancelled = True
        return True


@dataclass
class FakeSignalman:
    """Remembers its subscribers."""

    calls: list[Any] = field(default_factory=list)
    streams: list[FakeStream] = field(default_factory=list)

    def Subscribe(self, request: Any, metadata: Any = None) -> FakeStream:
        """Open a stream."""
        self.calls.append((request, metadata))
        self.streams.append(FakeStream(list(request.event_types)))
        return self.streams[-1]


@dataclass
class FakeBridge:
    """An application over fake peers, and the key its users' tokens are signed with."""

    app: ASGIApp
    identity: Identity
    commodore: FakePeer
    quartermaster: FakePeer
    periscope: FakePeer
    foghorn: FakePeer
    signalman: FakeSignalman
    peers: Peers

    def token(self, *scopes: str, kind: str = "user", roles: tuple[str, ...] = ()) -> str:
        """A user token with `scopes`."""
        claims = {
            "sub": STREAM,
            "aud": "frameworks",
            "kind": kind,
            "tenant": TENANT,
            "scopes": list(scopes),
            "roles": list(roles),
        }
        return self.identity.sign(claims, typ="user", lifetime=timedelta(minutes=15))


BridgeFactory = Callable[..., FakeBridge]


def _stream_batch(request: Any) -> Any:
    streams = [sample(commodore_v1_pb2.Stream) for _ in request.ids]
    for stream, identity in zip(streams, request.ids, strict=True):
        stream.id = identity
    return commodore_v1_pb2.Streams(streams=streams)


@pytest.fixture(scope="session")
def bridge_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrustStore, Path]:
    """Trust in a Commodore that signs user tokens."""
    directory = tmp_path_factory.mktemp("keys")
    store = TrustStore(directory)
    store.register("commodore")
    return store, directory


@pytest.fixture
def make_bridge(bridge_keys: tuple[TrustStore, Path]) -> BridgeFactory:
    """Builds a Bridge over fake peers; `full=False` makes them answer with empty messages."""
    store, _ = bridge_keys
    clock = SystemClock()

    def make(*, full: bool = True, script: Mapping[str, Any] | None = None, **settings: Any) -> FakeBridge:
        answers = {"GetStreams": _stream_batch} | dict(script or {}) if full else dict(script or {})

        def peer(file: Any, name: str) -> FakePeer:
            return FakePeer(file.DESCRIPTOR.services_by_name[f"{name}Service"], full, answers)

        commodore = peer(commodore_v1_pb2, "Commodore")
        quartermaster = peer(quartermaster_v1_pb2, "Quartermaster")
        periscope = peer(periscope_v1_pb2, "Periscope")
        foghorn = peer(foghorn_v1_pb2, "Foghorn")
        signalman = FakeSignalman()
        peers = cast("Any", Peers)(commodore, quartermaster, periscope, foghorn, signalman)
        limits = {"public_per_minute": 6000, "public_burst": 1000, **settings}
        app = module.application(Settings(**limits), peers, Verifier(store, clock), clock)
        identity = Identity("commodore", store.private_key("commodore"), clock)
        return FakeBridge(app, identity, commodore, quartermaster, periscope, foghorn, signalman, peers)

    return make


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """`app` on a free port; yields host and port."""
    failures: list[str] = []
    listener = Listener(app, "bridge", "127.0.0.1", 0, "BRIDGE_PORT")
    listener.bind()
    listener.start(1, failures.append)
    try:
        yield f"127.0.0.1:{listener.port}"
    finally:
        await listener.stop()
    assert failures == []
