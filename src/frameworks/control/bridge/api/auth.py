"""REST door to accounts: `/auth/*` in front of Commodore; cookies for the console, bearer tokens for others."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.bridge.api.context import forwarded
from frameworks.control.bridge.api.gate import Gate
from frameworks.control.bridge.domain import Caller
from frameworks.control.bridge.peers import Peers
from frameworks.control.bridge.transport import credentials
from frameworks.control.bridge.transport.credentials import ACCESS_COOKIE, CSRF_HEADER, REFRESH_COOKIE
from frameworks.control.bridge.transport.ratelimit import Buckets
from frameworks.kit import log
from frameworks.kit.clock import from_micros, uuid7
from frameworks.kit.errors import CODES, Fault, Kind, Limited, Refusal, Unauthenticated

MAX_BODY = 64 * 1024

_encode = msgspec.json.Encoder().encode
_log = log.get("bridge")

Row = dict[str, Any]


class BadBody(Refusal):
    """A body that is no JSON object, or lacks a field."""

    code = "auth.bad_body"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the door: its fields, its caller, and how to answer a session."""

    fields: Row
    caller: Caller
    client: str
    """A hash of the client's address, for Commodore's limits."""
    refresh_cookie: str | None

    def text(self, name: str, *, default: str | None = None, longest: int = 1024) -> str:
        """The field `name`; raises BadBody."""
        value = self.fields.get(name, default)
        if not isinstance(value, str) or len(value) > longest:
            raise BadBody(f"`{name}` must be text of at most {longest} characters.", field=name)
        return value


Answer = Row | pb.Session | None
Handler = Callable[["AuthDoor", Asked], Awaitable[Answer]]


class AuthDoor:
    """The routes under /auth."""

    def __init__(self, peers: Peers, gate: Gate, limit: Buckets, *, secure: bool) -> None:
        self.peers = peers
        self._gate = gate
        self._limit = limit
        self._secure = secure

    def routes(self) -> list[Route]:
        """Routes to mount at the root."""
        found = [
            Route("/.well-known/jwks.json", self._jwks, methods=["GET"]),
            Route("/auth/.well-known/jwks.json", self._jwks, methods=["GET"]),
        ]
        for path, (method, handler) in HANDLERS.items():
            found.append(Route(f"/auth/{path}", self._endpoint(handler), methods=[method]))
        return found

    def _endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                asked = await self._read(request)
                found = await handler(self, asked)
            except Fault as fault:
                return refused(fault)
            except Exception as error:  # noqa: BLE001 - the door answers in JSON whatever broke behind it
                return broken(error)
            return self._written(request, found, leaving=handler in LEAVING)

        return answer

    async def _jwks(self, _: Request) -> Response:
        try:
            found = await self.peers.commodore.GetKeySet(pb.GetKeySetRequest())
        except Fault as fault:
            return refused(fault)
        headers = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}
        return Response(found.json, headers=headers, media_type="application/json")

    async def _read(self, request: Request) -> Asked:
        address = request.client.host if request.client else ""
        verdict = self._limit.take(f"ip:{address}")
        if not verdict.passes:
            raise Limited("Too many requests; try again in a moment.", retry_after=verdict.retry_after)
        caller = await self._gate.authenticate(
            credentials.of_request(request.headers, request.cookies, address)
        )
        fields = await read_fields(request) if request.method == "POST" else {}
        trusted = bool(request.headers.get(CSRF_HEADER))
        cookie = request.cookies.get(REFRESH_COOKIE) if trusted else None
        return Asked(fields, caller, hashlib.sha256(address.encode()).hexdigest()[:32], cookie)

    def _written(self, request: Request, found: Answer, *, leaving: bool) -> Response:
        cookies = _Cookies(self._secure or request.url.scheme == "https")
        if isinstance(found, pb.Session):
            response = _json(session_row(found))
            cookies.write(response, found)
            return response
        response = _json(found or {"ok": True})
        if leaving:
            cookies.clear(response)
        return response


@dataclass(frozen=True, slots=True)
class _Cookies:
    """The console's session: out of reach of scripts, and of other sites' forms."""

    secure: bool

    def write(self, response: Response, session: pb.Session) -> None:
        self._set(response, ACCESS_COOKIE, session.access_token, session.access_expires_at, "/")
        self._set(response, REFRESH_COOKIE, session.refresh_token, session.refresh_expires_at, "/auth")

    def clear(self, response: Response) -> None:
        for name, path in ((ACCESS_COOKIE, "/"), (REFRESH_COOKIE, "/auth")):
            response.delete_cookie(name, path, secure=self.secure, httponly=True, samesite="lax")

    def _set(self, response: Response, name: str, value: str, expires_at: int, path: str) -> None:
        response.set_cookie(
            name,
            value,
            expires=from_micros(expires_at),
            path=path,
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )


async def read_fields(request: Request) -> Row:
    """The JSON object in the body; raises BadBody. Only JSON: a form of another site can not send it."""
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise BadBody("Send JSON: set Content-Type to application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BadBody("The body is too large.")
    if not body:
        return {}
    try:
        fields = msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody("The body is not JSON.") from error
    if not isinstance(fields, dict):
        raise BadBody("The body must be a JSON object.")
    return fields


def _json(body: Row, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        _encode(body),
        status,
        headers={"Cache-Control": "no-store"} | (headers or {}),
        media_type="application/json",
    )


def refused(fault: Fault) -> Response:
    """An expected failure: code and message, and when to come back."""
    if fault.kind is Kind.INTERNAL:
        return broken(fault)
    headers = {}
    if "retry_after" in fault.facts:
        headers["Retry-After"] = str(max(1, round(fault.facts["retry_after"])))
    codes = CODES[fault.kind]
    body = {"error": fault.message, "message": fault.message, "code": codes.graphql, "reason": fault.code}
    if "field" in fault.facts:
        body["field"] = fault.facts["field"]
    return _json(body, codes.http, headers)


def broken(error: BaseException) -> Response:
    """A bug: an id to quote."""
    incident = uuid7().hex
    _log.error("incident.recorded", incident_id=incident, exc_info=error)
    text = f"Something went wrong here. Quote the incident {incident}."
    return _json({"error": text, "message": text, "code": "INTERNAL_ERROR", "incidentId": incident}, 500)


def time_text(micros: int) -> str:
    """An instant as RFC 3339."""
    instant: datetime = from_micros(micros)
    return instant.isoformat().replace("+00:00", "Z")


def user_row(user: pb.User) -> Row:
    """A person, as the console shows them."""
    return {
        "id": user.id,
        "tenantId": user.tenant_id,
        "email": user.email,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "role": user.role,
        "isOperator": user.operator,
        "isVerified": user.verified,
        "createdAt": time_text(user.created_at),
    }


def session_row(session: pb.Session) -> Row:
    """A session: tokens for API clients; the console uses the cookies beside it."""
    return {
        "accessToken": session.access_token,
        "accessExpiresAt": time_text(session.access_expires_at),
        "refreshToken": session.refresh_token,
        "refreshExpiresAt": time_text(session.refresh_expires_at),
        "user": user_row(session.user),
    }


def signed_in(asked: Asked) -> Caller:
    """The caller; raises Unauthenticated for the public."""
    if asked.caller.is_public:
        raise asked.caller.refusal or Unauthenticated("Sign in first.")
    return asked.caller


def refresh_token(asked: Asked) -> str:
    """The refresh token of the body, else of the cookie; raises Unauthenticated."""
    given = asked.fields.get("refreshToken")
    token = given if isinstance(given, str) and given else asked.refresh_cookie
    if not token:
        raise Unauthenticated("Send a refresh token, or the cookie together with the CSRF header.")
    return token


async def _challenge(door: AuthDoor, _: Asked) -> Answer:
    found = await door.peers.commodore.IssueChallenge(pb.IssueChallengeRequest())
    row: Row = msgspec.json.decode(found.json)
    return row


async def _register(door: AuthDoor, asked: Asked) -> Answer:
    request = pb.RegisterRequest(
        email=asked.text("email"),
        password=asked.text("password"),
        first_name=asked.text("firstName", default=""),
        last_name=asked.text("lastName", default=""),
        proof=asked.text("proof", default="", longest=8192),
        honeypot=asked.text("phoneNumber", default=""),
        client=asked.client,
    )
    found = await door.peers.commodore.Register(request)
    return {"message": found.message}


async def _login(door: AuthDoor, asked: Asked) -> Answer:
    request = pb.SignInRequest(
        email=asked.text("email"), password=asked.text("password"), client=asked.client
    )
    return await door.peers.commodore.SignIn(request)


async def _refresh(door: AuthDoor, asked: Asked) -> Answer:
    return await door.peers.commodore.Refresh(pb.RefreshRequest(refresh_token=refresh_token(asked)))


async def _logout(door: AuthDoor, asked: Asked) -> Answer:
    try:
        token = refresh_token(asked)
    except Unauthenticated:
        return None
    await door.peers.commodore.SignOut(pb.SignOutRequest(refresh_token=token))
    return None


async def _verify(door: AuthDoor, asked: Asked) -> Answer:
    return await door.peers.commodore.VerifyEmail(pb.VerifyEmailRequest(token=asked.text("token")))


async def _forgot(door: AuthDoor, asked: Asked) -> Answer:
    request = pb.RequestPasswordResetRequest(email=asked.text("email"), client=asked.client)
    await door.peers.commodore.RequestPasswordReset(request)
    return None


async def _reset(door: AuthDoor, asked: Asked) -> Answer:
    request = pb.ResetPasswordRequest(token=asked.text("token"), password=asked.text("password"))
    await door.peers.commodore.ResetPassword(request)
    return None


async def _confirm_email(door: AuthDoor, asked: Asked) -> Answer:
    request = pb.ConfirmEmailChangeRequest(token=asked.text("token"))
    await door.peers.commodore.ConfirmEmailChange(request)
    return None


async def _me(door: AuthDoor, asked: Asked) -> Answer:
    metadata = forwarded(signed_in(asked))
    return {"user": user_row(await door.peers.commodore.GetMe(pb.GetMeRequest(), metadata=metadata))}


async def _change_password(door: AuthDoor, asked: Asked) -> Answer:
    metadata = forwarded(signed_in(asked))
    request = pb.ChangePasswordRequest(
        current_password=asked.text("currentPassword"), new_password=asked.text("newPassword")
    )
    await door.peers.commodore.ChangePassword(request, metadata=metadata)
    return None


async def _change_email(door: AuthDoor, asked: Asked) -> Answer:
    metadata = forwarded(signed_in(asked))
    request = pb.ChangeEmailRequest(password=asked.text("password"), new_email=asked.text("newEmail"))
    await door.peers.commodore.ChangeEmail(request, metadata=metadata)
    return None


async def _sign_out_everywhere(door: AuthDoor, asked: Asked) -> Answer:
    metadata = forwarded(signed_in(asked))
    await door.peers.commodore.SignOutEverywhere(pb.SignOutEverywhereRequest(), metadata=metadata)
    return None


async def _delete_account(door: AuthDoor, asked: Asked) -> Answer:
    metadata = forwarded(signed_in(asked))
    request = pb.DeleteAccountRequest(password=asked.text("password"))
    await door.peers.commodore.DeleteAccount(request, metadata=metadata)
    return None


HANDLERS: dict[str, tuple[str, Handler]] = {
    "challenge": ("GET", _challenge),
    "register": ("POST", _register),
    "login": ("POST", _login),
    "refresh": ("POST", _refresh),
    "logout": ("POST", _logout),
    "verify": ("POST", _verify),
    "forgot": ("POST", _forgot),
    "reset": ("POST", _reset),
    "confirm-email": ("POST", _confirm_email),
    "me": ("GET", _me),
    "change-password": ("POST", _change_password),
    "change-email": ("POST", _change_email),
    "sign-out-everywhere": ("POST", _sign_out_everywhere),
    "delete-account": ("POST", _delete_account),
}
"""Path under /auth → method and what answers."""

LEAVING = frozenset({_logout, _sign_out_everywhere, _delete_account})
"""After these the browser keeps no session."""
