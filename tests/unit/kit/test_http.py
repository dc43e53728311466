"""What every listener does around its application."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from frameworks.kit import http, log
from frameworks.kit.errors import CODES, Kind, Limited, NotFound, Refusal, Unauthenticated, Unavailable
from frameworks.kit.http import Cors, Policy, application, protect


async def nothing() -> Any:
    """A client that sends nothing more."""
    return {"type": "http.disconnect"}


async def endpoint(request: Request) -> Response:
    """Do what the path says."""
    match request.path_params["what"]:
        case "missing":
            raise NotFound("There is no such stream.", stream_key="sk_secret")
        case "busy":
            raise Limited("Slow down.", retry_after=3)
        case "away":
            raise Unavailable("The engine is away.")
        case "anonymous":
            raise Unauthenticated("Sign in.")
        case "bug":
            raise KeyError("/etc/secret")
        case "body":
            return Response(str(len(await request.body())))
        case "scheme":
            return Response(request.url.scheme)
    return Response("fine")


def client(policy: Policy | None = None, app: Any = None) -> httpx.AsyncClient:
    """A client of the application under test."""
    policy = policy or Policy(service="foghorn", max_body=100)
    routes = [Route("/do/{what}", endpoint, methods=["GET", "POST"])]
    made = application(routes, policy) if app is None else protect(app, policy)
    return httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://test")


@pytest.fixture(autouse=True)
def logged() -> io.StringIO:
    """What the listener logs."""
    stream = io.StringIO()
    log.setup(stream=stream)
    return stream


@pytest.mark.parametrize(
    ("what", "status", "error", "code"),
    [
        ("missing", 404, "missing", "not_found"),
        ("busy", 429, "limited", "limited"),
        ("away", 503, "unavailable", "unavailable"),
        ("anonymous", 401, "unauthenticated", "auth.required"),
    ],
)
async def test_a_fault_is_told_as_json(what: str, status: int, error: str, code: str) -> None:
    answer = await client().get(f"/do/{what}", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    body = answer.json()
    assert answer.status_code == status
    assert (body["error"], body["code"], body["trace"]) == (error, code, "a" * 32)
    assert "sk_secret" not in answer.text


async def test_when_waiting_helps_the_client_is_told_how_long() -> None:
    assert (await client().get("/do/busy")).headers["retry-after"] == "3"


async def test_a_bug_is_hidden_behind_an_incident(logged: io.StringIO) -> None:
    answer = await client().get("/do/bug")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    line = next(line for line in map(json.loads, logged.getvalue().splitlines()) if "incident" in line)
    assert line["incident"] in answer.json()["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/do/x", 405)])
async def test_what_is_not_routed_is_told_as_json_too(method: str, path: str, status: int) -> None:
    answer = await client().request(method, path)
    assert answer.status_code == status
    assert answer.json()["code"] == f"http.{status}"


async def test_a_body_over_the_limit_is_refused() -> None:
    assert (await client().post("/do/body", content=b"x" * 100)).text == "100"
    answer = await client().post("/do/body", content=b"x" * 101)
    assert (answer.status_code, answer.json()["code"]) == (413, "http.too_large")


async def test_a_body_that_does_not_say_its_length_is_counted() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 10

    assert (await client().post("/do/body", content=chunks())).status_code == 413


async def test_security_headers_are_sent_and_can_be_replaced() -> None:
    answer = await client(Policy(service="console", headers={"X-Frame-Options": "SAMEORIGIN"})).get("/do/x")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert "strict-transport-security" not in answer.headers


async def test_a_stranger_can_not_pretend_to_have_come_by_https() -> None:
    assert (await client().get("/do/scheme", headers={"x-forwarded-proto": "https"})).text == "http"


async def test_a_listed_origin_may_call_and_others_not() -> None:
    policy = Policy(service="bridge", cors=Cors(origins=frozenset({"https://app.example"}), credentials=True))
    asked = {"access-control-request-method": "POST"}
    listed = await client(policy).options("/do/x", headers={"origin": "https://app.example", **asked})
    other = await client(policy).options("/do/x", headers={"origin": "https://evil.example", **asked})
    plain = await client(policy).get("/do/x", headers={"origin": "https://app.example"})
    assert (listed.status_code, other.status_code) == (204, 403)
    assert listed.headers["access-control-allow-origin"] == "https://app.example"
    assert plain.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in other.headers


def test_any_origin_never_comes_with_credentials() -> None:
    assert Cors(origins=frozenset({"*"}), credentials=True).allowed("https://evil.example") == {}


async def test_a_request_is_one_line_that_names_the_route_and_not_the_path(logged: io.StringIO) -> None:
    await client().get("/do/sk_secret?token=hunter2")
    (line,) = map(json.loads, logged.getvalue().splitlines())
    assert (line["event"], line["route"], line["status"], line["service"]) == (
        "request.served",
        "/do/{what}",
        200,
        "foghorn",
    )
    assert "sk_secret" not in logged.getvalue()
    assert "hunter2" not in logged.getvalue()


async def test_a_response_that_breaks_midway_is_logged_and_not_completed(logged: io.StringIO) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("x")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": [], "scheme": "http"}
    await protect(app, Policy(service="mist"))(scope, nothing, send)
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert "response.broken" in logged.getvalue()


async def test_a_fault_closes_a_websocket_with_its_code() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotFound("No.")

    async def send(message: Any) -> None:
        sent.append(message)

    await protect(app, Policy(service="signalman"))(
        {"type": "websocket", "headers": [], "scheme": "ws"}, nothing, send
    )
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "not_found"}]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_response(kind: Kind) -> None:
    fault = type("Some", (Refusal,), {"kind": kind})("No.")
    assert http.fault_response(fault).status_code == CODES[kind].http


async def test_a_websocket_that_the_application_ignores_is_refused() -> None:
    sent: list[Any] = []

    async def ignores(scope: Any, receive: Any, send: Any) -> None:
        pass

    async def send(message: Any) -> None:
        sent.append(message)

    await protect(ignores, Policy(service="foghorn"))(
        {"type": "websocket", "headers": [], "scheme": "ws"}, nothing, send
    )
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "http.no_websocket"}]


async def test_a_page_that_says_who_may_frame_it_is_believed() -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        headers = {"content-security-policy": "default-src 'self'; frame-ancestors *"}
        await Response("page", headers=headers)(scope, receive, send)

    answer = await client(app=page).get("/")
    assert "x-frame-options" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
