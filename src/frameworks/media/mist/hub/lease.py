"""A publisher and its right to feed a stream."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from frameworks.media.mist.domain import Frame, Track


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who feeds a stream, and how to get rid of it."""

    host: str
    connector: str
    pid: int
    kick: Callable[[str], None]
    """Disconnects it; the sentence is shown to it."""
    trace: str = ""
    """In which it was admitted; what becomes of its stream is told within it."""


class Fed(Protocol):
    """A stream, as its publisher sees it."""

    lease: "Lease | None"

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Take the current publisher's tracks."""

    def add(self, frame: Frame) -> None:
        """Take a frame of the current publisher."""

    def release(self, machine: str, reason: str) -> None:
        """The current publisher is gone."""


class Lease:
    """A publisher's right to feed a stream, until it leaves, is replaced or is stopped."""

    def __init__(self, stream: Fed, publisher: Publisher) -> None:
        self.publisher = publisher
        self._stream = stream

    @property
    def is_current(self) -> bool:
        """Whether this publisher still owns the stream."""
        return self._stream.lease is self

    def tracks(self, tracks: Sequence[Track]) -> None:
        """The publisher's tracks, each time one is added or changes."""
        if self.is_current:
            self._stream.set_tracks(tracks)

    def frame(self, frame: Frame) -> None:
        """The next frame of one of them."""
        if self.is_current:
            self._stream.add(frame)

    def closed(self, machine: str, reason: str) -> None:
        """The publisher is gone: MistServer's word for why, and a sentence for people."""
        if self.is_current:
            self._stream.release(machine, reason)
