"""A publisher's side of one RTMP connection: bytes in, events out, media in, bytes out."""

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar
from urllib.parse import urlsplit

from frameworks.kit.errors import Refusal
from frameworks.media.mist.protocols import amf
from frameworks.media.mist.protocols.rtmp import messages
from frameworks.media.mist.protocols.rtmp.chunks import ChunkReader, ChunkWriter
from frameworks.media.mist.protocols.rtmp.events import ClientEvent, Published, Rejected
from frameworks.media.mist.protocols.rtmp.handshake import Handshake, opening
from frameworks.media.mist.protocols.rtmp.messages import Message, MessageType
from frameworks.media.mist.protocols.rtmp.refusals import BadProtocol, Limits

_CHUNK = 65_536
_CONNECT, _RELEASE, _PREPARE, _CREATE, _PUBLISH, _UNPREPARE, _DELETE = (float(n) for n in range(1, 8))
_CHANNELS = {
    MessageType.AUDIO: messages.AUDIO_CHUNKS,
    MessageType.VIDEO: messages.VIDEO_CHUNKS,
    MessageType.DATA: messages.DATA_CHUNKS,
    MessageType.COMMAND: messages.COMMAND_CHUNKS,
}


class BadTarget(Refusal):
    """A push URL that is not rtmp:// or rtmps:// with a host, an application and a key."""

    code: ClassVar = "mist.rtmp.target"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to publish."""

    host: str
    port: int
    secure: bool
    app: str
    key: str = field(repr=False)
    url: str
    """The URL without the key: what `connect` sends."""

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Split a push URL: the last path segment (and the query) is the key; raises BadTarget."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadTarget("The push URL is not valid.") from error
        app, _, key = parts.path.strip("/").rpartition("/")
        if parts.scheme not in ("rtmp", "rtmps") or not parts.hostname or not app or not key:
            raise BadTarget("A push URL looks like rtmp://host/application/key.")
        secure = parts.scheme == "rtmps"
        name = f"{key}?{parts.query}" if parts.query else key
        place = parts.netloc.rpartition("@")[2]
        return cls(
            parts.hostname,
            port or (443 if secure else 1935),
            secure,
            app,
            name,
            f"{parts.scheme}://{place}/{app}",
        )


class _Phase(Enum):
    HANDSHAKE = 0
    ASKING = 1
    PUBLISHING = 2
    CLOSED = 3


@dataclass(slots=True)
class ClientSession:
    """One connection that publishes. `start`, then `receive` until `Published`, then `send`."""

    target: Target
    nonce: bytes
    _phase: _Phase = _Phase.HANDSHAKE
    _handshake: Handshake = field(default_factory=Handshake)
    _chunks: ChunkReader = field(default_factory=lambda: ChunkReader(Limits(message_bytes=1 << 16)))
    _writer: ChunkWriter = field(default_factory=ChunkWriter)
    _outgoing: list[bytes] = field(default_factory=list)
    _stream: int = 0
    _acknowledged: int = 0
    _window: int = messages.WINDOW

    def start(self) -> None:
        """Say hello."""
        self._outgoing.append(opening(self.nonce))

    def data_to_send(self) -> bytes:
        """What the server must be sent now."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Events of newly received bytes; never raises, a server that breaks the protocol is `Rejected`."""
        events: list[ClientEvent] = []
        try:
            if self._phase is _Phase.HANDSHAKE:
                data = self._shake(data)
            self._chunks.feed(data)
            while self._phase is not _Phase.CLOSED and (message := self._chunks.next()) is not None:
                self._handle(message, events)
            self._acknowledge()
        except Refusal as refusal:
            self._phase = _Phase.CLOSED
            events.append(Rejected(refusal.code, refusal.message))
        return events

    def send(self, kind: MessageType, timestamp: int, body: bytes) -> None:
        """Queue an audio, video or script message of the published stream."""
        self._send(Message(kind, self._stream, timestamp, body))

    def finish(self) -> None:
        """Say goodbye."""
        if self._phase is _Phase.PUBLISHING:
            self._send(messages.command(0, "FCUnpublish", _UNPREPARE, None, self.target.key))
            self._send(messages.command(0, "deleteStream", _DELETE, None, float(self._stream)))
        self._phase = _Phase.CLOSED

    def _shake(self, data: bytes) -> bytes:
        echo = self._handshake.receive(data)
        if echo:
            self._outgoing.append(echo)
            self._connect()
        if self._handshake.done:
            self._phase = _Phase.ASKING
        return self._handshake.rest

    def _connect(self) -> None:
        wanted: dict[str, amf.Value] = {
            "app": self.target.app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; FrameWorks)",
            "tcUrl": self.target.url,
            "fourCcList": ["avc1", "hvc1", "av01", "mp4a", "Opus"],
        }
        self._send(messages.command(0, "connect", _CONNECT, wanted))

    def _acknowledge(self) -> None:
        if self._chunks.received - self._acknowledged >= self._window:
            self._acknowledged = self._chunks.received
            self._send(messages.control(MessageType.ACKNOWLEDGEMENT, self._acknowledged & 0xFFFFFFFF))

    def _handle(self, message: Message, events: list[ClientEvent]) -> None:
        value = messages.number(message)
        match message.type:
            case MessageType.COMMAND:
                self._command(amf.decode(bytes(message.body)), events)
            case MessageType.SET_CHUNK_SIZE if value:
                self._chunks.chunk_size = value
            case MessageType.WINDOW_SIZE if value:
                self._window = max(65_536, value // 2)
            case MessageType.USER_CONTROL if message.body[:2] == messages.PING_REQUEST.to_bytes(2, "big"):
                self._send(messages.user_control(messages.PING_RESPONSE, bytes(message.body[2:6])))

    def _command(self, values: list[amf.Value], events: list[ClientEvent]) -> None:
        match values:
            case ["_result", float(ticket), *rest]:
                self._result(ticket, rest)
            case ["_error", float(ticket), *rest] if ticket in (_CONNECT, _CREATE, _PUBLISH):
                self._reject(rest[-1] if rest else None, events)
            case ["onStatus", _, _, dict(facts), *_]:
                self._status(facts, events)

    def _result(self, ticket: float, rest: list[amf.Value]) -> None:
        if ticket == _CONNECT:
            self._send(messages.control(MessageType.SET_CHUNK_SIZE, _CHUNK))
            self._writer.chunk_size = _CHUNK
            self._send(messages.command(0, "releaseStream", _RELEASE, None, self.target.key))
            self._send(messages.command(0, "FCPublish", _PREPARE, None, self.target.key))
            self._send(messages.command(0, "createStream", _CREATE, None))
        elif ticket == _CREATE:
            stream = rest[1] if len(rest) > 1 else None
            if not isinstance(stream, float) or not 0 <= stream < 1 << 32:
                raise BadProtocol("The server created no stream.")
            self._stream = int(stream)
            self._send(messages.command(self._stream, "publish", _PUBLISH, None, self.target.key, "live"))

    def _status(self, facts: dict[str, amf.Value], events: list[ClientEvent]) -> None:
        if facts.get("level") == "error":
            self._reject(facts, events)
        elif facts.get("code") == "NetStream.Publish.Start" and self._phase is _Phase.ASKING:
            self._phase = _Phase.PUBLISHING
            events.append(Published())

    def _reject(self, facts: amf.Value, events: list[ClientEvent]) -> None:
        known = facts if isinstance(facts, dict) else {}
        self._phase = _Phase.CLOSED
        code, description = known.get("code"), known.get("description") or "The server refused."
        events.append(Rejected(str(code)[:64], str(description)[:200]))

    def _send(self, message: Message) -> None:
        channel = _CHANNELS.get(MessageType(message.type), messages.CONTROL_CHUNKS)
        self._outgoing.append(self._writer.write(channel, message))
