"""HLS and LL-HLS: playlists, init segments, segments and parts, and the requests that wait for them."""

import re
from collections.abc import Coroutine
from dataclasses import dataclass
from urllib.parse import quote

from frameworks.contracts import cmcd
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Fault, Kind
from frameworks.media.mist.hub.audience import Session
from frameworks.media.mist.hub.doorway import Doorway, Offline, SessionRefused, Visit
from frameworks.media.mist.hub.rendition import Rendition
from frameworks.media.mist.hub.sayings import Sayings
from frameworks.media.mist.hub.stream import LiveStream
from frameworks.media.mist.outputs.http.connection import Exchange
from frameworks.media.mist.outputs.http.waiting import hold
from frameworks.media.mist.protocols import hls
from frameworks.media.mist.protocols.hls import Variant
from frameworks.media.mist.protocols.http1 import Request

PLAYLIST = "application/vnd.apple.mpegurl"
MP4 = "video/mp4"
FRESH = "Cache-Control: no-cache\r\n"
NEVER = "Cache-Control: no-store\r\n"
KEPT = "Cache-Control: max-age=60\r\n"
MEDIA = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?\.m4s|init-(\d{1,12})\.mp4")
NUMBER = re.compile(r"\d{1,12}")
START_SECONDS = 8.0
"""How long the first playlist of a stream that is just starting is waited for."""
START_POLL = 0.1
SESSION_HEADER = "cmcd-session"
SAFE_IN_TOKEN = "-._~="


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a viewer asks for: a file of a rendition, or of the stream when `rendition` is empty."""

    visit: Visit
    rendition: str
    file: str


@dataclass(slots=True)
class _Reply:
    """Everything needed to answer one viewer, and to count what it was sent."""

    exchange: Exchange
    stream: LiveStream
    session: Session
    connector: str

    def send(self, now: float, kind: str, body: list[bytes], headers: str, *, ranged: bool = False) -> None:
        """Answer, and count the bytes to the session and the stream."""
        sent = self.exchange.reply(200, kind, body, headers=headers, ranged=ranged)
        self.session.sent += sent
        self.stream.totals.sent += sent
        self.session.touch(now, self.connector)


class MediaRoutes:
    """Serves what the hub holds; a viewer already let in is answered without a task of its own."""

    def __init__(self, clock: Clock, doorway: Doorway, sayings: Sayings) -> None:
        self._clock = clock
        self._doorway = doorway
        self._sayings = sayings

    def serve(self, exchange: Exchange, wanted: Wanted) -> Coroutine[None, None, None] | None:
        """Answer, hold, or return what has to be awaited to answer."""
        known = self._doorway.known(wanted.visit)
        if known is None or not wanted.rendition:
            return self._enter(exchange, wanted)
        self._file(self._reply(exchange, wanted, *known), wanted)
        return None

    def _reply(self, exchange: Exchange, wanted: Wanted, stream: LiveStream, session: Session) -> _Reply:
        session.received += exchange.request.size
        if said := _said(exchange.request):
            self._sayings.note(session.id, said)
        return _Reply(exchange, stream, session, wanted.visit.connector)

    async def _enter(self, exchange: Exchange, wanted: Wanted) -> None:
        try:
            stream, session = await self._doorway.enter(wanted.visit)
        except Fault as fault:
            _refuse(exchange, wanted, fault)
            return
        reply = self._reply(exchange, wanted, stream, session)
        if wanted.rendition:
            self._file(reply, wanted)
        else:
            await self._multivariant(reply, wanted)

    # --- playlists ---

    async def _multivariant(self, reply: _Reply, wanted: Wanted) -> None:
        waited = 0.0
        while not reply.stream.is_playable and waited < START_SECONDS:
            await self._clock.sleep(START_POLL)
            waited += START_POLL
        if not reply.stream.is_playable:
            _refuse(reply.exchange, wanted, Offline("Stream is offline"))
            return
        body = multivariant(reply.stream, wanted.visit.token)
        reply.send(self._clock.monotonic(), PLAYLIST, [body], NEVER)

    def _file(self, reply: _Reply, wanted: Wanted) -> None:
        renditions = reply.stream.renditions.values()
        rendition = next((r for r in renditions if r.name == wanted.rendition), None)
        if rendition is None:
            reply.exchange.fail(404, "There is no such track.")
        elif wanted.file == "index.m3u8":
            self._playlist(reply, rendition)
        elif (found := MEDIA.fullmatch(wanted.file)) is None:
            reply.exchange.fail(404, "There is nothing here.")
        elif found[3]:
            self._init(reply, rendition, int(found[3]))
        elif found[2]:
            self._part(reply, rendition, int(found[1]), int(found[2]))
        else:
            self._segment(reply, rendition, int(found[1]))

    def _playlist(self, reply: _Reply, rendition: Rendition) -> None:
        query = reply.exchange.request.query
        msn, part = query.get("_HLS_msn"), query.get("_HLS_part")
        if any(value is not None and not NUMBER.fullmatch(value) for value in (msn, part)) or (
            part and not msn
        ):
            reply.exchange.fail(
                400, "_HLS_msn and _HLS_part must be numbers, the second not without the first."
            )
        elif not rendition.is_playable and not rendition.ended:
            self._hold_playlist(reply, rendition, rendition.position[0], None)
        elif msn is None:
            self._send_playlist(reply, rendition)
        elif int(msn) > rendition.position[0] + 1:
            reply.exchange.fail(404, "That segment is too far ahead.")
        else:
            self._hold_playlist(reply, rendition, int(msn), None if part is None else int(part))

    def _hold_playlist(self, reply: _Reply, rendition: Rendition, msn: int, part: int | None) -> None:
        def send() -> None:
            self._send_playlist(reply, rendition)

        hold(reply.exchange, rendition, msn, part, due=rendition.lists, answer=send)

    def _send_playlist(self, reply: _Reply, rendition: Rendition) -> None:
        if not rendition.is_playable:
            reply.exchange.fail(404, "There is nothing to play yet.")
            return
        delta = reply.exchange.request.query.get("_HLS_skip") in ("YES", "v2")
        reply.send(self._clock.monotonic(), PLAYLIST, [rendition.playlist(delta=delta)], FRESH)

    # --- media ---

    def _init(self, reply: _Reply, rendition: Rendition, number: int) -> None:
        body = rendition.init(number)
        if body is None:
            reply.exchange.fail(404, "That configuration is gone.")
            return
        reply.send(self._clock.monotonic(), MP4, [body], KEPT, ranged=True)

    def _segment(self, reply: _Reply, rendition: Rendition, msn: int) -> None:
        segment = rendition.segment(msn)
        if segment is None or segment.duration is None:
            reply.exchange.fail(404, "That segment is gone, or not yet whole.")
            return
        reply.send(self._clock.monotonic(), MP4, segment.body(), KEPT, ranged=True)

    def _part(self, reply: _Reply, rendition: Rendition, msn: int, number: int) -> None:
        if (msn, number) == rendition.position and not rendition.ended:
            hold(
                reply.exchange,
                rendition,
                msn,
                number,
                due=rendition.reached,
                answer=lambda: self._send_part(reply, rendition, msn, number),
            )
        else:
            self._send_part(reply, rendition, msn, number)

    def _send_part(self, reply: _Reply, rendition: Rendition, msn: int, number: int) -> None:
        segment = rendition.segment(msn)
        if segment is None or number >= len(segment.parts):
            reply.exchange.fail(404, "That part is gone, or does not exist.")
            return
        reply.send(self._clock.monotonic(), MP4, [segment.parts[number].data], KEPT, ranged=True)


def _said(request: Request) -> str:
    """What the player tells of itself."""
    said = request.query.get("CMCD")
    if said is not None:
        return said
    return cmcd.read_headers(request.headers) if SESSION_HEADER in request.headers else ""


def _refuse(exchange: Exchange, wanted: Wanted, fault: Fault) -> None:
    """Say no as MistServer does: an HLS playlist says so itself, everything else is a status."""
    is_playlist = wanted.file == "index.m3u8" and wanted.visit.connector == "HLS"
    if is_playlist and isinstance(fault, Offline):
        exchange.reply(200, PLAYLIST, [hls.refusal("Stream open failed")], headers=NEVER)
    elif is_playlist and isinstance(fault, SessionRefused):
        exchange.reply(200, PLAYLIST, [hls.refusal("Shutting down due to session end")], headers=NEVER)
    elif fault.kind is Kind.FORBIDDEN and wanted.file == "index.m3u8":
        exchange.fail(403, fault.message)
    elif fault.kind is Kind.LIMITED:
        exchange.fail(503, fault.message, headers="Retry-After: 5\r\n")
    else:
        exchange.fail(404, fault.message)


def multivariant(stream: LiveStream, token: str) -> bytes:
    """The stream's multivariant playlist; the token goes into the paths, so that all below inherit it."""
    front = f"~{quote(token, safe=SAFE_IN_TOKEN)}/" if token else ""
    video: list[Variant] = []
    audio: list[Variant] = []
    for number, rendition in stream.renditions.items():
        if not rendition.is_playable:
            continue
        track, (peak, average) = rendition.track, rendition.bitrate()
        fps = stream.meters[number].fps if track.codec.is_video else 0.0
        variant = Variant(
            uri=f"{front}{rendition.name}/index.m3u8",
            codec=track.codec_string,
            peak_bps=peak,
            average_bps=average,
            width=track.width,
            height=track.height,
            fps=float(track.fps) if track.fps else fps,
            channels=track.channels,
        )
        (video if track.codec.is_video else audio).append(variant)
    return hls.multivariant(video, audio)
