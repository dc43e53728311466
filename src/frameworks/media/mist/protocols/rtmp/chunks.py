"""The chunk stream: messages cut into interleaved chunks, and put together again."""

from dataclasses import dataclass, field

from frameworks.media.mist.protocols.rtmp.messages import Message
from frameworks.media.mist.protocols.rtmp.refusals import BadProtocol, Limits, TooLarge, TooManyChunkStreams

DEFAULT_CHUNK = 128
_EXTENDED = 0xFFFFFF
_HEADER_BYTES = (11, 7, 3, 0)
_EXTENDED_MARK = b"\xff\xff\xff"


@dataclass(slots=True)
class _Stream:
    """What a chunk stream remembers between its chunks."""

    marker: bytes
    """The basic header of a continuation chunk (format 3) of this stream."""
    timestamp: int = 0
    delta: int = 0
    extended: bytes = b""
    plain: bool = True
    """Whether a continuation chunk's header is the one byte `marker`."""
    length: int = 0
    type: int = 0
    stream: int = 0
    body: bytearray = field(default_factory=bytearray)
    unfinished: bool = False


@dataclass(slots=True)
class ChunkReader:
    """Feed bytes, take messages: `feed(data)`, then `next()` until it returns None.

    Nearly all bytes of a 128-byte-chunk publisher pass `_run`, which handles every whole continuation chunk
    at hand in a few C calls, however many there are.
    """

    limits: Limits
    chunk_size: int = DEFAULT_CHUNK
    largest: int = 0
    """Longest message accepted now; 0 means the limits' own."""
    received: int = 0
    """Bytes consumed so far."""
    _data: bytes = b""
    _at: int = 0
    _streams: dict[int, _Stream] = field(default_factory=dict)
    _current: _Stream | None = None
    _last: _Stream | None = None
    """The stream of the chunk before; nearly always that of the next one too."""
    _left: int = 0
    """Bytes of the current chunk still to come."""
    _pending: int = 0
    """Declared bytes of all unfinished messages."""

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    @property
    def waiting(self) -> int:
        """Bytes fed and not consumed."""
        return len(self._data) - self._at

    def next(self) -> Message | None:
        """The next whole message, or None until more bytes come; raises a Refusal at a limit or an error."""
        start = self._at
        try:
            while True:
                stream = self._current or self._begin()
                if stream is None:
                    return None
                message = self._take(stream)
                if message is not None or self._current is not None:
                    return message
        finally:
            self.received += self._at - start

    def abort(self, chunk_stream: int) -> None:
        """Forget the unfinished message of a chunk stream."""
        stream = self._streams.get(chunk_stream)
        if stream is not None:
            self._drop(stream)

    def _drop(self, stream: _Stream) -> None:
        if stream.unfinished:
            self._pending -= stream.length
            stream.unfinished = False

    def _take(self, stream: _Stream) -> Message | None:
        """Move bytes of the current chunk into its message; the message when that completes it."""
        at, left = self._at, self._left
        piece = self._data[at : at + left]
        stream.body += piece
        size = len(piece)
        self._at = at + size
        if size < left:
            self._left = left - size
            return None
        self._current = None
        missing = stream.length - len(stream.body)
        if missing > self.chunk_size:
            missing = self._run(stream, missing)
        return None if missing else self._finished(stream)

    def _finished(self, stream: _Stream) -> Message:
        self._drop(stream)
        return Message(stream.type, stream.stream, stream.timestamp, stream.body)

    def _run(self, stream: _Stream, missing: int) -> int:
        """Append all whole continuation chunks that follow: their headers stand `chunk_size + 1` apart."""
        size, at = self.chunk_size, self._at
        count = min((len(self._data) - at) // (size + 1), missing // size)
        if count < 2 or not stream.plain:
            return missing
        end = at + count * (size + 1)
        if self._data[at : end : size + 1] != stream.marker * count:
            return missing
        run = bytearray(self._data[at:end])
        del run[:: size + 1]
        stream.body += run
        self._at = end
        return missing - count * size

    def _begin(self) -> _Stream | None:
        """Read a chunk header and make its stream current; None, consuming nothing, until it is all there."""
        data, at = self._data, self._at
        if at >= len(data):
            return None
        last = self._last
        if last is not None and last.unfinished and data[at] == last.marker[0] and last.plain:
            self._at = at + 1
            self._current = last
            self._left = min(self.chunk_size, last.length - len(last.body))
            return last
        form, chunk_stream, at = self._basic_header(at)
        size = _HEADER_BYTES[form]
        if at + size > len(data):
            return None
        header = data[at : at + size]
        stream = self._stream(form, chunk_stream)
        extended = self._extended(stream, form, header, at + size)
        if extended is None:
            return None
        stamp, self._at = extended
        self._streams[chunk_stream] = stream
        self._apply(stream, form, header, stamp)
        return stream

    def _extended(self, stream: _Stream, form: int, header: bytes, at: int) -> tuple[bytes, int] | None:
        """(the extended timestamp or nothing, where the payload starts), or None until it is all there."""
        if form != 3:
            if header[:3] != _EXTENDED_MARK:
                return b"", at
            stamp = self._data[at : at + 4]
            return (stamp, at + 4) if len(stamp) == 4 else None
        if not stream.extended:
            return b"", at
        # Most peers repeat the extended timestamp before every chunk, some do not.
        repeated = self._data[at : at + 4]
        if repeated == stream.extended:
            return repeated, at + 4
        return None if stream.extended.startswith(repeated) else (b"", at)

    def _basic_header(self, at: int) -> tuple[int, int, int]:
        """(format, chunk stream id, where the message header starts); the id may lie beyond the data."""
        first = self._data[at]
        chunk_stream = first & 63
        if chunk_stream == 0:
            low = self._data[at + 1] if at + 1 < len(self._data) else 0
            return first >> 6, 64 + low, at + 2
        if chunk_stream == 1:
            low, high = (*self._data[at + 1 : at + 3], 0, 0)[:2]
            return first >> 6, 64 + low + high * 256, at + 3
        return first >> 6, chunk_stream, at + 1

    def _stream(self, form: int, chunk_stream: int) -> _Stream:
        stream = self._streams.get(chunk_stream)
        if stream is not None:
            return stream
        if form != 0:
            raise BadProtocol(f"Chunk stream {chunk_stream} does not start with a full header.")
        if len(self._streams) >= self.limits.chunk_streams:
            raise TooManyChunkStreams(f"At most {self.limits.chunk_streams} chunk streams are allowed.")
        return _Stream(basic_header(3, chunk_stream))

    def _apply(self, stream: _Stream, form: int, header: bytes, extended: bytes) -> None:
        """Take a chunk's header into its stream; a new header amid a message gives that message up."""
        if form != 3 or not stream.unfinished:
            self._drop(stream)
            self._start(stream, form, header, extended)
        self._current = self._last = stream
        self._left = min(self.chunk_size, stream.length - len(stream.body))

    def _start(self, stream: _Stream, form: int, header: bytes, extended: bytes) -> None:
        if form != 3:
            stream.extended = extended
            stream.plain = not extended and len(stream.marker) == 1
            stream.delta = int.from_bytes(extended or header[:3], "big")
        stream.timestamp = stream.delta if form == 0 else (stream.timestamp + stream.delta) & 0xFFFFFFFF
        if form < 2:
            stream.length, stream.type = int.from_bytes(header[3:6], "big"), header[6]
        if form == 0:
            stream.stream = int.from_bytes(header[7:11], "little")
        longest = self.largest or self.limits.message_bytes
        if stream.length > longest:
            raise TooLarge(f"A message of {stream.length} bytes is longer than the {longest} allowed.")
        if self._pending + stream.length > 2 * self.limits.message_bytes:
            raise TooLarge("Too many messages are unfinished at once.")
        self._pending += stream.length
        stream.unfinished = True
        stream.body = bytearray()


def basic_header(form: int, chunk_stream: int) -> bytes:
    """A chunk's basic header (one to three bytes)."""
    if chunk_stream < 64:
        return bytes([form << 6 | chunk_stream])
    if chunk_stream < 320:
        return bytes([form << 6, chunk_stream - 64])
    return bytes([form << 6 | 1, (chunk_stream - 64) & 255, (chunk_stream - 64) >> 8])


@dataclass(slots=True)
class ChunkWriter:
    """Messages into chunks, each message under a full header."""

    chunk_size: int = DEFAULT_CHUNK

    def write(self, chunk_stream: int, message: Message) -> bytes:
        """The bytes of a message."""
        stamp = message.timestamp & 0xFFFFFFFF
        extended = stamp.to_bytes(4, "big") if stamp >= _EXTENDED else b""
        head = (
            basic_header(0, chunk_stream)
            + min(stamp, _EXTENDED).to_bytes(3, "big")
            + len(message.body).to_bytes(3, "big")
            + bytes([message.type])
            + message.stream.to_bytes(4, "little")
            + extended
        )
        size, body = self.chunk_size, message.body
        if len(body) <= size:
            return head + body
        between = basic_header(3, chunk_stream) + extended
        return head + between.join([body[at : at + size] for at in range(0, len(body), size)])
