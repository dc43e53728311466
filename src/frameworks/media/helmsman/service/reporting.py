"""How use cases report: facts go to the write-ahead log, changes to Foghorn."""

from dataclasses import dataclass
from typing import Protocol

import msgspec

from frameworks.kit.geo import Place
from frameworks.media.helmsman.domain import Fact


class Recorder(Protocol):
    """Where facts become durable."""

    async def record(self, *facts: Fact, noted: msgspec.Struct | None = None) -> None:
        """Return when these facts of one subject will reach Decklog whatever happens, in one write.

        `noted` is what becomes of this node's own memory with the last one: both are kept, or neither. Raises
        Unavailable when the disk is full.
        """


@dataclass(frozen=True, slots=True)
class Seat:
    """Foghorn's answer about a viewer; `watching` are all of the tenant's, this one included when admitted."""

    admitted: bool
    reason: str
    watching: int


class Router(Protocol):
    """Foghorn, as far as viewers and streams are concerned."""

    async def seat(self, stream: str, session: str, correlation: str) -> Seat:
        """Ask for a viewer's place within the tenant's plan. Raises Refusal, Unavailable."""

    def viewer_opened(self, stream: str, session: str, correlation: str, connector: str) -> None:
        """A session was opened on this node."""

    def viewer_closed(self, session: str) -> None:
        """A session was closed on this node."""

    def changed(self) -> None:
        """Tell the node's state now, not at the next tick."""


def place_body(place: Place | None) -> dict[str, object]:
    """A place with the field names of the event message."""
    if place is None:
        return {}
    return {
        "country": place.country,
        "city": place.city,
        "h3_cell": place.cell,
        "latitude": place.latitude,
        "longitude": place.longitude,
    }
