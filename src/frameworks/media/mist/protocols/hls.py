"""HLS playlists (RFC 8216bis): multivariant and media, the same for low-latency and plain players."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

VERSION = 9
SKIP_BOUNDARY_TARGETS = 6
"""CAN-SKIP-UNTIL in target durations: the least the standard allows (§4.4.3.8)."""
LISTED_PARTS_TARGETS = 3
"""Parts older than this many target durations are listed as whole segments only (§4.4.4.9)."""
PART_HOLD_BACK = 3.2
"""In part targets; at least 3 is required (§4.4.3.8)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A partial segment: some frames of a segment, playable as soon as they exist."""

    data: bytes
    duration: float
    independent: bool
    """Whether it holds a frame from which decoding can start."""


@dataclass(slots=True)
class Segment:
    """A run of parts that starts at a keyframe; `duration` is None while it is being made."""

    msn: int
    wall: datetime
    """When its first frame was presented at the encoder, in wall time."""
    init: int
    """Number of the init segment its samples need."""
    independent: bool
    discontinuity: bool = False
    parts: list[Part] = field(default_factory=list)
    duration: float | None = None
    _listed: str = ""

    def body(self) -> list[bytes]:
        """The whole segment as the bodies of its parts."""
        return [part.data for part in self.parts]

    def size(self) -> int:
        """Bytes of all parts."""
        return sum(len(part.data) for part in self.parts)

    def listing(self) -> str:
        """Its entry as a whole segment; rendered once, since a closed segment never changes."""
        if not self._listed:
            self._listed = f"#EXTINF:{self.duration:.5f},\n{self.msn}.m4s\n"
        return self._listed


@dataclass(frozen=True, slots=True)
class Report:
    """Where another rendition of the stream stands (EXT-X-RENDITION-REPORT)."""

    uri: str
    last_msn: int
    last_part: int


@dataclass(frozen=True, slots=True)
class MediaView:
    """What a media playlist says at one instant; `segments` are in order, the last may still be open."""

    segments: Sequence[Segment]
    target_duration: int
    part_target: float
    discontinuity_sequence: int
    ended: bool
    reports: Sequence[Report] = ()


def _wall(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def _front(segment: Segment, earlier: Segment | None) -> str:
    """The tags that precede a segment, open or closed."""
    lines = "#EXT-X-DISCONTINUITY\n" if segment.discontinuity else ""
    if earlier is None or earlier.init != segment.init:
        lines += f'#EXT-X-MAP:URI="init-{segment.init}.mp4"\n'
    return lines + f"#EXT-X-PROGRAM-DATE-TIME:{_wall(segment.wall)}\n"


def _parts(segment: Segment) -> str:
    return "".join(
        f'#EXT-X-PART:DURATION={part.duration:.5f},URI="{segment.msn}.{index}.m4s"'
        f"{',INDEPENDENT=YES' if part.independent else ''}\n"
        for index, part in enumerate(segment.parts)
    )


def skippable(view: MediaView) -> int:
    """How many segments from the front a delta update may leave out."""
    boundary = view.target_duration * SKIP_BOUNDARY_TARGETS
    remaining, count = 0.0, 0
    for index in range(len(view.segments) - 1, -1, -1):
        remaining += view.segments[index].duration or 0.0
        if remaining > boundary:
            count = index
            break
    return count


def _header(view: MediaView) -> str:
    lines = (
        f"#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{view.target_duration}\n"
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={view.part_target * PART_HOLD_BACK:.3f},"
        f"CAN-SKIP-UNTIL={view.target_duration * SKIP_BOUNDARY_TARGETS:.1f}\n"
        f"#EXT-X-PART-INF:PART-TARGET={view.part_target:.5f}\n"
        f"#EXT-X-MEDIA-SEQUENCE:{view.segments[0].msn if view.segments else 0}\n"
    )
    if view.discontinuity_sequence:
        lines += f"#EXT-X-DISCONTINUITY-SEQUENCE:{view.discontinuity_sequence}\n"
    if all(segment.independent for segment in view.segments):
        lines += "#EXT-X-INDEPENDENT-SEGMENTS\n"
    return lines


def _with_parts_from(view: MediaView) -> int:
    """Index of the first segment whose parts are still listed."""
    remaining, index = 0.0, len(view.segments)
    while index > 0 and remaining < view.target_duration * LISTED_PARTS_TARGETS:
        index -= 1
        remaining += view.segments[index].duration or 0.0
    return index


def _end(view: MediaView) -> str:
    if view.ended:
        return "#EXT-X-ENDLIST\n"
    newest = view.segments[-1] if view.segments else None
    if newest is None:
        hint = "0.0"
    elif newest.duration is None:
        hint = f"{newest.msn}.{len(newest.parts)}"
    else:
        hint = f"{newest.msn + 1}.0"
    reports = "".join(
        f'#EXT-X-RENDITION-REPORT:URI="{report.uri}",LAST-MSN={report.last_msn},LAST-PART={report.last_part}\n'
        for report in view.reports
    )
    return f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{hint}.m4s"\n{reports}'


def media(view: MediaView, *, delta: bool = False) -> bytes:
    """A media playlist, or with `delta` the update that leaves out what the player already has (§6.2.5.1)."""
    skip = skippable(view) if delta else 0
    out = [_header(view)]
    if skip:
        out.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skip}\n")
    parts_from = _with_parts_from(view)
    earlier: Segment | None = None
    for index in range(skip, len(view.segments)):
        segment = view.segments[index]
        if segment.duration is not None or segment.parts:
            out.append(_front(segment, earlier))
        if index >= parts_from and not view.ended:
            out.append(_parts(segment))
        if segment.duration is not None:
            out.append(segment.listing())
        earlier = segment
    out.append(_end(view))
    return "".join(out).encode()


@dataclass(frozen=True, slots=True)
class Variant:
    """One track as the multivariant playlist names it."""

    uri: str
    codec: str
    peak_bps: int
    average_bps: int
    width: int = 0
    height: int = 0
    fps: float = 0.0
    channels: int = 0


def multivariant(video: Sequence[Variant], audio: Sequence[Variant]) -> bytes:
    """The playlist players are given first; audio is a rendition of its own, alone when there is no video."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    grouped = bool(video and audio)
    if grouped:
        lines += [_audio_rendition(variant, default=index == 0) for index, variant in enumerate(audio)]
    loudest = max((variant.peak_bps for variant in audio), default=0)
    average = max((variant.average_bps for variant in audio), default=0)
    for variant in video or audio:
        extra = (loudest, average) if grouped else (0, 0)
        codecs = ",".join([variant.codec] + ([audio[0].codec] if grouped else []))
        lines.append(_stream_inf(variant, extra, codecs, grouped=grouped))
        lines.append(variant.uri)
    return ("\n".join(lines) + "\n").encode()


def _audio_rendition(variant: Variant, *, default: bool) -> str:
    flag = "YES" if default else "NO"
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",DEFAULT={flag},AUTOSELECT=YES,'
        f'CHANNELS="{variant.channels or 2}",URI="{variant.uri}"'
    )


def _stream_inf(variant: Variant, extra: tuple[int, int], codecs: str, *, grouped: bool) -> str:
    line = (
        f"#EXT-X-STREAM-INF:BANDWIDTH={max(1, variant.peak_bps + extra[0])},"
        f'AVERAGE-BANDWIDTH={max(1, variant.average_bps + extra[1])},CODECS="{codecs}"'
    )
    if variant.width and variant.height:
        line += f",RESOLUTION={variant.width}x{variant.height}"
    if variant.fps:
        line += f",FRAME-RATE={variant.fps:.3f}"
    return line + (',AUDIO="audio"' if grouped else "")


def refusal(reason: str) -> bytes:
    """What MistServer answers in place of a playlist: an error tag and the end."""
    return f"#EXTM3U\n#EXT-X-ERROR: {reason}\n#EXT-X-ENDLIST\n".encode()


def ceil_seconds(duration: float) -> int:
    """A target duration that `duration` rounds to or below (§4.4.3.1), at least 1."""
    return max(1, math.floor(duration + 0.5))
