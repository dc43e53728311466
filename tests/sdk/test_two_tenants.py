"""Tenant B asks every door of the platform for what is tenant A's, by A's own identifiers, and gets nothing of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import httpx
import pytest
from fixtures_bridge import ALL_SCOPES, BridgeFactory
from fixtures_edge import Edge, Metadata, bearer
from fixtures_http import http_client
from fixtures_platform import Platform, Tenant
from fixtures_surfaces import DEMO, HTTP, PUBLIC, rpc_methods, rpc_path
from fixtures_two_tenants import (
    NO_SECRET,
    GraphqlCall,
    Victim,
    graphql_calls,
    make_victim,
    numbers,
    request_of,
)
from google.protobuf import text_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from graphql import build_schema
from livepeer_frameworks import AsyncFrameWorksClient

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.permissions import RPC
from frameworks.control.bridge.api.access import ACCESS
from frameworks.control.bridge.api.schema import read_sdl
from frameworks.kit.errors import Fault, Kind

SCHEMA = build_schema(read_sdl())
REFUSED = frozenset(
    {"NOT_FOUND", "FORBIDDEN", "UNAUTHORIZED", "VALIDATION_ERROR", "FAILED_PRECONDITION", "CONFLICT"}
) | {
    "STREAM_OFFLINE",
    "STREAM_STARTING",
}
"""Codes of an answer that gives nothing; anything else is a call that did not get as far as a rule."""
ASKERS_OWN = ("infra.serviceInstances", "usage.api.")
"""Analytics in which B finds numbers of its own: the services it may see, and what it asks in this very walk."""
FAULTS = frozenset({Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.INTERNAL})
NOT_COUNTS = ("first", "points", "stepSeconds", "bucketWidthS")
PATIENCE = 60.0
"""Seconds for one answer: what is said is looked at, not how fast, on a machine that does other things too."""
LAST = ("SignOutEverywhere", "DeleteAccount")
"""They end B's own session: B asks them after all others."""


@dataclass
class World:
    """A, whose things are asked for, and B, who asks; B has a node of its own."""

    platform: Platform
    a: Victim
    b: Tenant
    b_edge: Edge
    http: httpx.AsyncClient

    async def ask(self, token: str, call: GraphqlCall) -> Any:
        """The answer to an operation."""
        answer = await self.http.post(
            f"{self.platform.url('front')}/graphql",
            json={"query": call.document, "variables": call.variables},
            headers={"authorization": f"Bearer {token}"},
        )
        return answer.json()

    async def ask_all(self, token: str, wanted: Sequence[GraphqlCall]) -> list[Any]:
        """The answers to many operations, a few at a time."""
        room = asyncio.Semaphore(6)

        async def one(call: GraphqlCall) -> Any:
            async with room:
                return await self.ask(token, call)

        return list(await asyncio.gather(*map(one, wanted)))


@pytest.fixture(scope="module")
async def world(platform: Platform) -> AsyncIterator[World]:
    """Both tenants, made once."""
    b = await platform.tenant()
    victim, edge = await make_victim(platform), await Edge.join(platform, b, name="B's cluster")
    async with http_client(timeout=20) as http:
        yield World(platform, victim, b, edge, http)


def wrongs(victim: Victim, call: GraphqlCall, answer: Any) -> list[str]:
    """What is wrong with the answer a stranger gets: the one checker of real and planted answers."""
    text = json.dumps(answer)
    found = [f"{call.path} shows {marker!r}" for marker in sorted(victim.leaks(text, call.text))]
    for error in answer.get("errors", ()):
        code = error.get("extensions", {}).get("code")
        if code not in REFUSED:
            found.append(f"{call.path} failed with {code}: {error.get('message')}")
    if call.path.startswith("analytics.") and not any(own in call.path for own in ASKERS_OWN):
        seen = [f"{where} = {n}" for where, n in numbers(answer.get("data") or {}) if n]
        found += [f"{call.path}: {s}" for s in seen if not s.split(" ")[0].endswith(NOT_COUNTS)]
    return found


def calls(victim: Victim, *kinds: str) -> list[GraphqlCall]:
    """The walk of the schema's roots."""
    return [call for call in graphql_calls(SCHEMA, victim) if call.kind in kinds]


async def test_no_query_shows_another_tenants_things(world: World) -> None:
    asked = calls(world.a, "query")
    answers = await world.ask_all(world.b.access_token, asked)
    assert [
        w for call, answer in zip(asked, answers, strict=True) for w in wrongs(world.a, call, answer)
    ] == []


async def test_the_walk_finds_plenty_when_the_owner_asks(world: World) -> None:
    """The same questions have answers: else silence would prove nothing."""
    asked = calls(world.a, "query")
    answers = await world.ask_all(world.a.tenant.access_token, asked)
    told = zip(asked, map(json.dumps, answers), strict=True)
    telling = {call.path for call, answer in told if world.a.leaks(answer, call.text)}
    assert len(telling) >= 25, sorted(telling)


async def test_no_mutation_shows_or_changes_another_tenants_things(world: World) -> None:
    owned = [call for call in calls(world.a, "query") if call.path.split(".")[0] in UNCHANGED]
    before = await world.ask_all(world.a.tenant.access_token, owned)
    found: list[str] = []
    for call in calls(world.a, "mutation"):
        found += wrongs(world.a, call, await world.ask(world.b.access_token, call))
    assert found == []
    assert await world.ask_all(world.a.tenant.access_token, owned) == before


UNCHANGED = (
    "stream",
    "streamsConnection",
    "streamKeysConnection",
    "tenant",
    "cluster",
    "developerTokensConnection",
)


def test_the_walk_asks_every_field_that_has_a_rule(world: World) -> None:
    walked = {call.path.split(".")[0] for call in graphql_calls(SCHEMA, world.a)}
    assert walked == {
        n.partition(".")[2] for n in ACCESS if n.startswith(("Query.", "Mutation.", "Subscription."))
    }


async def test_a_planted_leak_is_caught(world: World, make_bridge: BridgeFactory) -> None:
    """A Commodore that forgets the tenant: the checker that found nothing wrong above finds this."""

    def leak(request: Any) -> Any:
        return commodore.Streams(
            streams=[
                commodore.Stream(id=i, title=f"{world.a.mark} stream", playback_id="p") for i in request.ids
            ]
        )

    bridge = make_bridge(full=False, script={"GetStreams": leak})

    (call, *_) = [c for c in calls(world.a, "query") if c.path == "stream"]
    headers = {"authorization": f"Bearer {bridge.token(*ALL_SCOPES)}"}
    transport = httpx.ASGITransport(bridge.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bridge", headers=headers) as http:
        answer = await http.post("/graphql", json={"query": call.document, "variables": dict(call.variables)})
    assert f"stream shows {world.a.mark!r}" in wrongs(world.a, call, answer.json())


def stub_of(platform: Platform, method: MethodDescriptor) -> Any:
    """The stub of a method's service."""
    service = method.containing_service
    name = service.full_name.split(".")[1]
    made = getattr(import_module(f"frameworks.contracts.pb.{name}_v1_pb2_grpc"), f"{service.name}Stub")
    return platform.host.peer(made, service="cli")


async def told(world: World, method: MethodDescriptor, request: Any, credential: Metadata) -> str:
    """What a call answers, as text: messages, or the sort and words of its refusal."""
    call = getattr(stub_of(world.platform, method), method.name)
    asked = [request] if method.client_streaming else request
    said: list[str] = []
    try:
        if not method.server_streaming:
            answered = await call(asked, metadata=credential, timeout=PATIENCE)
            return str(text_format.MessageToString(answered, as_utf8=True))
        made = call(asked, metadata=credential)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                async for message in made:
                    said.append(str(message))
        made.cancel()
    except Fault as fault:
        if fault.kind in FAULTS:
            raise
        said.append(f"{fault.kind} {fault.message}")
    return "\n".join(said)


async def test_no_method_answers_another_tenant_or_its_node(world: World) -> None:
    found: list[str] = []
    methods = sorted(rpc_methods(), key=lambda m: m.name in LAST)
    for method in methods:
        assert rpc_path(method) in RPC, f"{rpc_path(method)} has no rule"
        request = request_of(GetMessageClass(method.input_type), world.a)
        asked = text_format.MessageToString(request, as_utf8=True)
        service = method.containing_service.full_name.split(".")[1]
        for who, credential in (
            ("user", bearer(world.b.access_token)),
            ("node", world.b_edge.credential(service)),
        ):
            answer = await told(world, method, request, credential)
            found += [f"{rpc_path(method)} shows a {who} {m!r}" for m in world.a.leaks(answer, asked)]
    assert found == []


PORTS = {
    "bridge": "bridge",
    "console": "front",
    "foghorn": "foghorn",
    "mailbox": "mailbox",
    "kit": "app_admin",
}


async def test_no_route_shows_another_tenants_things(world: World) -> None:
    """A playback id is public with its title, and nothing else of its tenant is."""
    found: list[str] = []
    for name, rule in HTTP.items():
        if rule == DEMO or name.endswith("/ws"):
            continue
        service, _, route = name.partition(" ")
        path = route.replace("{playback_id}", world.a.stream.playback_id)
        path = path.replace("{path:path}", f"streams/{world.a.stream.id}")
        for method in ("GET", "POST"):
            answer = await _knock(world, method, f"{world.platform.url(PORTS[service])}{path}")
            assert answer.status_code < 500, (method, name, answer.text)
            leaks = world.a.leaks(answer.text, f"{path}{_body(world)}")
            if rule == PUBLIC and "playback_id" in route:
                leaks -= {world.a.mark}
            found += [f"{method} {name} shows {marker!r}" for marker in leaks]
    assert found == []


def _body(world: World) -> str:
    secrets = dict.fromkeys(
        ("password", "currentPassword", "newPassword", "token", "refreshToken", "proof"), NO_SECRET
    )
    me = "{ me { user { email } tenant { name } } streamsConnection { nodes { name } } }"
    return json.dumps(
        secrets | {"email": world.a.tenant.email, "newEmail": world.a.tenant.email, "query": me}
    )


async def _knock(world: World, method: str, url: str) -> httpx.Response:
    headers = {
        "authorization": f"Bearer {world.b.access_token}",
        "content-type": "application/json",
        "accept": "application/json",
    }
    async with http_client(timeout=20, headers=headers) as http:
        return await http.request(method, url, content=_body(world) if method == "POST" else None)


async def test_no_subscription_carries_another_tenants_changes(world: World) -> None:
    """All are asked for, an operator's too, while A's node changes; B's own change, made later, is the fence."""
    fresh = await world.platform.tenant()
    fence = await Edge.join(world.platform, fresh)
    heard: list[str] = []
    fenced = asyncio.Event()

    async def listen(call: GraphqlCall) -> None:
        async with AsyncFrameWorksClient(url=fresh.graphql_url, token=fresh.api_token) as fw:
            try:
                async for data in fw.execute_ws(
                    call.document, operation_name="Walk", variables=dict(call.variables)
                ):
                    heard.append(json.dumps(data))
                    if fence.node_id in heard[-1]:
                        fenced.set()
            except Exception as refusal:  # noqa: BLE001 - a refusal is an answer too, whatever the SDK calls it
                heard.append(str(refusal))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(listen(call)) for call in calls(world.a, "subscription")]
        async with asyncio.timeout(40):
            while not fenced.is_set():
                await world.a.edge.publish(
                    world.a.edge.event(
                        "node-lifecycle", events.NodeLifecycle(state="up", version=world.a.mark)
                    )
                )
                await fence.publish(fence.event("node-lifecycle", events.NodeLifecycle(state="up")))
                with suppress(TimeoutError):
                    await asyncio.wait_for(fenced.wait(), 0.5)
        for task in tasks:
            task.cancel()
    assert world.a.leaks("\n".join(heard)) == set()
