"""The loopback door for the media node's triggers: bare ASGI, the per-node secret in the path."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from frameworks.contracts.metrics import helmsman as metrics
from frameworks.kit import log as logs
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.media.helmsman.domain import REFUSE, Action, Trigger, Verdict, parse
from frameworks.media.helmsman.service.outputs import Outputs
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.viewing import Viewing

PREFIX = "/webhooks/mist/"
FOR_EVERY_REQUEST = frozenset({"PLAY_REWRITE"})
"""Too many for a line each."""
MAX_BODY = 512 * 1024
Handler = Callable[[Trigger], Awaitable[Verdict | None]]


class TriggerDoor:
    """An ASGI application: one POST per trigger, answered in both response dialects."""

    def __init__(self, secret: str, publishing: Publishing, viewing: Viewing, outputs: Outputs) -> None:
        self._secret = secret
        self._log = logs.get("helmsman")
        self._handlers: dict[str, Handler] = {
            "PUSH_REWRITE": publishing.admit,
            "PLAY_REWRITE": viewing.resolve,
            "USER_NEW": viewing.opened,
            "USER_END": viewing.closed,
            "STREAM_BUFFER": publishing.buffer,
            "STREAM_END": publishing.ended,
            "PUSH_INPUT_CLOSE": publishing.input_closed,
            "LIVE_TRACK_LIST": publishing.track_list,
            "PUSH_OUT_START": outputs.starting,
            "PUSH_END": outputs.push_ended,
            "RECORDING_SEGMENT": outputs.segment,
            "RECORDING_END": outputs.recorded,
        }

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one request; lifespan is none of our business."""
        if scope["type"] != "http":
            return
        name = self._name(scope["path"])
        if name is None or scope["method"] != "POST":
            metrics.TRIGGERS.labels("unknown", "refused").inc()
            await _respond(send, 404, b"")
            return
        status, body = await _body(receive)
        if status != 200:
            metrics.TRIGGERS.labels(name, "bad").inc()
            await _respond(send, status, b"")
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        await self._answer(name, body, headers, send)

    async def _answer(self, name: str, body: bytes, headers: dict[str, str], send: Any) -> None:
        try:
            verdict = await self._handlers[name](parse(name, body, headers))
        except Refusal as refused:
            self._log.warning("trigger.refused", trigger=name, code=refused.code, reason=refused.message)
            metrics.TRIGGERS.labels(name, "bad").inc()
            await _respond(send, 400, b"", REFUSE)
            return
        except Unavailable as away:
            self._log.warning("trigger.failed", trigger=name, code=away.code, reason=away.message)
            metrics.TRIGGERS.labels(name, "unavailable").inc()
            await _respond(send, 503, b"")
            return
        outcome = verdict.action.value if verdict else "taken"
        metrics.TRIGGERS.labels(name, outcome).inc()
        say = self._log.debug if name in FOR_EVERY_REQUEST else self._log.info
        say("trigger.answered", trigger=name, outcome=outcome)
        await _respond(send, 200, verdict.body.encode() if verdict else b"", verdict)

    def _name(self, path: str) -> str | None:
        """The trigger a path names, when the secret before it is ours."""
        if not path.startswith(PREFIX):
            return None
        secret, _, name = path.removeprefix(PREFIX).partition("/")
        sound = hmac.compare_digest(secret.encode(), self._secret.encode())
        return name.upper() if sound and name.upper() in self._handlers else None


async def _body(receive: Any) -> tuple[int, bytes]:
    """200 and the whole body, or the status to refuse with: half a trigger is none."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return 400, b""
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            return 413, b""
        parts.append(part)
        if not message.get("more_body"):
            return 200, b"".join(parts)


async def _respond(send: Any, status: int, body: bytes, verdict: Verdict | None = None) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    if verdict is not None:
        headers.append((b"x-mist-trigger-action", verdict.action.value.encode()))
        if verdict.action is Action.DENY and verdict.reason:
            headers.append((b"x-mist-trigger-reason", verdict.reason.encode("ascii", "replace")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
