"""From media messages to tracks and frames: what a publisher's connection hands to the hub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from frameworks.media.mist.domain import Codec, Frame, Track
from frameworks.media.mist.protocols import codecs, flv
from frameworks.media.mist.protocols.amf import Value
from frameworks.media.mist.protocols.codecs.audio import aac_frame_samples, opus_packet_samples
from frameworks.media.mist.protocols.flv import Packet, Part
from frameworks.media.mist.protocols.rtmp.messages import Message, MessageType
from frameworks.media.mist.protocols.timing import VIDEO_RATE, AudioClock, Timeline, VideoClock

VIDEO, AUDIO = 1, 2
WAIT_MS = 1_000
"""How much media may pass before a stream is announced without the track that is missing."""
MAX_HELD = 512
"""Frames held until the tracks are announced."""


@dataclass(frozen=True, slots=True)
class TracksChanged:
    """The stream's tracks from here on; always before the first frame that needs them."""

    tracks: tuple[Track, ...]


Item: TypeAlias = TracksChanged | Frame


@dataclass(slots=True)
class MediaReader:
    """One publisher's media. Holds the first frames until both tracks are known, or clearly will not come."""

    timeline: Timeline = field(default_factory=Timeline)
    _tracks: dict[int, Track] = field(default_factory=dict)
    _expected: set[int] = field(default_factory=lambda: {VIDEO, AUDIO})
    _announced: bool = False
    _held: list[Frame] = field(default_factory=list)
    _first: int | None = None
    _video: VideoClock = field(default_factory=VideoClock)
    _audio: AudioClock = field(default_factory=lambda: AudioClock(48_000))
    _samples: int = 1024

    def metadata(self, values: Mapping[str, Value]) -> None:
        """Learn from `onMetaData` which tracks to wait for."""
        named = {VIDEO} if "videocodecid" in values or "width" in values else set()
        named |= {AUDIO} if "audiocodecid" in values else set()
        if named and not self._announced:
            self._expected = named

    def read(self, message: Message, received: float = 0.0) -> list[Item]:
        """Frames and track changes of an audio or video message; raises a Refusal on others."""
        track = VIDEO if message.type == MessageType.VIDEO else AUDIO
        packet = flv.read_video(message.body) if track == VIDEO else flv.read_audio(message.body)
        if packet is None or packet.part is Part.NOTHING:
            return []
        if packet.part is Part.CONFIG:
            return self._configure(track, packet)
        known = self._tracks.get(track)
        if known is None or known.codec is not packet.codec or not packet.data:
            return []
        moment = self.timeline.at(track, message.timestamp)
        return self._emit(self._frame(track, moment, packet, received), moment)

    def _frame(self, track: int, moment: int, packet: Packet, received: float) -> Frame:
        if track == VIDEO:
            cts = packet.cts * (VIDEO_RATE // 1000)
            return Frame(VIDEO, self._video.dts(moment), cts, packet.keyframe, packet.data, received)
        samples = opus_packet_samples(packet.data) if packet.codec is Codec.OPUS else self._samples
        return Frame(AUDIO, self._audio.dts(moment, samples), 0, True, packet.data, received)

    def _configure(self, track: int, packet: Packet) -> list[Item]:
        fresh = codecs.track(packet.codec, packet.data)
        if self._tracks.get(track) == fresh:
            return []
        if track == AUDIO:
            if fresh.rate != self._audio.rate:
                self._audio = AudioClock(fresh.rate)
            self._samples = aac_frame_samples(fresh.init) if fresh.codec is Codec.AAC else 960
        self._tracks[track] = fresh
        return [self._changed()] if self._announced else []

    def _changed(self) -> TracksChanged:
        return TracksChanged(tuple(self._tracks[track] for track in sorted(self._tracks)))

    def _emit(self, frame: Frame, moment: int) -> list[Item]:
        if self._announced:
            return [frame]
        self._held.append(frame)
        self._first = moment if self._first is None else self._first
        complete = self._expected <= self._tracks.keys()
        if not complete and moment - self._first < WAIT_MS and len(self._held) < MAX_HELD:
            return []
        self._announced = True
        held, self._held = self._held, []
        return [self._changed(), *held]
