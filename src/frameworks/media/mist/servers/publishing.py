"""What every server that takes streams in asks of the node: who may publish, and where the media goes."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from frameworks.media.mist.domain import Frame, Track


@dataclass(frozen=True, slots=True)
class Denied:
    """The publisher may not; `reason` is shown to it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a publisher is gone: a machine reason as MistServer names them, and a sentence."""

    machine: str
    human: str


@dataclass(frozen=True, slots=True)
class Connection:
    """Facts of an admitted publisher's connection; holds no key."""

    protocol: str
    host: str
    """The peer's address."""
    port: int
    app: str
    encoder: str
    secure: bool
    kick: Callable[[str], None]
    """Drop this publisher; it is shown the sentence."""


class Ingest(Protocol):
    """Takes one publisher's media. Its calls never wait: whoever can not keep up behind it loses frames."""

    def tracks(self, tracks: Sequence[Track]) -> None:
        """The stream's tracks from here on; always before the first frame that needs them."""

    def frame(self, frame: Frame) -> None:
        """The next frame in decode order of its track."""

    def closed(self, reason: Ending) -> None:
        """The publisher is gone; called exactly once, last."""


class Gate(Protocol):
    """Decides who publishes what; a `Refusal` raised by either is a denial with that message."""

    def admit(self, push_url: str, host: str, key: str) -> Awaitable[str | Denied]:
        """The runtime name this key may publish, or why it may not."""

    def attach(self, runtime_name: str, connection: Connection) -> Ingest:
        """Where the media of an admitted publisher goes."""
