"""A server's side of one RTMP connection: bytes in, events out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from frameworks.kit.errors import Refusal
from frameworks.media.mist.protocols import amf, flv
from frameworks.media.mist.protocols.rtmp import messages
from frameworks.media.mist.protocols.rtmp.chunks import ChunkReader, ChunkWriter
from frameworks.media.mist.protocols.rtmp.events import (
    Connected,
    Metadata,
    PublishEnded,
    PublishRequested,
    Refused,
    ServerEvent,
)
from frameworks.media.mist.protocols.rtmp.handshake import Handshake, opening
from frameworks.media.mist.protocols.rtmp.messages import Message, MessageType
from frameworks.media.mist.protocols.rtmp.refusals import (
    BadChunkSize,
    BadProtocol,
    Limits,
    NoPlayback,
    NotPublishing,
    TooLarge,
    TooMuchUnauthenticated,
)

_CHUNK = 4096
_STREAM = 1
_EARLY = 1 << 20
"""Bytes that may arrive while the peer's right to publish is being decided."""

_FORWARDS = 4.0
"""Enhanced RTMP: a codec the server passes on without decoding."""


class Phase(Enum):
    """How far a connection has come."""

    HANDSHAKE = 0
    CONNECTING = 1
    CONNECTED = 2
    DECIDING = 3
    PUBLISHING = 4
    CLOSED = 5


@dataclass(slots=True)
class ServerSession:
    """One publisher's connection. `receive` never raises: a broken rule is a `Refused` event, and the end."""

    nonce: bytes
    limits: Limits = field(default_factory=Limits)
    phase: Phase = Phase.HANDSHAKE
    app: str = ""
    url: str = ""
    _handshake: Handshake = field(default_factory=Handshake)
    _chunks: ChunkReader = field(init=False)
    _writer: ChunkWriter = field(default_factory=ChunkWriter)
    _outgoing: list[bytes] = field(default_factory=list)
    _received: int = 0
    _acknowledged: int = 0
    _window: int = messages.WINDOW

    def __post_init__(self) -> None:
        self._chunks = ChunkReader(self.limits, largest=self.limits.command_bytes)

    def data_to_send(self) -> bytes:
        """What the peer must be sent now."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> list[ServerEvent]:
        """Events of newly received bytes; `b""` goes on with bytes kept while deciding."""
        if self.phase is Phase.CLOSED:
            return []
        events: list[ServerEvent] = []
        self._received += len(data)
        try:
            if self.phase is Phase.HANDSHAKE:
                data = self._shake(data)
            if data:
                self._chunks.feed(data)
            self._read(events)
            self._acknowledge()
        except Refusal as refusal:
            self._refuse(refusal)
            events.append(Refused(refusal))
        return events

    def accept(self) -> None:
        """Let the peer publish; call `receive(b"")` next."""
        self.phase = Phase.PUBLISHING
        self._chunks.largest = 0
        self._send(messages.user_control(messages.STREAM_BEGIN, _STREAM.to_bytes(4, "big")))
        self._status("status", "NetStream.Publish.Start", "Publishing.")

    def deny(self, reason: str) -> None:
        """Refuse the peer's key; it is told why."""
        self._status("error", "NetStream.Publish.BadName", reason)
        self.phase = Phase.CLOSED

    def close(self, reason: str) -> None:
        """End the session; a connected peer is told why."""
        if self.phase in (Phase.CONNECTED, Phase.DECIDING, Phase.PUBLISHING):
            self._status("error", "NetStream.Publish.Failed", reason)
        self.phase = Phase.CLOSED

    def _shake(self, data: bytes) -> bytes:
        echo = self._handshake.receive(data)
        if echo:
            self._outgoing.append(opening(self.nonce) + echo)
        if self._handshake.done:
            self.phase = Phase.CONNECTING
        return self._handshake.rest

    def _read(self, events: list[ServerEvent]) -> None:
        chunks = self._chunks
        while self.phase is not Phase.DECIDING and self.phase is not Phase.CLOSED:
            message = chunks.next()
            if self.phase is not Phase.PUBLISHING and chunks.received > self.limits.unauthenticated_bytes:
                raise TooMuchUnauthenticated("Too many bytes came before a publish request.")
            if message is None:
                return
            if message.type == MessageType.VIDEO or message.type == MessageType.AUDIO:
                self._require_publishing()
                events.append(message)
            else:
                self._handle(message, events)
        if chunks.waiting > _EARLY:
            raise TooMuchUnauthenticated("Too many bytes came before the publish request was answered.")

    def _acknowledge(self) -> None:
        if self._received - self._acknowledged >= self._window:
            self._acknowledged = self._received
            self._send(messages.control(MessageType.ACKNOWLEDGEMENT, self._received & 0xFFFFFFFF))

    def _require_publishing(self) -> None:
        if self.phase is not Phase.PUBLISHING:
            raise NotPublishing("Media came before a publish request was accepted.")

    def _handle(self, message: Message, events: list[ServerEvent]) -> None:
        if len(message.body) > self.limits.command_bytes:
            raise TooLarge("A command or script message is too long.")
        body = bytes(message.body)
        match message.type:
            case MessageType.COMMAND:
                self._command(body, events)
            case MessageType.COMMAND_AMF3:
                self._command(body[1:], events)
            case MessageType.DATA:
                self._data(body, events)
            case MessageType.DATA_AMF3:
                self._data(body[1:], events)
            case MessageType.USER_CONTROL:
                if body[:2] == messages.PING_REQUEST.to_bytes(2, "big"):
                    self._send(messages.user_control(messages.PING_RESPONSE, body[2:6]))
            case MessageType.AGGREGATE:
                raise BadProtocol("Aggregate messages are not supported.")
            case _:
                self._control(message)

    def _control(self, message: Message) -> None:
        value = messages.number(message)
        if value is None:
            return
        match message.type:
            case MessageType.SET_CHUNK_SIZE:
                if not self.limits.smallest_chunk <= value < 1 << 31:
                    raise BadChunkSize(f"A chunk size of {value} is not allowed.")
                self._chunks.chunk_size = value
            case MessageType.ABORT:
                self._chunks.abort(value)
            case MessageType.WINDOW_SIZE:
                # Half the peer's window, so that it never stalls; never so small that we flood it.
                self._window = max(65_536, min(value // 2, messages.WINDOW))

    def _data(self, body: bytes, events: list[ServerEvent]) -> None:
        values = flv.read_metadata(body)
        if values:
            self._require_publishing()
            events.append(Metadata(values))

    def _command(self, body: bytes, events: list[ServerEvent]) -> None:
        values = amf.decode(body)
        name = values[0] if values else None
        if not isinstance(name, str):
            raise BadProtocol("A command has no name.")
        ask = values[1] if len(values) > 1 else 0.0
        ticket = ask if isinstance(ask, float) else 0.0
        handler = _COMMANDS.get(name)
        if handler is None:
            self._answer_unknown(ticket)
        elif name != "connect" and self.phase is Phase.CONNECTING:
            raise BadProtocol(f"{name} came before connect.")
        else:
            handler(self, ticket, values[2:], events)

    def _answer_unknown(self, ticket: float) -> None:
        if ticket:
            facts: dict[str, amf.Value] = {"level": "error", "code": "NetConnection.Call.Failed"}
            self._send(messages.command(0, "_error", ticket, None, facts))

    def _connect(self, ticket: float, arguments: list[amf.Value], events: list[ServerEvent]) -> None:
        if self.phase is not Phase.CONNECTING:
            raise BadProtocol("connect came twice.")
        wanted = arguments[0] if arguments else None
        if not isinstance(wanted, dict):
            raise BadProtocol("connect names no application.")
        self.app = self._text(wanted.get("app"), "application name").strip("/")
        self.url = self._text(wanted.get("tcUrl"), "URL")
        encoder = wanted.get("flashVer")
        self.phase = Phase.CONNECTED
        self._send(messages.control(MessageType.WINDOW_SIZE, messages.WINDOW))
        self._send(messages.peer_bandwidth(messages.WINDOW))
        self._send(messages.control(MessageType.SET_CHUNK_SIZE, _CHUNK))
        self._writer.chunk_size = _CHUNK
        self._send(messages.command(0, "_result", ticket, _PROPERTIES, _ACCEPTED))
        events.append(Connected(self.app, self.url, _shown(encoder)))

    def _text(self, value: amf.Value, what: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > self.limits.text_length or not value.isprintable():
            raise BadProtocol(f"The {what} is not a short, printable text.")
        return value

    def _acknowledge_call(self, ticket: float, _: list[amf.Value], __: list[ServerEvent]) -> None:
        if ticket:
            self._send(messages.command(0, "_result", ticket, None, None))

    def _create_stream(self, ticket: float, _: list[amf.Value], __: list[ServerEvent]) -> None:
        self._send(messages.command(0, "_result", ticket, None, float(_STREAM)))

    def _publish(self, _: float, arguments: list[amf.Value], events: list[ServerEvent]) -> None:
        if self.phase is not Phase.CONNECTED:
            raise BadProtocol("publish came twice.")
        name = self._text(arguments[1] if len(arguments) > 1 else None, "stream key")
        key = name.partition("?")[0]
        if not key:
            raise NotPublishing("The stream key is missing from the URL.")
        self.phase = Phase.DECIDING
        base = self.url.partition("?")[0].rstrip("/") or f"rtmp:///{self.app}"
        events.append(PublishRequested(self.app, key, f"{base}/{name}"))

    def _play(self, _: float, __: list[amf.Value], ___: list[ServerEvent]) -> None:
        raise NoPlayback("This server takes streams in; watch over HLS, DASH or WebRTC.")

    def _end(self, _: float, __: list[amf.Value], events: list[ServerEvent]) -> None:
        if self.phase is Phase.PUBLISHING:
            self._status("status", "NetStream.Unpublish.Success", "The stream has ended.")
            self.phase = Phase.CLOSED
            events.append(PublishEnded())

    def _refuse(self, refusal: Refusal) -> None:
        if isinstance(refusal, NoPlayback):
            self._status("error", "NetStream.Play.Failed", refusal.message)
            self.phase = Phase.CLOSED
        self.close(refusal.message)

    def _status(self, level: str, code: str, description: str) -> None:
        self._send(messages.status(_STREAM, level, code, description))

    def _send(self, message: Message) -> None:
        is_command = message.type == MessageType.COMMAND
        channel = messages.COMMAND_CHUNKS if is_command else messages.CONTROL_CHUNKS
        self._outgoing.append(self._writer.write(channel, message))


def _shown(encoder: amf.Value) -> str:
    return encoder[:64] if isinstance(encoder, str) and encoder.isprintable() else ""


_Handler = Callable[[ServerSession, float, list[amf.Value], list[ServerEvent]], None]

_COMMANDS: dict[str, _Handler] = {
    "connect": ServerSession._connect,
    "releaseStream": ServerSession._acknowledge_call,
    "FCPublish": ServerSession._acknowledge_call,
    "createStream": ServerSession._create_stream,
    "publish": ServerSession._publish,
    "play": ServerSession._play,
    "play2": ServerSession._play,
    "FCUnpublish": ServerSession._end,
    "closeStream": ServerSession._end,
    "deleteStream": ServerSession._end,
}

_PROPERTIES: dict[str, amf.Value] = {"fmsVer": "FMS/3,5,7,7009", "capabilities": 31.0, "mode": 1.0}
_ACCEPTED: dict[str, amf.Value] = {
    "level": "status",
    "code": "NetConnection.Connect.Success",
    "description": "Connected.",
    "objectEncoding": 0.0,
    "videoFourCcInfoMap": {"avc1": _FORWARDS, "hvc1": _FORWARDS, "av01": _FORWARDS},
    "audioFourCcInfoMap": {"mp4a": _FORWARDS, "Opus": _FORWARDS},
}
