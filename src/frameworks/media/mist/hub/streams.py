"""All live streams of this node: opening, finding, stopping; and the clock that ends what nobody feeds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from frameworks.kit.clock import Clock
from frameworks.kit.errors import Limited
from frameworks.media.mist.hub.herald import Herald
from frameworks.media.mist.hub.lease import Lease, Publisher
from frameworks.media.mist.hub.rendition import Shape
from frameworks.media.mist.hub.stream import LiveStream, State


class TooManyStreams(Limited):
    """The node carries as many streams as it may."""

    code: ClassVar = "mist.too_many_streams"


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """What `addstream` configured for a base name."""

    name: str
    source: str
    resume: bool = True
    input_timeout: float | None = None
    """Seconds a stream outlives its publisher; None leaves it to the node."""
    rest: Mapping[str, Any] | None = None
    """What the node keeps for `streams` but does not act on."""


class Hub:
    """The streams by runtime name."""

    def __init__(
        self,
        clock: Clock,
        herald: Herald,
        shape: Shape,
        *,
        grace: float,
        most: int,
        forgotten: Callable[[LiveStream], None] = lambda stream: None,
    ) -> None:
        self._clock = clock
        self._herald = herald
        self._shape = shape
        self._grace = grace
        self._most = most
        self._forgotten = forgotten
        self._streams: dict[str, LiveStream] = {}

    def open(self, name: str, publisher: Publisher, config: StreamConfig | None) -> Lease:
        """Lend the stream to an admitted publisher, making it first if need be; raises TooManyStreams."""
        stream = self._streams.get(name)
        if stream is None or stream.state is State.ENDED:
            if stream is not None:
                self._forgotten(stream)
            elif len(self._streams) >= self._most:
                raise TooManyStreams("This node carries no more streams.", most=self._most)
            stream = LiveStream(name, self._shape, self._clock, self._herald, grace=self._grace_of(config))
            self._streams[name] = stream
        return stream.lend(publisher)

    def _grace_of(self, config: StreamConfig | None) -> float:
        if config is None:
            return self._grace
        if not config.resume:
            return 0.0
        return self._grace if config.input_timeout is None else config.input_timeout

    def find(self, name: str) -> LiveStream | None:
        """A stream that is live, waits for its publisher, or has just ended."""
        return self._streams.get(name)

    def all(self) -> list[LiveStream]:
        """Every stream not yet forgotten."""
        return list(self._streams.values())

    def active(self) -> list[LiveStream]:
        """Streams that have not ended."""
        return [stream for stream in self._streams.values() if stream.state is not State.ENDED]

    def stop(self, names: Iterable[str]) -> None:
        """End streams now: their publishers are disconnected, no grace is given."""
        for name in names:
            stream = self._streams.get(name)
            if stream is None:
                continue
            lease = stream.lease
            stream.end()
            if lease is not None:
                lease.publisher.kick("The stream was stopped.")

    def nuke(self, name: str) -> None:
        """End a stream and forget it at once."""
        self.stop([name])
        if (stream := self._streams.pop(name, None)) is not None:
            self._forgotten(stream)

    def matching(self, wanted: str) -> list[str]:
        """Names of active streams: this one, or all instances of a base name given as `base+`."""
        names = [stream.name for stream in self.active()]
        return [
            name for name in names if name == wanted or (wanted.endswith("+") and name.startswith(wanted))
        ]

    def watched(self, name: str, seconds: float) -> None:
        """A viewer of this stream has gone after so many seconds."""
        if (stream := self._streams.get(name)) is not None:
            stream.totals.viewer_seconds += seconds

    def tick(self) -> None:
        """Once a second: let streams look at the clock, forget those that are over."""
        for stream in list(self._streams.values()):
            stream.tick()
            if stream.is_over:
                del self._streams[stream.name]
                self._forgotten(stream)

    def stop_all(self) -> None:
        """The node stops: every stream ends."""
        self.stop(list(self._streams))
