"""What players tell of themselves with their requests for media, as the same sums that Bridge makes of reports."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import msgspec

from frameworks.contracts import cmcd, topics
from frameworks.contracts.cmcd import BadCmcd, Report
from frameworks.contracts.cmcd_sessions import Found, Sessions
from frameworks.contracts.metrics import helmsman as metrics
from frameworks.kit.clock import Clock, micros
from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import Fact, Subject
from frameworks.media.helmsman.service.reporting import Recorder
from frameworks.media.helmsman.service.viewing import Session, Viewing

AWAY_MS = 20_000
"""A player that asks for nothing for longer does not play what is live."""


class Saying(NamedTuple):
    """One report as it came: its number, by which session, when."""

    number: int
    session: str
    unix_ms: int
    text: str


class Said(msgspec.Struct, frozen=True):
    """What players told a node, since this boot of it."""

    iid: str
    data: list[Saying]


class Listener(Protocol):
    """The node's API, as far as its players' own words go."""

    async def said(self, iid: str, after: int) -> Said:
        """What players told after a number; what came up to it is not told again. Raises Unavailable."""


class Telling:
    """Sums are told under the attribution of the view: a node speaks only of streams it serves."""

    def __init__(
        self,
        node: Listener,
        viewing: Viewing,
        recorder: Recorder,
        clock: Clock,
        *,
        name: str,
        every: timedelta,
    ) -> None:
        self._node = node
        self._viewing = viewing
        self._recorder = recorder
        self._clock = clock
        self._name = name
        self._sessions = Sessions(longest_gap=AWAY_MS + every // timedelta(milliseconds=1))
        self._iid = ""
        self._after = 0
        self._unkept: list[Fact] = []
        self._open: dict[str, Session] = {}
        """Who watched at the turn before: those who left since are told of once more."""

    async def take(self) -> None:
        """Fetch what players told, and keep what it comes to. Raises Unavailable; nothing is summed twice then."""
        await self._keep()
        said = await self._node.said(self._iid, self._after)
        new = said.data if said.iid != self._iid else [s for s in said.data if s.number > self._after]
        by_session: dict[str, list[Saying]] = {}
        for saying in new:
            by_session.setdefault(saying.session, []).append(saying)
        self._unkept = [
            fact for name, some in by_session.items() for fact in self._facts(name, some, said.iid)
        ]
        self._iid, self._after = said.iid, max((s.number for s in said.data), default=self._after)
        self._open = dict(self._viewing.sessions)
        await self._keep()

    async def _keep(self) -> None:
        of_subject: dict[Subject, list[Fact]] = {}
        for fact in self._unkept:
            of_subject.setdefault(fact.subject, []).append(fact)
        await asyncio.gather(*(self._recorder.record(*some) for some in of_subject.values()))
        self._unkept = []

    def _facts(self, session: str, said: list[Saying], iid: str) -> Iterable[Fact]:
        opened = self._viewing.sessions.get(session) or self._open.get(session)
        subject = self._viewing.subject_of(opened.stream) if opened is not None else None
        if opened is None or subject is None:
            metrics.PLAYER_REPORTS.labels("unknown").inc(len(said))
            return
        identity = (iid, session, str(said[-1].number))
        for found in self._sessions.take(f"{subject.stream_id}|{session}", _reports(said), said[-1].unix_ms):
            yield from self._told(found, subject, opened.place, identity)

    def _told(
        self, found: Found, subject: Subject, place: dict[str, Any], identity: tuple[str, ...]
    ) -> Iterable[Fact]:
        for kind, sums in (
            (topics.PLAYER_BOOT.name, found.boot),
            (topics.PLAYER_SESSION.name, found.session if found.taken else None),
        ):
            if sums is not None:
                of = domain.event_id(kind, self._name, *identity, sums.session_id)
                body = asdict(sums) | {"place": place}
                yield Fact(kind, of, micros(self._clock.now()), subject, body)


def _reports(said: list[Saying]) -> list[Report]:
    """In the order they came, at the node's own time: players' clocks differ."""
    found = []
    for saying in said:
        try:
            found.append(replace(cmcd.read(saying.text), at_ms=saying.unix_ms))
        except BadCmcd:
            metrics.PLAYER_REPORTS.labels("invalid").inc()
    metrics.PLAYER_REPORTS.labels("told").inc(len(found))
    return found
