"""MistServer's triggers and reports as types, and what Helmsman concludes from them. Pure."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid5

from frameworks.contracts.health import score
from frameworks.contracts.ids import STREAM_KEY
from frameworks.kit.errors import Refusal

NAMESPACE = UUID("6f0c1d4a-6d1c-5c39-9a54-1f6b0d1f8a11")
MEDIA_CONNECTORS = frozenset(
    {"HLS", "CMAF", "DASH", "WebRTC", "MP4", "EBML", "HTTPTS", "TS", "FLV", "RTMP", "AAC"}
)
"""Connectors whose sessions are viewers; metadata and poster requests are not."""

KEYFRAME_MS_MAX = 4_500
JITTER_MS_MAX = 500
KBITS_MIN = 100


class BadTrigger(Refusal):
    """A trigger whose body does not have the lines it must have."""

    code = "helmsman.bad_trigger"


class Action(Enum):
    """The typed answers of a synchronous trigger."""

    VALUE = "value"
    DENY = "deny"
    KEEP = "keep"
    USE_CONFIGURED = "use-configured"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer in both response dialects: a body for stock MistServer, an action header for the fork."""

    action: Action
    body: str
    reason: str = ""


ALLOW = Verdict(Action.VALUE, "true")
REFUSE = Verdict(Action.DENY, "false")


@dataclass(frozen=True, slots=True)
class Trigger:
    """One firing: its name, body lines, and the identity MistServer gives it."""

    name: str
    lines: tuple[str, ...]
    uuid: str
    unix_millis: int
    instance: str
    pid: str

    def field(self, index: int, default: str | None = None) -> str:
        """Line `index`; a missing optional trailing line is `default`."""
        if index < len(self.lines):
            return self.lines[index]
        if default is None:
            raise BadTrigger(f"{self.name} has {len(self.lines)} lines, line {index + 1} is missing.")
        return default


def parse(name: str, body: bytes, headers: dict[str, str]) -> Trigger:
    """The firing in a request. Lines are split, never trimmed: an empty last field counts."""
    try:
        text = body.decode(errors=_ERRORS.get(name, "strict"))
    except UnicodeDecodeError as error:
        raise BadTrigger(f"{name}: the body is not UTF-8.") from error
    return Trigger(
        name=name,
        lines=tuple(text.split("\n")),
        uuid=headers.get("x-trigger-uuid", ""),
        unix_millis=number(headers.get("x-trigger-unixmillis", "")),
        instance=headers.get("x-instance", ""),
        pid=headers.get("x-pid", ""),
    )


_ERRORS = {"USER_END": "replace"}
"""A viewer chooses its own user agent: one that is no text must not keep the session out of the bill."""


def number(text: str) -> int:
    """A count in a line or header; 0 when it is none."""
    return int(text) if _NUMBER.fullmatch(text) else 0


_NUMBER = re.compile(r"[0-9]{1,15}")


def plain_address(host: str) -> str:
    """A peer's address as people write it: IPv4 without the IPv6 mapping a dual-stack listener shows."""
    return host.removeprefix("::ffff:") if "." in host else host


def event_id(*parts: str) -> bytes:
    """A deterministic event id: the same firing gives the same id however often it is told."""
    return uuid5(NAMESPACE, "\0".join(parts)).bytes


def fingerprint(stream_key: str) -> str:
    """The first 12 hex digits of the key's SHA-256: enough to recognise, useless to publish with."""
    return hashlib.sha256(stream_key.encode()).hexdigest()[:12]


def encoder(stream_key: str, address: str) -> str:
    """One encoder: the same key from the same address. Without the key nobody finds the address in it."""
    return hashlib.sha256(f"{stream_key}|{address}".encode()).hexdigest()[:24]


def without_key(url: str) -> str:
    """A push URL without the key, its query and any credentials."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    netloc = f"{host}:{parts.port}" if parts.port else host
    path = parts.path.rsplit("/", 1)[0] if "/" in parts.path else ""
    return STREAM_KEY.sub("…", f"{parts.scheme}://{netloc}{path}")


def viewer_hash(key: bytes, address: str, day: str) -> str:
    """A keyed hash of the viewer's address that changes daily: counts people without knowing them."""
    return hmac.new(key, f"{day}|{address}".encode(), hashlib.sha256).hexdigest()[:24]


def correlation(url: str) -> str:
    """The id Foghorn put into the URL it sent the viewer to, if it did."""
    return parse_qs(urlsplit(url).query).get("fwcid", [""])[0][:64]


def user_agent(tags: str) -> str:
    """The user agent among a session's tags (`[UA:…]`)."""
    found = re.search(r"UA:([^\]]*)", tags)
    return found[1][:256] if found else ""


def protocol_of(url: str) -> str:
    """RTMP, SRT or WHIP from a push URL."""
    scheme = urlsplit(url).scheme.lower()
    return {"rtmp": "RTMP", "rtmps": "RTMP", "srt": "SRT", "http": "WHIP", "https": "WHIP"}.get(
        scheme, scheme.upper()
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose an event is: tenant and stream as Commodore named them, and the attribution that proves it."""

    tenant_id: str
    stream_id: str
    attribution: str
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened, ready to become an event; `body` has the field names of the event's message."""

    kind: str
    event_id: bytes
    at: int
    """Microseconds since the epoch, when it happened."""
    subject: Subject
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrackReport:
    """One track as the node describes it."""

    name: str
    kind: str
    codec: str
    kbits: int
    width: int
    height: int
    fps_milli: int
    channels: int
    rate: int
    buffer_ms: int
    jitter_ms: int
    b_frames: bool
    keyframe_max_ms: int
    keyframe_min_ms: int


UNSET = 4_294_967_295
"""How MistServer prints a minimum it has not seen; nothing it measures is as large."""


def count(value: Any) -> int:
    """A number the node tells; 0 when it is none."""
    found = int(value) if isinstance(value, int | float) else 0
    return found if 0 <= found < UNSET else 0


def track(name: str, found: dict[str, Any]) -> TrackReport:
    """A track of a health object (STREAM_BUFFER) or a track list (LIVE_TRACK_LIST)."""
    keys = found.get("keys", {}) if isinstance(found.get("keys"), dict) else {}
    kbits = count(found["kbits"]) if "kbits" in found else count(found.get("bps")) * 8 // 1000
    fps = count(found.get("fpks")) or count(found.get("efpks"))
    return TrackReport(
        name=name,
        kind=str(found.get("type") or name.split("_", 1)[0]),
        codec=str(found.get("codec", "")),
        kbits=kbits,
        width=count(found.get("width")),
        height=count(found.get("height")),
        fps_milli=fps,
        channels=count(found.get("channels")),
        rate=count(found.get("rate")),
        buffer_ms=count(found.get("buffer")),
        jitter_ms=count(found.get("jitter")),
        b_frames=bool(found.get("bframes")),
        keyframe_max_ms=count(keys.get("ms_max")),
        keyframe_min_ms=count(keys.get("ms_min")),
    )


def track_body(track: TrackReport) -> dict[str, Any]:
    """A track with the field names of the event message."""
    return {
        "name": track.name,
        "type": track.kind,
        "codec": track.codec,
        "bitrate_kbps": track.kbits,
        "width": track.width,
        "height": track.height,
        "fps_milli": track.fps_milli,
        "channels": track.channels,
        "sample_rate": track.rate,
        "buffer_ms": track.buffer_ms,
        "jitter_ms": track.jitter_ms,
        "b_frames": track.b_frames,
    }


def frame_distances(found: dict[str, Any]) -> tuple[int, int]:
    """The shortest and longest distance of two frames in a track's `keys`, in microseconds."""
    keys = found.get("keys", {}) if isinstance(found.get("keys"), dict) else {}
    return count(keys.get("frame_ms_min")) * 1000, count(keys.get("frame_ms_max")) * 1000


def tracks(health: dict[str, Any]) -> list[TrackReport]:
    """The media tracks of a health object."""
    named = ((name, value) for name, value in health.items() if isinstance(value, dict) and "codec" in value)
    found = (track(name, value) for name, value in named)
    return [report for report in found if report.kind in ("video", "audio")]


@dataclass(frozen=True, slots=True)
class Health:
    """What the node's report means for the streamer."""

    issues: tuple[str, ...]
    score: int
    video: TrackReport | None
    audio: TrackReport | None
    buffer_ms: int
    jitter_ms: int


def judge(health: dict[str, Any], buffer_state: str) -> Health:
    """Turn a health object into issues and a score from 0 to 100."""
    found = tracks(health)
    video = next((t for t in found if t.kind == "video"), None)
    audio = next((t for t in found if t.kind == "audio"), None)
    jitter = max((t.jitter_ms for t in found), default=0)
    issues = _video_issues(video) if video else []
    if audio is None:
        issues.append("no_audio")
    if jitter > JITTER_MS_MAX:
        issues.append("jitter_high")
    if buffer_state == "DRY":
        issues.append("buffer_dry")
    return Health(tuple(issues), score(issues), video, audio, count(health.get("buffer")), jitter)


def _video_issues(video: TrackReport) -> list[str]:
    checks = {
        "keyframe_interval_long": video.keyframe_max_ms > KEYFRAME_MS_MAX,
        "keyframe_interval_unstable": 0 < video.keyframe_min_ms < video.keyframe_max_ms // 2,
        "b_frames": video.b_frames,
        "bitrate_low": 0 < video.kbits < KBITS_MIN,
    }
    return [code for code, wrong in checks.items() if wrong]


def quality_tier(height: int) -> str:
    """The class of a picture's height."""
    for least, name in ((2160, "4K"), (1440, "1080p+"), (1080, "1080p"), (720, "720p"), (480, "480p")):
        if height >= least:
            return name
    return "SD" if height else ""


def expected_triggers(base_url: str) -> dict[str, list[dict[str, Any]]]:
    """The trigger configuration of a node of ours: who is asked (sync) and who is told (async).

    All for every stream: `live+` as a prefix is understood by some MistServers, and by others as a name nobody has.
    """

    def entry(name: str, *, sync: bool) -> list[dict[str, Any]]:
        made: dict[str, Any] = {
            "handler": f"{base_url}/{name.lower()}",
            "sync": sync,
            "streams": [],
            "params": "",
            "default": "false" if sync else "true",
        }
        if name == "PUSH_OUT_START":
            return [made | {"default": "", "onfail": "keep"}]
        return [made | {"onfail": "deny"} if sync else made]

    return {name: entry(name, sync=name in _ASKED) for name in (*_ASKED, *_TOLD)}


_ASKED = ("PUSH_REWRITE", "PLAY_REWRITE", "USER_NEW", "PUSH_OUT_START")
_TOLD = (
    *("USER_END", "STREAM_BUFFER", "STREAM_END", "PUSH_INPUT_CLOSE", "LIVE_TRACK_LIST"),
    *("PUSH_END", "RECORDING_SEGMENT", "RECORDING_END"),
)
