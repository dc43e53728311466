"""The clip: what is in its file, and how it repeats without a seam."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from frameworks.kit.errors import Refusal
from frameworks.media.mist.domain import Frame, Track
from frameworks.media.mist.protocols.rtmp.media import MediaReader, TracksChanged
from frameworks.media.mist.protocols.rtmp.messages import Message, MessageType

WIDTH, HEIGHT, FPS = 1280, 720, 30
AUDIO_RATE, AUDIO_FRAME = 48_000, 1024
GOP_SECONDS = 2
SECONDS = 16
"""A multiple of 8: the shortest time that both whole GOPs and whole AAC frames fill."""
NAME = f"demo-1-{WIDTH}x{HEIGHT}p{FPS}.flv"
"""The clip's file name; the number goes up when the clip's content changes."""

_FLV_HEADER, _TAG_HEADER, _TAG_TRAILER = 13, 11, 4


class BadClip(Refusal):
    """A clip file that does not hold one video and one audio track of the length we make."""

    code: ClassVar = "demo.clip"


@dataclass(frozen=True, slots=True)
class Clip:
    """Tracks and frames of one round, in sending order."""

    tracks: tuple[Track, ...]
    frames: tuple[Frame, ...]

    def later(self, frame: Frame, turn: int) -> Frame:
        """The frame as it is in round `turn`."""
        return replace(frame, dts=frame.dts + turn * SECONDS * self._rate(frame))

    def seconds(self, frame: Frame) -> float:
        """When a frame is due, from its round's start."""
        return frame.dts / self._rate(frame)

    def _rate(self, frame: Frame) -> int:
        return next(track.timescale for track in self.tracks if track.id == frame.track)


def _messages(data: bytes) -> Iterator[Message]:
    if data[:3] != b"FLV":
        raise BadClip("The clip is not an FLV file.")
    at = _FLV_HEADER
    while at + _TAG_HEADER <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        timestamp = int.from_bytes(data[at + 7 : at + 8] + data[at + 4 : at + 7], "big")
        body = data[at + _TAG_HEADER : at + _TAG_HEADER + size]
        yield Message(data[at] & 31, 1, timestamp, body)
        at += _TAG_HEADER + size + _TAG_TRAILER


def read_clip(data: bytes) -> Clip:
    """Parse a clip file; raises BadClip."""
    reader = MediaReader()
    tracks: tuple[Track, ...] = ()
    frames: list[Frame] = []
    for message in _messages(data):
        if message.type not in (MessageType.AUDIO, MessageType.VIDEO):
            continue
        for item in reader.read(message):
            if isinstance(item, TracksChanged):
                tracks = item.tracks
            else:
                frames.append(item)
    video = [frame for frame in frames if frame.track == 1]
    audio = [frame for frame in frames if frame.track == 2]
    if len(video) != SECONDS * FPS or len(audio) * AUDIO_FRAME != SECONDS * AUDIO_RATE:
        raise BadClip(f"The clip has {len(video)} pictures and {len(audio)} audio frames.")
    even = [replace(frame, dts=index * 90_000 // FPS) for index, frame in enumerate(video)]
    even += [replace(frame, dts=index * AUDIO_FRAME) for index, frame in enumerate(audio)]
    rates = {track.id: track.timescale for track in tracks}
    return Clip(tracks, tuple(sorted(even, key=lambda frame: (frame.dts / rates[frame.track], frame.track))))
