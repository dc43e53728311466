"""The POST endpoint: statuses, codes, headers and limits, as the SDK and browsers need them."""

from contextlib import suppress
from typing import Any

import httpx
import pytest
from fixtures_bridge import ALL_SCOPES, INSTANT, TENANT, BridgeFactory, FakeBridge
from hypothesis import given
from hypothesis import strategies as st

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.bridge.transport import request
from frameworks.kit.errors import Forbidden, Limited, Unavailable

SERVER_INFO = {"query": "{ serverInfo { version features } }"}
STREAMS = {"query": "{ streamsConnection { totalCount } }"}


def browser(bridge: FakeBridge, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(bridge.app), base_url="http://bridge", headers=headers
    )


def codes(response: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in response.json()["errors"]]


async def post(bridge: FakeBridge, body: Any, token: str | None = None, **headers: str) -> httpx.Response:
    if token:
        headers["authorization"] = f"Bearer {token}"
    async with browser(bridge, **headers) as client:
        return await client.post("/graphql", json=body)


async def test_both_spellings_of_the_path_answer(make_bridge: BridgeFactory) -> None:
    async with browser(make_bridge()) as client:
        answers = [await client.post(path, json=SERVER_INFO) for path in ("/graphql", "/graphql/")]
    assert [a.status_code for a in answers] == [200, 200]
    assert answers[0].json()["data"]["serverInfo"]["features"]


async def test_get_is_refused_with_a_reason(make_bridge: BridgeFactory) -> None:
    async with browser(make_bridge()) as client:
        answer = await client.get("/graphql?query={serverInfo{version}}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")
    assert "POST" in answer.json()["errors"][0]["message"]


async def test_any_origin_may_ask_but_not_with_cookies(make_bridge: BridgeFactory) -> None:
    headers = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    async with browser(make_bridge(), **headers) as client:
        answer = await client.options("/graphql")
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "x-frameworks-playback-jwt" in allowed
    assert "x-frameworks-csrf" not in allowed
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_document_that_does_not_parse_is_422(make_bridge: BridgeFactory) -> None:
    answer = await post(make_bridge(), {"query": "{"})
    assert (answer.status_code, codes(answer)) == (422, ["GRAPHQL_PARSE_FAILED"])


async def test_a_document_that_does_not_fit_is_422(make_bridge: BridgeFactory) -> None:
    answer = await post(make_bridge(), {"query": "{ nothing }"})
    assert (answer.status_code, codes(answer)) == (422, ["GRAPHQL_VALIDATION_FAILED"])


async def test_a_variable_that_does_not_fit_is_422(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    body = {"query": "query($id: ID!) { stream(id: $id) { id } }", "variables": {"id": {}}}
    answer = await post(bridge, body, bridge.token(*ALL_SCOPES))
    assert (answer.status_code, codes(answer)) == (422, ["GRAPHQL_VALIDATION_FAILED"])


async def test_an_operation_that_is_too_deep_is_refused(make_bridge: BridgeFactory) -> None:
    inner = "stream { refusedIngests { id } }"
    deep = f"analytics {{ lifecycle {{ streamEventsConnection(streamId: 1) {{ edges {{ node {{ {inner} }} }} }} }} }}"
    cost = " ".join(f"a{n}: streamsConnection(page: {{first: 500}}) {{ nodes {{ id }} }}" for n in range(20))
    bridge = make_bridge()
    assert (await post(bridge, {"query": f"{{ {deep} }}"}, bridge.token(*ALL_SCOPES))).status_code == 200
    answer = await post(bridge, {"query": f"{{ {cost} }}"}, bridge.token(*ALL_SCOPES))
    assert (answer.status_code, codes(answer)) == (422, ["COMPLEXITY_LIMIT_EXCEEDED"])


async def test_a_protected_operation_without_a_token_is_401(make_bridge: BridgeFactory) -> None:
    answer = await post(make_bridge(), STREAMS)
    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_bad_token_is_401(make_bridge: BridgeFactory) -> None:
    answer = await post(make_bridge(), STREAMS, "a.b.c")
    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHORIZED"])


async def test_a_public_field_hidden_beside_a_protected_one_needs_a_token(make_bridge: BridgeFactory) -> None:
    both = "query { ...F } fragment F on Query { serverInfo { version } tenant { id } }"
    assert (await post(make_bridge(), {"query": both})).status_code == 401


async def test_a_commodore_that_is_away_is_503(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"ExchangeApiToken": Unavailable("away")})
    answer = await post(bridge, STREAMS, "fw_something")
    assert (answer.status_code, codes(answer)) == (503, ["UNAVAILABLE"])


async def test_a_refused_api_token_is_asked_about_once(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"ExchangeApiToken": Forbidden("revoked")})
    assert [(await post(bridge, STREAMS, "fw_x")).status_code for _ in range(3)] == [401] * 3
    assert [name for name, *_ in bridge.commodore.calls] == ["ExchangeApiToken"]


async def test_an_api_token_acts_as_its_tenant(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={})
    token = bridge.token(*ALL_SCOPES, kind="api_token")
    bridge.commodore.script["ExchangeApiToken"] = pb.AccessToken(token=token, expires_at=INSTANT * 2)
    assert (await post(bridge, STREAMS, "fw_x")).status_code == 200
    name, _, metadata = bridge.commodore.calls[-1]
    assert name == "ListStreams"
    assert dict(metadata)["authorization"] == f"Bearer {token}"


async def test_a_missing_scope_is_forbidden(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    answer = await post(bridge, STREAMS, bridge.token("analytics:read"))
    assert codes(answer) == ["FORBIDDEN"]


async def test_writing_includes_reading(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    assert "errors" not in (await post(bridge, STREAMS, bridge.token("streams:write"))).json()


async def test_only_operators_see_the_pipeline(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    body = {"query": "{ pipelineStatus { liveStreams topics { lag } } }"}
    assert codes(await post(bridge, body, bridge.token(*ALL_SCOPES))) == ["FORBIDDEN"]
    answer = await post(bridge, body, bridge.token(roles=("operator",)))
    assert answer.json()["data"]["pipelineStatus"]["liveStreams"] == 7


async def test_every_caller_may_know_its_own_tenant(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    body = {"query": "{ me { role user { email } tenant { name } } streamingConfig { rtmpPort } }"}
    answer = await post(bridge, body, bridge.token("streams:read", kind="api_token"))
    assert answer.json()["data"]["me"] == {"role": "token", "user": None, "tenant": {"name": "a name"}}
    (call,) = bridge.quartermaster.calls
    assert (call[0], call[1].tenant_id, call[2]) == ("GetTenant", TENANT, None)


async def test_a_bug_shows_an_incident_and_nothing_else(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"ListStreams": ZeroDivisionError("a secret")})
    answer = await post(bridge, STREAMS, bridge.token(*ALL_SCOPES))
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    assert error["extensions"]["incidentId"]
    assert "secret" not in answer.text


async def test_a_peers_refusal_keeps_its_code(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"ListStreams": Limited("slowly", retry_after=3.0)})
    (error,) = (await post(bridge, STREAMS, bridge.token(*ALL_SCOPES))).json()["errors"]
    assert (error["extensions"]["code"], error["extensions"]["retryAfter"]) == ("RATE_LIMITED", 3.0)


async def test_too_many_requests_say_when_to_come_back(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(public_per_minute=60, public_burst=2)
    answers = [await post(bridge, SERVER_INFO) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    last = answers[-1]
    assert last.json()["error"] == "rate_limit_exceeded"
    assert last.headers["retry-after"] == "1"
    assert (last.headers["x-ratelimit-limit"], last.headers["x-ratelimit-remaining"]) == ("60", "0")


async def test_a_body_over_the_limit_is_refused(make_bridge: BridgeFactory) -> None:
    answer = await post(make_bridge(), {"query": "#" * 600_000})
    assert answer.status_code == 413


async def test_the_cookie_counts_only_with_the_header_no_other_site_can_send(
    make_bridge: BridgeFactory,
) -> None:
    bridge = make_bridge()
    cookie = f"fw_access={bridge.token(*ALL_SCOPES)}"
    assert (await post(bridge, STREAMS, cookie=cookie)).status_code == 401
    headers = {"cookie": cookie, "x-frameworks-csrf": "1"}
    assert (await post(bridge, STREAMS, **headers)).status_code == 200


async def test_the_modern_media_type_is_answered_in_kind(make_bridge: BridgeFactory) -> None:
    wanted = "application/graphql-response+json, application/json"
    answer = await post(make_bridge(), SERVER_INFO, accept=wanted)
    assert answer.headers["content-type"].startswith("application/graphql-response+json")
    plain = await post(make_bridge(), SERVER_INFO, accept="*/*")
    assert plain.headers["content-type"].startswith("application/json")


async def test_a_subscription_over_http_is_refused(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    body = {"query": "subscription { liveSystemHealth { node } }"}
    answer = await post(bridge, body, bridge.token(*ALL_SCOPES))
    assert (answer.status_code, "socket" in answer.text) == (422, True)


async def test_rows_that_share_a_stream_look_it_up_once(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    events = (
        "streamEventsConnection(streamId: $id) { nodes { stream { name } } edges { node { stream { id } } } }"
    )
    body = {
        "query": f"query($id: ID!) {{ analytics {{ lifecycle {{ {events} }} }} }}",
        "variables": {"id": "01890000-0000-7000-8000-000000000001"},
    }
    await post(bridge, body, bridge.token(*ALL_SCOPES))
    assert [name for name, *_ in bridge.commodore.calls] == ["GetStreams"]


@pytest.mark.parametrize(
    ("method", "content_type", "status"),
    [("GET", "", 405), ("POST", "text/plain", 415), ("POST", "application/json; charset=latin-1", 415)],
)
def test_what_is_not_a_post_of_json_is_refused(method: str, content_type: str, status: int) -> None:
    with pytest.raises(request.Refused) as refused:
        request.check_head(method, content_type)
    assert refused.value.status == status


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    with suppress(request.Refused):
        assert isinstance(request.decode(body).query, str)


def test_a_body_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(request.Refused):
        request.decode(b"[" * 100_000)
