"""Common Media Client Data, versions 1 and 2 (CTA-5004, CTA-5004-A): text to reports, within bounds.

Event mode is a body of lines, request mode a query argument or four headers; each is a structured field dictionary.
A key that is not known here, or a value of another type than its key has, is left out; text that is no dictionary is
refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from frameworks.contracts.viewing import HIGHEST_KBPS, LONGEST_MS
from frameworks.kit import structured_fields as sf
from frameworks.kit.errors import Refusal

MIME = "application/cmcd"
HEADERS = ("cmcd-request", "cmcd-object", "cmcd-status", "cmcd-session")
MOST_REPORTS = 200
LONGEST_REPORT = 8192
LONGEST_SESSION = 128
LARGEST = 10**13
MOST_STALLS = 1_000_000
LAST_SEQUENCE = 2**32 - 1

State = Literal["s", "p", "k", "r", "a", "w", "e", "f", "q", "d"]
STATES: frozenset[str] = frozenset("spkrawefqd")
MEDIA = frozenset({"v", "av", "o"})
FORMATS = {"h": "hls", "d": "dash", "s": "smooth", "e": "hesp"}


class BadCmcd(Refusal):
    """Text that is no CMCD, or that names no session."""

    code = "telemetry.bad_cmcd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report. None is a key that was not sent; lists are summed over their object types."""

    session: str
    sequence: int | None = None
    at_ms: int | None = None
    event: str = ""
    state: str = ""
    starved: bool = False
    starting: bool = False
    stalls: int | None = None
    """Since the session began."""
    stalled_ms: int | None = None
    """Since the session began."""
    stall_ms: int = 0
    """Of stalls that ended since the report before."""
    start_delay_ms: int | None = None
    bitrate_kbps: int = 0
    latency_ms: int | None = None
    playhead_ms: int = 0
    error: str = ""
    protocol: str = ""


def read_events(body: bytes) -> list[Report]:
    """The reports of an event-mode body, in their order; raises BadCmcd."""
    try:
        lines = [line for line in body.decode("ascii").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BadCmcd("CMCD is ASCII.") from error
    if len(lines) > MOST_REPORTS:
        raise BadCmcd(f"A body has at most {MOST_REPORTS} reports.")
    return [read(line) for line in lines]


def read_headers(headers: Mapping[str, str]) -> str:
    """The text of a request's four headers as one."""
    return ",".join(headers[name] for name in HEADERS if headers.get(name))


def read(text: str) -> Report:
    """The report in a dictionary's text; raises BadCmcd."""
    if len(text) > LONGEST_REPORT:
        raise BadCmcd(f"A report has at most {LONGEST_REPORT} characters.")
    try:
        found = sf.dictionary(text)
    except sf.BadField as error:
        raise BadCmcd(f"This is not CMCD: {error.message}") from error
    session = _text(found, "sid")
    if not session or len(session) > LONGEST_SESSION:
        raise BadCmcd("A report names its session.")
    state = _text(found, "sta")
    return Report(
        session=session,
        sequence=_number(found, "sn", LAST_SEQUENCE),
        at_ms=_number(found, "ts"),
        event=_text(found, "e")[:8],
        state=state if state in STATES else "",
        starved=_flag(found, "bs"),
        starting=_flag(found, "su"),
        stalls=_sum(found, "bsa", MOST_STALLS),
        stalled_ms=_sum(found, "bsda", LONGEST_MS),
        stall_ms=_sum(found, "bsd", LONGEST_MS) or 0,
        start_delay_ms=_number(found, "msd"),
        bitrate_kbps=_bitrate(found),
        latency_ms=_number(found, "ltc"),
        playhead_ms=_number(found, "pt") or 0,
        error=_text(found, "ec")[:64],
        protocol=FORMATS.get(_text(found, "sf"), ""),
    )


def _text(found: Mapping[str, sf.Member], key: str) -> str:
    value = found[key].value if key in found else ""
    return str(value) if isinstance(value, str) else ""


def _flag(found: Mapping[str, sf.Member], key: str) -> bool:
    return key in found and found[key].value is True


def _whole(value: sf.Bare, most: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= most:
        return None
    return int(value)


def _number(found: Mapping[str, sf.Member], key: str, most: int = LARGEST) -> int | None:
    return _whole(found[key].value, most) if key in found else None


def _sum(found: Mapping[str, sf.Member], key: str, most: int) -> int | None:
    if key not in found:
        return None
    numbers = [n for value, _ in found[key].items if (n := _whole(value, most)) is not None]
    return min(sum(numbers), most) if numbers else None


def _bitrate(found: Mapping[str, sf.Member]) -> int:
    """Of what is on screen when that is told, else of what was chosen; 0 for a request of sound alone."""
    if (kind := _text(found, "ot")) and kind not in MEDIA:
        return 0
    for key in ("pb", "br", "ab"):
        if total := _sum(found, key, HIGHEST_KBPS):
            return total
    return 0
