"""`/playback/telemetry/boot` and `/playback/telemetry/session`: public, from any page, believed only by their token."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar, Protocol
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from frameworks.contracts import cmcd, telemetry, topics
from frameworks.contracts.cmcd_sessions import Sessions
from frameworks.contracts.metrics import bridge as metrics
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.telemetry import Subject
from frameworks.control.bridge.api.telemetry import beacons
from frameworks.control.bridge.peers import SERVICE
from frameworks.control.bridge.transport.ratelimit import Buckets
from frameworks.kit import http, trace
from frameworks.kit.clock import Clock, micros
from frameworks.kit.errors import Fault, Forbidden, Kind, Limited, Refusal, Unauthenticated, Unavailable
from frameworks.kit.geo import Place
from frameworks.kit.identity import Verifier

BOOT_BYTES = 16 * 1024
SESSION_BYTES = 32 * 1024
REMEMBERED = 50_000
"""Event ids of reports that are known to have been taken."""

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, CMCD-Request, CMCD-Object, CMCD-Status, CMCD-Session",
    "Access-Control-Expose-Headers": "Retry-After",
    "Access-Control-Max-Age": "86400",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-store",
}
METHODS = ["POST", "GET", "OPTIONS"]
PLAIN = frozenset({"text/plain", "application/json", ""})


class TooLarge(Refusal):
    """A report over the limit."""

    kind: ClassVar = Kind.TOO_LARGE
    code = "telemetry.too_large"


class WrongType(Refusal):
    """A body of a sort that no report has."""

    code = "telemetry.unsupported_type"


class Foreign(Forbidden):
    """A report about something else than its token is for."""

    code = "telemetry.foreign"


class TooOften(Limited):
    """More reports a minute than a player needs."""

    code = "telemetry.too_many"


class Full(Unavailable):
    """Reports come faster than they can be kept."""

    code = "telemetry.full"


class Outgoing(Protocol):
    """Where events go."""

    def offer(self, event: events.Event) -> bool:
        """Take the event; False when too many wait."""


class Atlas(Protocol):
    """Where addresses are."""

    def place(self, address: str) -> Place | None:
        """The place of an address."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request, read: its body, and what it says of itself."""

    body: bytes
    media: str
    token: str
    cmcd: str


class TelemetryDoor:
    """Takes reports: limit, token, form, then an event with an id made of whose it is."""

    def __init__(
        self, verifier: Verifier, outgoing: Outgoing, atlas: Atlas, budget: Buckets, clock: Clock
    ) -> None:
        self._verifier = verifier
        self._outgoing = outgoing
        self._atlas = atlas
        self._budget = budget
        self._clock = clock
        self._sessions = Sessions()
        self._taken: OrderedDict[bytes, None] = OrderedDict()

    def routes(self) -> list[Route]:
        """Both endpoints."""

        async def boot(request: Request) -> Response:
            return await self._answer(request, "boot", BOOT_BYTES, self._boot)

        async def session(request: Request) -> Response:
            return await self._answer(request, "session", SESSION_BYTES, self._session)

        return [
            Route("/playback/telemetry/boot", boot, methods=METHODS),
            Route("/playback/telemetry/session", session, methods=METHODS),
        ]

    async def _answer(
        self, request: Request, kind: str, most: int, take: "Callable[[Arrived, Place | None], str]"
    ) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=CORS)
        address = request.client.host if request.client else ""
        headers = dict(CORS)
        try:
            self._count(address, headers)
            arrived = await _read(request, most)
            outcome = take(arrived, self._atlas.place(address))
        except Fault as fault:
            metrics.TELEMETRY.labels(kind, _outcome(fault)).inc()
            response = http.fault_response(fault)
            response.headers.update(headers)
            return response
        except ClientDisconnect:
            return Response(status_code=499)
        metrics.TELEMETRY.labels(kind, outcome).inc()
        return Response(status_code=204, headers=headers)

    def _count(self, address: str, headers: dict[str, str]) -> None:
        verdict = self._budget.take(address)
        headers |= verdict.headers()
        if not verdict.passes:
            raise TooOften("Too many reports from here.", retry_after=verdict.retry_after)

    def _boot(self, arrived: Arrived, place: Place | None) -> str:
        boot = beacons.read_boot(_json(arrived))
        subject = self._subject(boot.telemetry_token or arrived.token, boot.content_id)
        payload = beacons.boot_event(boot)
        return self._publish_boot(subject, payload, boot.trace_id or boot.session_id, place)

    def _session(self, arrived: Arrived, place: Place | None) -> str:
        if arrived.cmcd or arrived.media == cmcd.MIME:
            return self._cmcd(arrived, place)
        session = beacons.read_session(_json(arrived))
        subject = self._subject(session.telemetry_token or arrived.token, session.content_id)
        return self._publish_session(subject, beacons.session_event(session), place)

    def _cmcd(self, arrived: Arrived, place: Place | None) -> str:
        subject = self._subject(arrived.token, "")
        reports = [cmcd.read(arrived.cmcd)] if arrived.cmcd else cmcd.read_events(arrived.body)
        now_ms = micros(self._clock.now()) // 1000
        outcomes = set()
        for found in self._sessions.take(_owner(subject), reports, now_ms):
            if found.boot is not None:
                boot = events.PlayerBoot(**asdict(found.boot))
                outcomes.add(self._publish_boot(subject, boot, found.session.session_id, place))
            if found.taken:
                session = events.PlayerSession(**asdict(found.session))
                outcomes.add(self._publish_session(subject, session, place))
        return "taken" if "taken" in outcomes else "repeated"

    def _subject(self, token: str, content: str) -> Subject:
        if not token:
            raise Unauthenticated("A report needs the telemetryToken that came with the playback answer.")
        claims = self._verifier.claims(token, typ=telemetry.TYP, issuer=telemetry.ISSUER)
        subject = telemetry.subject(claims)
        if content and content != subject.playback_id:
            raise Foreign("The token is for another stream.")
        return subject

    def _publish_boot(self, subject: Subject, boot: events.PlayerBoot, name: str, place: Place | None) -> str:
        boot.artifact = subject.artifact
        boot.place.CopyFrom(_place(place))
        event = self._event(topics.PLAYER_BOOT.name, subject, f"boot|{name}")
        event.player_boot.CopyFrom(boot)
        return self._publish(event)

    def _publish_session(self, subject: Subject, session: events.PlayerSession, place: Place | None) -> str:
        session.artifact, session.artifact_kind = subject.artifact, subject.artifact_kind
        session.place.CopyFrom(_place(place))
        name = f"session|{session.session_id}|{session.sequence}"
        event = self._event(topics.PLAYER_SESSION.name, subject, name)
        event.player_session.CopyFrom(session)
        return self._publish(event)

    def _publish(self, event: events.Event) -> str:
        if event.event_id in self._taken:
            return "repeated"
        if not self._outgoing.offer(event):
            raise Full("Too many reports wait to be kept.")
        self._taken[event.event_id] = None
        if len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)
        return "taken"

    def _event(self, kind: str, subject: Subject, name: str) -> events.Event:
        return events.Event(
            event_id=report_id(subject, name).bytes,
            type=kind,
            occurred_at=micros(self._clock.now()),
            schema_version=topics.SCHEMA_VERSION,
            tenant_id=subject.tenant.bytes,
            stream_id=subject.stream.bytes if subject.stream else b"",
            node_id="" if subject.stream else SERVICE,
            source=SERVICE,
            trace_id=trace.current.get() or "",
        )


def report_id(subject: Subject, name: str) -> UUID:
    """The id of a report's event: the same report again has the same, and no tenant can make another's."""
    digest = hashlib.blake2b(f"{_owner(subject)}|{name}".encode(), digest_size=16, person=b"telemetry")
    return UUID(bytes=digest.digest(), version=5)


def _owner(subject: Subject) -> str:
    return f"{subject.tenant}|{subject.stream}|{subject.artifact}|{subject.playback_id}"


def _json(arrived: Arrived) -> bytes:
    if arrived.media not in PLAIN:
        raise WrongType("Send JSON as text/plain or application/json, or CMCD as application/cmcd.")
    return arrived.body


def _outcome(fault: Fault) -> str:
    if fault.kind in (Kind.UNAUTHENTICATED, Kind.FORBIDDEN):
        return "refused"
    return {Kind.LIMITED: "limited", Kind.UNAVAILABLE: "dropped"}.get(fault.kind, "invalid")


def _place(place: Place | None) -> events.Place:
    if place is None:
        return events.Place()
    return events.Place(
        country=place.country,
        city=place.city,
        h3_cell=place.cell,
        latitude=place.latitude,
        longitude=place.longitude,
    )


async def _read(request: Request, most: int) -> Arrived:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"A report has at most {most} bytes.")
    return Arrived(
        bytes(body),
        request.headers.get("content-type", "").partition(";")[0].strip().lower(),
        request.query_params.get("token", ""),
        request.query_params.get("CMCD", "") or cmcd.read_headers(request.headers),
    )
