"""Publishing over RTMP(S): frames in, a remote server fed; used by restreams and the demo publisher."""

import asyncio
import ssl
from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from typing import ClassVar

from frameworks.kit.clock import random_bytes
from frameworks.kit.errors import Precondition, Unavailable
from frameworks.media.mist.domain import Frame, Track
from frameworks.media.mist.protocols import amf, flv
from frameworks.media.mist.protocols.rtmp.client import ClientSession, Target
from frameworks.media.mist.protocols.rtmp.events import ClientEvent, Published, Rejected
from frameworks.media.mist.protocols.rtmp.handshake import NONCE
from frameworks.media.mist.protocols.rtmp.messages import MessageType

_READ = 65_536
_ENCODER = "FrameWorks"


class TargetAway(Unavailable):
    """The target can not be reached, or went away."""

    code: ClassVar = "mist.push.unavailable"


class TargetRefused(Precondition):
    """The target answered and said no."""

    code: ClassVar = "mist.push.refused"


class RtmpPublisher:
    """One push to one URL; `publish` connects, sends until the frames end, and says goodbye.

    It sends as fast as frames come and the target reads: pacing is the caller's. `sent` counts media bytes.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        self.target = Target.parse(url)
        self.sent = 0
        self._timeout = timeout
        self._tls = (tls or ssl.create_default_context()) if self.target.secure else None
        self._kinds: dict[int, Track] = {}

    async def publish(self, tracks: Sequence[Track], frames: AsyncIterable[Frame]) -> None:
        """Send `tracks`, then `frames`; raises TargetAway (try again) or TargetRefused."""
        session = ClientSession(self.target, random_bytes(NONCE))
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_connection(
                    self.target.host, self.target.port, ssl=self._tls
                )
        except (OSError, TimeoutError) as error:
            raise TargetAway("The target can not be reached.", host=self.target.host) from error
        try:
            async with asyncio.timeout(self._timeout):
                await _open(session, reader, writer)
            await self._feed(session, reader, writer, tracks, frames)
        except (OSError, TimeoutError) as error:
            raise TargetAway("The target stopped taking the stream.", host=self.target.host) from error
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _feed(
        self,
        session: ClientSession,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tracks: Sequence[Track],
        frames: AsyncIterable[Frame],
    ) -> None:
        """Send media while listening, so that a refusal or a hang-up ends the push at once."""
        sending = asyncio.ensure_future(self._send(session, writer, tracks, frames))
        listening = asyncio.ensure_future(_listen(session, reader, writer))
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, listening):
                task.cancel()
            outcomes = await asyncio.gather(listening, sending, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _send(
        self,
        session: ClientSession,
        writer: asyncio.StreamWriter,
        tracks: Sequence[Track],
        frames: AsyncIterable[Frame],
    ) -> None:
        self._announce(session, tracks)
        async for frame in frames:
            track = self._kinds[frame.track]
            dts = frame.dts * 1000 // track.timescale
            offset = (frame.dts + frame.cts) * 1000 // track.timescale - dts
            session.send(_kind(track), dts, flv.frame_body(track.codec, frame, offset))
            data = session.data_to_send()
            self.sent += len(data)
            writer.write(data)
            if writer.transport.get_write_buffer_size():
                async with asyncio.timeout(self._timeout):
                    await writer.drain()
        session.finish()
        await _flush(session, writer)

    def _announce(self, session: ClientSession, tracks: Sequence[Track]) -> None:
        self._kinds = {track.id: track for track in tracks}
        session.send(MessageType.DATA, 0, flv.metadata_body(_metadata(tracks)))
        for track in tracks:
            session.send(_kind(track), 0, flv.config_body(track))


async def _open(session: ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    session.start()
    await _flush(session, writer)
    while Published() not in await _hear(session, reader, writer):
        pass


async def _listen(session: ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await _hear(session, reader, writer)


async def _hear(
    session: ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> list[ClientEvent]:
    """The events of the next bytes; raises when the target refuses or hangs up."""
    data = await reader.read(_READ)
    if not data:
        raise TargetAway("The target closed the connection.", host=session.target.host)
    events = session.receive(data)
    for event in events:
        if isinstance(event, Rejected):
            raise TargetRefused(event.description, answer=event.code, host=session.target.host)
    await _flush(session, writer)
    return events


async def _flush(session: ClientSession, writer: asyncio.StreamWriter) -> None:
    data = session.data_to_send()
    if data:
        writer.write(data)
        await writer.drain()


def _kind(track: Track) -> MessageType:
    return MessageType.VIDEO if track.codec.is_video else MessageType.AUDIO


def _metadata(tracks: Sequence[Track]) -> dict[str, amf.Value]:
    values: dict[str, amf.Value] = {"encoder": _ENCODER}
    for track in tracks:
        fourcc = float(flv.codec_id(track.codec))
        if track.codec.is_video:
            values |= {"width": float(track.width), "height": float(track.height), "videocodecid": fourcc}
            values |= {"framerate": float(track.fps)} if track.fps else {}
        else:
            values |= {
                "audiosamplerate": float(track.rate),
                "stereo": track.channels == 2,
                "audiocodecid": fourcc,
            }
    return values
