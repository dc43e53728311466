"""The two reports of players in JSON: how a boot went, and what a session lived through since its report before.

Names and meanings are those of the official player. Whose stream it is comes from the token alone: an id of a tenant,
a stream or an event in the body means nothing here.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.viewing import (
    HIGHEST_KBPS,
    LONGEST_ARTIFACT,
    LONGEST_MS,
    WATCHED_BUCKET,
    left_before_start,
    watched,
)
from frameworks.kit.errors import Refusal

MOST_PARTS = 4096

Millis = Annotated[int, msgspec.Meta(ge=0, le=LONGEST_MS)]
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
Bits = Annotated[int, msgspec.Meta(ge=0, le=LONGEST_MS * HIGHEST_KBPS)]
Word = Annotated[str, msgspec.Meta(max_length=64)]
Name = Annotated[str, msgspec.Meta(max_length=128, pattern=r"^[\x21-\x7e]*$")]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=LONGEST_ARTIFACT)]


class BadBeacon(Refusal):
    """A body that is not a report, or whose figures can not be."""

    code = "telemetry.bad_report"


class Spans(msgspec.Struct, rename="camel"):
    """The parts of a boot."""

    gateway_resolve_ms: Millis = 0
    mist_hydrate_ms: Millis = 0
    player_select_ms: Millis = 0
    connect_ms: Millis = 0
    prebuffer_ms: Millis = 0


class Resource(msgspec.Struct, rename="camel"):
    """Something a boot loaded."""

    cache_status: Annotated[str, msgspec.Meta(max_length=256)] = ""


class Beacon(msgspec.Struct, rename="camel", kw_only=True):
    """What every report says."""

    telemetry_token: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    content_id: Name = ""
    session_id: Name = ""
    player_type: Word = ""
    protocol: Word = ""
    error_code: Word = ""


class Boot(Beacon, rename="camel", kw_only=True):
    """How a player came to its first frame, or did not."""

    trace_id: Name = ""
    outcome: Word = ""
    total_ttf_ms: Millis = 0
    spans: Spans = msgspec.field(default_factory=Spans)
    cache_hit: bool = False
    resources: Annotated[list[Resource], msgspec.Meta(max_length=64)] = []


class Session(Beacon, rename="camel", kw_only=True):
    """What a session lived through since its report before."""

    beacon_seq: Count
    is_final: bool = False
    play_intent: bool = True
    first_frame: bool = False
    fatal_error: bool = False
    played_ms: Millis = 0
    rebuffer_ms: Millis = 0
    rebuffer_count: Count = 0
    frame_stats_supported: bool = True
    frames_decoded: Count = 0
    frames_dropped: Count = 0
    bitrate_bps_seconds: Bits = 0
    abr_upswitch_count: Count = 0
    abr_downswitch_count: Count = 0
    live_edge_latency_ms: Millis = 0
    bucket_width_s: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 0
    asset_duration_s: Seconds = 0
    retention_buckets: Annotated[list[Seconds], msgspec.Meta(max_length=MOST_PARTS)] = []
    retention_seconds_watched: Annotated[
        list[Annotated[float, msgspec.Meta(ge=0, le=LONGEST_ARTIFACT)]], msgspec.Meta(max_length=MOST_PARTS)
    ] = []
    max_bucket_reached: Seconds = 0


B = TypeVar("B")

_boot = msgspec.json.Decoder(Boot)
_session = msgspec.json.Decoder(Session)
_PLAYING = frozenset({"success", "playing", "ok"})
_FAILED = frozenset({"error", "failed", "failure", "fatal"})


def read_boot(body: bytes) -> Boot:
    """The report in `body`; raises BadBeacon."""
    boot = _read(_boot, body)
    if not (boot.session_id or boot.trace_id):
        raise BadBeacon("A report names its session.")
    return boot


def read_session(body: bytes) -> Session:
    """The report in `body`; raises BadBeacon."""
    session = _read(_session, body)
    if not session.session_id:
        raise BadBeacon("A report names its session.")
    if len(session.retention_buckets) != len(session.retention_seconds_watched):
        raise BadBeacon("Each part that was watched has its seconds.")
    if session.bucket_width_s * (max(session.retention_buckets, default=0) + 1) > LONGEST_ARTIFACT:
        raise BadBeacon(f"Retention looks at {LONGEST_ARTIFACT} seconds.")
    return session


def _read(decoder: "msgspec.json.Decoder[B]", body: bytes) -> B:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBeacon(f"This is not a report: {error}") from error


def boot_event(boot: Boot) -> events.PlayerBoot:
    """The boot as history keeps it."""
    return events.PlayerBoot(
        session_id=boot.session_id or boot.trace_id,
        outcome=outcome(boot),
        first_frame_ms=boot.total_ttf_ms if outcome(boot) == "playing" else 0,
        resolve_ms=boot.spans.gateway_resolve_ms,
        hydrate_ms=boot.spans.mist_hydrate_ms,
        select_ms=boot.spans.player_select_ms,
        connect_ms=boot.spans.connect_ms,
        prebuffer_ms=boot.spans.prebuffer_ms,
        cache_hit=boot.cache_hit or any("hit" in found.cache_status.lower() for found in boot.resources),
        player=boot.player_type,
        protocol=boot.protocol,
        error=boot.error_code,
        report="beacon",
    )


def outcome(boot: Boot) -> Literal["playing", "failed", "left"]:
    """How it ended; a word nobody knows is judged by what came with it."""
    word = boot.outcome.lower()
    if word in _PLAYING or (word not in _FAILED and boot.total_ttf_ms):
        return "playing"
    return "failed" if word in _FAILED or boot.error_code else "left"


def session_event(session: Session) -> events.PlayerSession:
    """The session's part as history keeps it."""
    width = session.bucket_width_s
    parts = dict(zip(session.retention_buckets, session.retention_seconds_watched, strict=True))
    counts_frames = session.frame_stats_supported
    return events.PlayerSession(
        session_id=session.session_id,
        sequence=session.beacon_seq,
        final=session.is_final,
        played_ms=session.played_ms,
        stalled_ms=session.rebuffer_ms,
        stalls=session.rebuffer_count,
        frames_decoded=session.frames_decoded if counts_frames else 0,
        frames_dropped=session.frames_dropped if counts_frames else 0,
        bitrate_ms=min(session.bitrate_bps_seconds, session.played_ms * HIGHEST_KBPS),
        switches=session.abr_upswitch_count + session.abr_downswitch_count,
        latency_ms_sum=session.live_edge_latency_ms,
        latency_samples=int(session.live_edge_latency_ms > 0),
        failed=session.fatal_error,
        left_before_start=left_before_start(
            final=session.is_final,
            wished=session.play_intent,
            shown=session.first_frame or session.played_ms > 0,
            failed=session.fatal_error,
        ),
        player=session.player_type,
        protocol=session.protocol,
        error=session.error_code,
        duration_s=session.asset_duration_s if width else 0,
        watched=watched(width, parts)[: LONGEST_ARTIFACT // WATCHED_BUCKET] if width else [],
        reached_s=min(session.max_bucket_reached * width, LONGEST_ARTIFACT),
        report="beacon",
    )
