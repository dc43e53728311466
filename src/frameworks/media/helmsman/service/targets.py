"""Where a push goes and what the node says about it, without what is nobody else's business. Pure."""

import json
import posixpath
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from frameworks.contracts.ids import STREAM_KEY
from frameworks.media.helmsman.domain import BadTrigger

MAX_TARGET = 300
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)


def is_file(target: str) -> bool:
    """Whether a push goes to a file of the node: every other target names a protocol."""
    return "://" not in target or target.startswith("file://")


def recording_path(target: str) -> str:
    """The file a recording is known by: its list if it has one; without options."""
    path, _, options = target.removeprefix("file://").partition("#")
    path = path.partition("?")[0]
    listed = parse_qs(options or urlsplit(target).query).get("m3u8", [""])[0] if "m3u8=" in target else ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), listed)) if listed else path


def without_credentials(target: str) -> str:
    """Where a push goes: protocol, host, and the application, which is all that names no account."""
    try:
        parts = urlsplit(target)
        host = parts.hostname or ""
        netloc = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return ""
    first, _, rest = parts.path.strip("/").partition("/")
    return STREAM_KEY.sub("…", f"{parts.scheme}://{netloc}" + (f"/{first}/…" if rest else ""))[:MAX_TARGET]


def scrubbed(text: str, *targets: str) -> str:
    """A sentence of the node's without addresses of ours, and without anything secret of these targets."""
    for target in targets:
        for secret in _secrets(target):
            text = text.replace(secret, "…")
    text = _URL.sub(lambda found: without_credentials(found[0]), text)
    return STREAM_KEY.sub("…", text)


def _secrets(target: str) -> list[str]:
    """The parts of a target that are nobody else's business, the longest first."""
    head, _, tail = target.partition("?")
    _, _, rest = head.partition("://")
    segments = rest.split("/")[1:]
    path = segments[1:] if len(segments) > 1 else segments
    values = [value for pair in re.split(r"[&#?]", tail) for value in (pair.partition("=")[2],)]
    user = rest.partition("@")[0].split(":") if "@" in rest.partition("/")[0] else []
    return sorted((part for part in (*path, *values, *user) if len(part) > 3), key=len, reverse=True)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line the node wrote about a push."""

    kind: str
    text: str

    @property
    def is_bad(self) -> bool:
        """Whether it tells of something that went wrong."""
        return self.kind in ("FAIL", "ERROR")


def push_log(text: str) -> list[LogLine]:
    """The last lines about a push: [[unix, kind, message, …], …]."""
    found = _json(text)
    lines = found if isinstance(found, list) else []
    return [LogLine(str(line[1]), str(line[2])) for line in lines if isinstance(line, list) and len(line) > 2]


def push_status(text: str) -> dict[str, Any]:
    """What the node counted of a push."""
    found = _json(text)
    return found if isinstance(found, dict) else {}


def _json(text: str) -> Any:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError) as error:
        raise BadTrigger("A line that must be JSON is not.") from error
