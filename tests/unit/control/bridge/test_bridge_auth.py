"""The REST door: cookies, proof of origin, and refusals in JSON."""

from typing import Any

import httpx
import pytest
from fixtures_bridge import ALL_SCOPES, BridgeFactory, FakeBridge

from frameworks.control.bridge.api.auth import HANDLERS
from frameworks.kit.errors import Limited, Unauthenticated

LOGIN = {"email": "ada@example.org", "password": "correct horse"}


async def call(
    bridge: FakeBridge, path: str, body: Any = None, *, base: str = "http://bridge", **headers: str
) -> httpx.Response:
    transport = httpx.ASGITransport(bridge.app)
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
        method = HANDLERS[path][0]
        return await client.request(method, f"/auth/{path}", json=body if method == "POST" else None)


async def test_signing_in_sets_cookies_no_script_can_read(make_bridge: BridgeFactory) -> None:
    answer = await call(make_bridge(), "login", LOGIN)
    cookies = answer.headers.get_list("set-cookie")
    assert answer.json()["user"]["email"]
    assert [c.split("=")[0] for c in cookies] == ["fw_access", "fw_refresh"]
    assert all("HttpOnly" in c and "SameSite=lax" in c and "Secure" not in c for c in cookies)
    assert "Path=/auth" in cookies[1]
    assert answer.headers["cache-control"] == "no-store"


async def test_over_tls_the_cookies_stay_on_tls(make_bridge: BridgeFactory) -> None:
    answer = await call(make_bridge(), "login", LOGIN, base="https://bridge")
    assert all("Secure" in c for c in answer.headers.get_list("set-cookie"))


async def test_the_password_is_forwarded_with_a_hash_of_the_client(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    await call(bridge, "login", LOGIN)
    name, request, metadata = bridge.commodore.calls[-1]
    assert (name, request.password, metadata) == ("SignIn", "correct horse", None)
    assert len(request.client) == 32


async def test_a_refusal_is_json_with_a_status(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"SignIn": Unauthenticated("Wrong e-mail or password.")})
    answer = await call(bridge, "login", LOGIN)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")


async def test_a_limit_says_when_to_come_back(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge(script={"SignIn": Limited("Slowly.", retry_after=12.0)})
    answer = await call(bridge, "login", LOGIN)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "12")


async def test_the_refresh_cookie_counts_only_with_the_csrf_header(make_bridge: BridgeFactory) -> None:
    bridge = make_bridge()
    assert (await call(bridge, "refresh", {}, cookie="fw_refresh=r")).status_code == 401
    headers = {"cookie": "fw_refresh=r", "x-frameworks-csrf": "1"}
    assert (await call(bridge, "refresh", {}, **headers)).status_code == 200
    assert bridge.commodore.calls[-1][1].refresh_token == "r"


async def test_signing_out_clears_the_cookies(make_bridge: BridgeFactory) -> None:
    answer = await call(make_bridge(), "logout", {"refreshToken": "r"})
    assert all("Max-Age=0" in c for c in answer.headers.get_list("set-cookie"))


async def test_a_form_of_another_site_is_refused(make_bridge: BridgeFactory) -> None:
    transport = httpx.ASGITransport(make_bridge().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as client:
        answer = await client.post("/auth/login", data=LOGIN)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["me", "change-password", "change-email", "sign-out-everywhere", "delete-account"]
)
async def test_what_is_the_users_needs_a_user(make_bridge: BridgeFactory, path: str) -> None:
    assert (await call(make_bridge(), path, {})).status_code == 401


@pytest.mark.parametrize("path", sorted(HANDLERS))
async def test_every_route_answers(make_bridge: BridgeFactory, path: str) -> None:
    bridge = make_bridge()
    names = ("email", "password", "token", "refreshToken", "currentPassword", "newPassword", "newEmail")
    body = dict.fromkeys(names, "x")
    answer = await call(bridge, path, body, authorization=f"Bearer {bridge.token(*ALL_SCOPES)}")
    assert answer.status_code == 200, answer.text


async def test_the_keys_are_published(make_bridge: BridgeFactory) -> None:
    transport = httpx.ASGITransport(make_bridge().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as client:
        answer = await client.get("/auth/.well-known/jwks.json")
    assert answer.json() == {"keys": []}
