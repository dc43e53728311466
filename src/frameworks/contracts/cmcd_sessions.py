"""CMCD reports to the same sums that beacons bring: what was between two reports of one session.

CMCD tells states and totals, so each session's last report is remembered, within bounds; a session met in its middle
counts from there on. Reports of a session are taken in the order of their sequence: one that was seen counts nothing.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from frameworks.contracts.cmcd import Report
from frameworks.contracts.viewing import LONGEST_ARTIFACT, left_before_start

MOST_SESSIONS = 20_000
LONGEST_GAP = 600_000
"""Milliseconds between two reports that count at most: who was silent for longer was not seen playing."""
FRESH = 1
"""A session is met at its beginning when its first report has at most this sequence number."""
OVER = frozenset("efq")
REPORT = "cmcd"


@dataclass(slots=True)
class _Known:
    sequence: int = -1
    at_ms: int = 0
    state: str = ""
    stalls: int = 0
    stalled_ms: int = 0
    tells_totals: bool = False
    bitrate: int = 0
    shown: bool = False
    booted: bool = False
    reports: int = 0


@dataclass(slots=True)
class Boot:
    """How a session came to its first frame, or did not, with the field names of the event message."""

    session_id: str
    outcome: str
    first_frame_ms: int = 0
    protocol: str = ""
    error: str = ""
    report: str = REPORT


@dataclass(slots=True)
class Session:
    """What a session lived through since its report before, with the field names of the event message."""

    session_id: str
    sequence: int = 0
    played_ms: int = 0
    stalled_ms: int = 0
    stalls: int = 0
    bitrate_ms: int = 0
    switches: int = 0
    latency_ms_sum: int = 0
    latency_samples: int = 0
    reached_s: int = 0
    final: bool = False
    failed: bool = False
    left_before_start: bool = False
    protocol: str = ""
    error: str = ""
    report: str = REPORT


@dataclass(slots=True)
class Found:
    """What reports of one session that came together amount to."""

    session: Session
    boot: Boot | None = None
    repeated: int = 0
    """Reports that were seen before."""
    taken: int = 0


@dataclass(slots=True)
class Sessions:
    """Sessions by whose they are and what they call themselves; the one silent for longest is forgotten first."""

    longest_gap: int = LONGEST_GAP
    _known: OrderedDict[tuple[str, str], _Known] = field(default_factory=OrderedDict)

    def take(self, owner: str, reports: Sequence[Report], now_ms: int) -> list[Found]:
        """The sums of reports that came together, by session."""
        by_session = sorted(reports, key=attrgetter("session"))
        return [
            self._session(owner, name, list(mine), now_ms)
            for name, mine in groupby(by_session, attrgetter("session"))
        ]

    def _session(self, owner: str, name: str, reports: list[Report], now_ms: int) -> Found:
        known = self._known.pop((owner, name), None)
        reports.sort(key=lambda report: (report.sequence is not None, report.sequence or 0))
        if known is None:
            known = _met(reports[0])
        found = Found(Session(name))
        for report in reports:
            if report.sequence is not None and report.sequence <= known.sequence:
                found.repeated += 1
                continue
            found.taken += 1
            at_ms = report.at_ms if report.at_ms is not None else now_ms
            elapsed = min(max(at_ms - known.at_ms, 0), self.longest_gap) if known.reports else 0
            _add(found, known, report, elapsed)
            known.at_ms = max(at_ms, known.at_ms)
        found.session.sequence = known.sequence if known.sequence >= 0 else known.reports
        self._known[(owner, name)] = known
        if len(self._known) > MOST_SESSIONS:
            self._known.popitem(last=False)
        return found


def _met(first: Report) -> _Known:
    if first.sequence is None or first.sequence <= FRESH:
        return _Known()
    stalls, stalled = first.stalls or 0, first.stalled_ms or 0
    return _Known(stalls=stalls, stalled_ms=stalled, shown=True, booted=True)


def _add(found: Found, known: _Known, report: Report, elapsed: int) -> None:
    _pass(found.session, known, elapsed)
    _stalls(found.session, known, report, elapsed)
    _start(found, known, report)
    _media(found.session, known, report)
    known.state = _state(known, report)
    known.shown = known.shown or known.state == "p"
    known.sequence = known.sequence if report.sequence is None else report.sequence
    known.reports += 1


def _state(known: _Known, report: Report) -> str:
    """What the player is in; requests for media, which tell no state, are taken for playing."""
    if report.state or report.event:
        return report.state or known.state
    return "s" if report.starting and not known.shown else "p"


def _pass(session: Session, known: _Known, elapsed: int) -> None:
    if known.state == "p":
        session.played_ms += elapsed
        session.bitrate_ms += elapsed * known.bitrate


def _stalls(session: Session, known: _Known, report: Report, elapsed: int) -> None:
    """Totals win over single durations, durations over the time spent in the state."""
    if report.stalled_ms is not None:
        session.stalled_ms += max(report.stalled_ms - known.stalled_ms, 0)
        known.stalled_ms, known.tells_totals = max(report.stalled_ms, known.stalled_ms), True
    elif not known.tells_totals:
        session.stalled_ms += report.stall_ms or (elapsed if known.state == "r" else 0)
    if report.stalls is not None:
        session.stalls += max(report.stalls - known.stalls, 0)
        known.stalls = max(report.stalls, known.stalls)
    elif report.state:
        begins = report.state == "r" and known.state != "r"
        session.stalls += begins
        known.stalls += begins
    elif report.starved and known.shown:
        session.stalls += 1
        known.stalls += 1


def _start(found: Found, known: _Known, report: Report) -> None:
    session, shown = found.session, known.shown or report.start_delay_ms is not None or report.state == "p"
    if report.state in OVER:
        session.final = True
        session.failed |= report.state == "f"  # a viewer who leaves a broken player does not mend it
        left = left_before_start(final=True, wished=report.state != "e", shown=shown, failed=session.failed)
        session.left_before_start = (session.left_before_start or left) and not session.failed
    session.error = report.error or session.error
    if known.booted:
        return
    if report.start_delay_ms is not None:
        found.boot = _boot(session, "playing", report)
    elif report.state in ("f", "q") and not shown:
        found.boot = _boot(session, "failed" if report.state == "f" else "left", report)
    known.booted = found.boot is not None


def _boot(session: Session, outcome: str, report: Report) -> Boot:
    first_frame = min(report.start_delay_ms or 0, LONGEST_GAP)
    return Boot(session.session_id, outcome, first_frame, report.protocol, report.error)


def _media(session: Session, known: _Known, report: Report) -> None:
    if report.bitrate_kbps:
        session.switches += known.bitrate not in (0, report.bitrate_kbps)
        known.bitrate = report.bitrate_kbps
    if report.latency_ms is not None:
        session.latency_ms_sum += min(report.latency_ms, LONGEST_GAP)
        session.latency_samples += 1
    session.reached_s = max(session.reached_s, min(report.playhead_ms // 1000, LONGEST_ARTIFACT))
    session.protocol = report.protocol or session.protocol
