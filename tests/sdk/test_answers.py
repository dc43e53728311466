"""Every answered operation runs against peers that speak the protos, and the SDK's own models accept the answers."""

from contextlib import aclosing
from typing import Any

import httpx
import pytest
from fixtures_bridge import ALL_SCOPES, BridgeFactory, FakeBridge
from fixtures_sdk import SdkOperation

from frameworks.control.bridge.api import schema as schemas
from frameworks.control.bridge.api.context import Context
from frameworks.control.bridge.config import Settings
from frameworks.control.bridge.domain import Caller
from frameworks.control.bridge.transport.execution import Execution
from frameworks.control.bridge.transport.request import Request
from frameworks.kit.clock import SystemClock
from frameworks.kit.identity import Principal, PrincipalKind

SCHEMA = schemas.build()


async def ask(bridge: FakeBridge, operation: SdkOperation) -> dict[str, Any]:
    transport = httpx.ASGITransport(bridge.app)
    headers = {"authorization": f"Bearer {bridge.token(*ALL_SCOPES)}"}
    body = {
        "query": operation.text,
        "operationName": operation.name,
        "variables": operation.variables(SCHEMA),
    }
    async with httpx.AsyncClient(transport=transport, base_url="http://bridge", headers=headers) as client:
        response = await client.post("/graphql", json=body)
    content: dict[str, Any] = response.json()
    return content


@pytest.mark.parametrize("full", [True, False])
async def test_the_sdk_accepts_every_answer(
    make_bridge: BridgeFactory, answered: list[str], sdk_operations: dict[str, SdkOperation], full: bool
) -> None:
    bridge = make_bridge(full=full)
    # Without a playable stream or a node these two have nothing to say but an error, which has its own tests.
    silent = set() if full else {"ResolveViewerEndpoint", "ResolveIngestEndpoint"}
    for name in answered:
        operation = sdk_operations[name]
        if operation.kind == "subscription" or name in silent:
            continue
        answer = await ask(bridge, operation)
        assert "errors" not in answer, (name, answer)
        operation.model.model_validate(answer["data"])


async def test_the_sdk_accepts_every_live_result(
    make_bridge: BridgeFactory, answered: list[str], sdk_operations: dict[str, SdkOperation]
) -> None:
    bridge = make_bridge()
    caller = Caller(Principal(PrincipalKind.USER, "u", scopes=frozenset(ALL_SCOPES)), "token")
    clock = SystemClock()
    execution = Execution(
        SCHEMA, public=frozenset(), context=lambda who: Context(who, bridge.peers, Settings(), clock)
    )
    for name in answered:
        operation = sdk_operations[name]
        if operation.kind != "subscription":
            continue
        request = Request(operation.text, operation.variables(SCHEMA), name)
        results = execution.stream(execution.prepare(request, caller), request, caller)
        async with aclosing(results):
            body = await anext(results)
        assert "errors" not in body, (name, body)
        operation.model.model_validate(body["data"])
    assert len(bridge.signalman.streams) == 6
    assert all(stream.cancelled for stream in bridge.signalman.streams)
