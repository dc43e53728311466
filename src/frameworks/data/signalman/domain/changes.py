"""Changes, and who wants which: pure rules."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from frameworks.contracts.topics import CHANNELS, EVENT_TYPES
from frameworks.kit.errors import Limited, Refusal

LASTING = frozenset({"stream-lifecycle", "stream-metrics", "stream-buffer", "track-list", "node-lifecycle"})
"""Types whose last event says how things are, so that it belongs into a snapshot."""


class BadWish(Refusal):
    """A subscription to something that does not exist."""

    code = "signalman.bad_subscription"


class TooManySubscriptions(Limited):
    """The tenant has as many open subscriptions as it may."""

    code = "signalman.too_many_subscriptions"


@dataclass(slots=True, eq=False)
class Change:
    """One event as it is pushed; `subject` is its stream, or its node."""

    event: bytes
    event_id: bytes
    type: str
    channel: str
    stream: bytes
    subject: bytes
    occurred_at: int
    text: bytes = b""
    """Its JSON, kept once the first socket wanted it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a subscriber wants: empty filters want everything of its channels."""

    channels: frozenset[str]
    stream: bytes = b""
    types: frozenset[str] = frozenset()

    def wants(self, change: Change) -> bool:
        """Whether this change is for the subscriber."""
        return (
            change.channel in self.channels
            and (not self.stream or change.stream == self.stream)
            and (not self.types or change.type in self.types)
        )

    def within(self, channels: frozenset[str]) -> "Wish":
        """The same, of these channels only."""
        return Wish(self.channels & channels, self.stream, self.types)


def wish(channels: Iterable[str], stream: str, types: Iterable[str], *, hidden: frozenset[str]) -> Wish:
    """Check a subscription; channels in `hidden` are silently left out of "all". Raises BadWish."""
    asked, wanted_types = frozenset(channels), frozenset(types)
    if not asked <= CHANNELS:
        raise BadWish(f"Channels are {', '.join(sorted(CHANNELS))}.")
    if not wanted_types <= EVENT_TYPES.keys():
        raise BadWish("There is no such event type.")
    try:
        stream_id = UUID(stream).bytes if stream else b""
    except ValueError as error:
        raise BadWish("A stream id is a UUID.") from error
    return Wish((asked or CHANNELS) - hidden, stream_id, wanted_types)
