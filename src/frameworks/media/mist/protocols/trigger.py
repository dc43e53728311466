"""MistServer's triggers on the wire: configured handlers, the request of a firing, what an answer means."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httptools

from frameworks.kit import trace
from frameworks.kit.errors import Refusal

MAX_TEXT = 127
MAX_STREAMS = 256
MAX_HANDLERS = 8
MAX_ANSWER = 16 * 1024


class Action(Enum):
    """What a handler decided."""

    VALUE = "value"
    DENY = "deny"
    KEEP = "keep"
    USE_CONFIGURED = "use-configured"
    OFFLINE = "offline"


class Sort(Enum):
    """How the stock dialect's body is read."""

    NAME = "name"
    SOURCE = "source"
    YES_OR_NO = "yes or no"
    UNREAD = "unread"


_NAME = frozenset({Action.VALUE, Action.DENY, Action.KEEP})
_SOURCE = frozenset({Action.VALUE, Action.OFFLINE, Action.USE_CONFIGURED, Action.KEEP})
_PROCESS = frozenset({Action.VALUE, Action.USE_CONFIGURED, Action.KEEP})
_BOOL = frozenset({Action.VALUE, Action.DENY})

TRIGGERS: dict[str, tuple[Sort, frozenset[Action]]] = {
    "PUSH_REWRITE": (Sort.NAME, _NAME),
    "RTMP_PUSH_REWRITE": (Sort.NAME, _NAME),
    "PLAY_REWRITE": (Sort.NAME, _NAME),
    "PUSH_OUT_START": (Sort.NAME, _NAME),
    "DEFAULT_STREAM": (Sort.NAME, _NAME),
    "STREAM_SOURCE": (Sort.SOURCE, _SOURCE),
    "STREAM_PROCESS": (Sort.SOURCE, _PROCESS),
    **dict.fromkeys(
        (
            *(
                "USER_NEW",
                "CONN_OPEN",
                "CONN_PLAY",
                "STREAM_LOAD",
                "STREAM_READY",
                "STREAM_UNLOAD",
                "STREAM_PUSH",
            ),
            *(
                "SYSTEM_START",
                "SYSTEM_STOP",
                "STREAM_ADD",
                "STREAM_CONFIG",
                "STREAM_REMOVE",
                "LIVE_BANDWIDTH",
            ),
        ),
        (Sort.YES_OR_NO, _BOOL),
    ),
    **dict.fromkeys(
        (
            *("USER_END", "CONN_CLOSE", "CONN_STOP", "PUSH_INPUT_CLOSE", "STREAM_BUFFER", "LIVE_TRACK_LIST"),
            *("STREAM_END", "PUSH_END", "RECORDING_SEGMENT", "RECORDING_END", "OUTPUT_END", "OUTPUT_START"),
            *("OUTPUT_STOP", "INPUT_ABORT", "PROCESS_EXIT", "THUMBNAIL_UPDATED", "LIVEPEER_SEGMENT_COMPLETE"),
        ),
        (Sort.UNREAD, frozenset[Action]()),
    ),
}


class BadTriggers(Refusal):
    """A trigger configuration that is not taken; the message is what the API answers under `error`."""

    code: ClassVar = "mist.bad_triggers"


class WrongAnswer(Refusal):
    """A handler's answer that counts as a failure."""

    code: ClassVar = "mist.wrong_answer"


@dataclass(frozen=True, slots=True)
class Handler:
    """One handler of one trigger."""

    handler: str
    sync: bool = False
    streams: tuple[str, ...] = ()
    params: str = ""
    default: str = ""
    onfail: Action | None = None

    def covers(self, stream: str) -> bool:
        """Whether this handler wants to hear of `stream`; a `!` entry excludes, no entries mean all."""
        wanted = [entry for entry in self.streams if not entry.startswith("!")]
        if any(_matches(entry[1:], stream) for entry in self.streams if entry.startswith("!")):
            return False
        return not wanted or any(_matches(entry, stream) for entry in wanted)

    def as_json(self) -> dict[str, Any]:
        """As `config` lists it."""
        entry: dict[str, Any] = {
            "handler": self.handler,
            "sync": self.sync,
            "streams": list(self.streams),
            "params": self.params,
            "default": self.default,
        }
        return entry | ({"onfail": self.onfail.value} if self.onfail else {})


def _matches(entry: str, stream: str) -> bool:
    if entry.endswith("+"):
        return stream.startswith(entry) or stream == entry[:-1]
    if "*" in entry:
        front, _, back = entry.partition("*")
        return len(stream) >= len(front) + len(back) and stream.startswith(front) and stream.endswith(back)
    return stream == entry


def handlers_of(triggers: object) -> dict[str, tuple[Handler, ...]]:
    """Read `config.triggers`; raises BadTriggers and takes nothing when one entry is wrong."""
    if not isinstance(triggers, Mapping):
        raise BadTriggers("Triggers must be an object")
    return {str(name): _handlers(str(name), entries) for name, entries in triggers.items()}


def _handlers(name: str, entries: object) -> tuple[Handler, ...]:
    if name not in TRIGGERS:
        raise BadTriggers(f"Unknown trigger {name[:64]!r}")
    if not isinstance(entries, list) or len(entries) > MAX_HANDLERS:
        raise BadTriggers(f"Handlers of {name} must be a list of at most {MAX_HANDLERS}")
    return tuple(_handler(name, entry) for entry in entries)


def _handler(name: str, entry: object) -> Handler:
    if not isinstance(entry, Mapping):
        raise BadTriggers(f"A handler of {name} must be an object")
    texts = {field: str(entry.get(field) or "") for field in ("handler", "params", "default")}
    streams = tuple(str(stream) for stream in entry.get("streams") or ())
    if any(len(text) > MAX_TEXT for text in texts.values()) or sum(map(len, streams)) > MAX_STREAMS:
        raise BadTriggers(f"A handler of {name} is too long")
    url = urlsplit(texts["handler"])
    if url.scheme not in ("http", "https") or not url.hostname:
        raise BadTriggers(f"Only http(s) handlers are run, not that of {name}")
    return Handler(
        sync=bool(entry.get("sync")), streams=streams, onfail=_onfail(name, entry.get("onfail")), **texts
    )


def _onfail(name: str, onfail: object) -> Action | None:
    if not onfail:
        return None
    allowed = {action.value: action for action in TRIGGERS[name][1] if action is not Action.VALUE}
    if onfail not in allowed:
        raise BadTriggers(f"Invalid onfail action '{onfail}' for {name} trigger")
    return allowed[str(onfail)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a trigger; `failed` when no handler answered and this is what it falls back to."""

    action: Action
    value: str = ""
    reason: str = ""
    failed: bool = False


def read_answer(trigger: str, typed: str | None, reason: str, body: str) -> Verdict:
    """What a 2xx answer means, in either dialect; raises WrongAnswer for an unknown action."""
    sort, allowed = TRIGGERS[trigger]
    if typed is not None:
        action = next((action for action in allowed if action.value == typed), None)
        if action is None:
            raise WrongAnswer(f"{typed!r} is no action of {trigger}.")
        if sort is Sort.YES_OR_NO and action is Action.VALUE:
            return Verdict(_yes_or_no(body), body, reason)
        return Verdict(action, body, reason)
    if sort is Sort.YES_OR_NO:
        return Verdict(_yes_or_no(body), body, reason)
    if sort is Sort.SOURCE:
        offline, _, why = body.partition("offline:")
        if body.startswith("offline:") and not offline:
            return Verdict(Action.OFFLINE, "", why)
        return Verdict(Action.VALUE, body) if body else Verdict(Action.USE_CONFIGURED)
    return Verdict(Action.VALUE, body) if body else Verdict(Action.DENY, "", reason)


def _yes_or_no(body: str) -> Action:
    return Action.VALUE if body.strip().lower() in ("true", "1", "yes", "cont", "continue") else Action.DENY


def after_failure(trigger: str, handler: Handler) -> Verdict:
    """What applies when a handler does not answer: `onfail`, else `default`, else the literal `true`."""
    if handler.onfail is not None:
        return Verdict(handler.onfail, "", "The handler did not answer.", failed=True)
    verdict = read_answer(trigger, None, "", handler.default or "true")
    return Verdict(verdict.action, verdict.value, verdict.reason, failed=True)


@dataclass(frozen=True, slots=True)
class Firing:
    """One occurrence of a trigger; its attempts differ only in X-Attempt, and in the span when it is traced."""

    trigger: str
    lines: Sequence[str]
    uuid: str
    at: datetime
    pid: int
    instance: str
    name: str
    version: str
    trace: str = ""

    def request(self, url: str, attempt: int, now: datetime) -> bytes:
        """The HTTP request of one attempt."""
        parts = urlsplit(url)
        body = "\n".join(line.replace("\r", " ").replace("\n", " ") for line in self.lines).encode()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Accept": "*/*",
            "Content-Length": str(len(body)),
            "Content-Type": "text/plain",
            "Date": format_datetime(now.astimezone(UTC)),
            "Host": parts.netloc.rpartition("@")[2],
            "User-Agent": f"MistServer/{self.version}",
            "X-Attempt": str(attempt),
            "X-Instance": self.instance,
            **({"X-Name": self.name} if self.name else {}),
            "X-PID": str(self.pid),
            "X-Trigger": self.trigger,
            "X-Trigger-UUID": self.uuid,
            "X-Trigger-UnixMillis": str(int(self.at.timestamp() * 1000)),
            "X-Version": self.version,
            **({trace.TRACEPARENT: trace.header(self.trace)} if self.trace else {}),
        }
        head = f"POST {target} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in headers.items()
        )
        return head.encode() + b"\r\n" + body


@dataclass(slots=True)
class Answer:
    """An HTTP answer being read: feed it bytes until `done`; raises WrongAnswer on garbage."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    done: bool = False
    _parser: Any = None

    def feed(self, received: bytes) -> None:
        """Take bytes; an empty string is the end of the connection."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        if not received:
            self.done = self.done or (bool(self.status) and "content-length" not in self.headers)
            if not self.done:
                raise WrongAnswer("The handler closed the connection within its answer.")
            return
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserError as error:
            raise WrongAnswer("The handler's answer is not HTTP.") from error

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools found a header."""
        if len(self.headers) >= 64:
            raise WrongAnswer("The handler's answer has too many headers.")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """httptools found the end of the head."""
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """httptools found a piece of the body."""
        self.body += body
        if len(self.body) > MAX_ANSWER:
            raise WrongAnswer("The handler's answer is too long.")

    def on_message_complete(self) -> None:
        """httptools found the end."""
        self.done = self.status >= 200


def as_json_line(value: object) -> str:
    """A JSON value as one line of a payload."""
    return json.dumps(value, separators=(",", ":"))
