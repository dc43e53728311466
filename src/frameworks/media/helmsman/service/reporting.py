"""How use cases report: facts go to the write-ahead log, changes to Foghorn."""

from typing import Protocol

from frameworks.kit.geo import Place
from frameworks.media.helmsman.domain import Fact


class Recorder(Protocol):
    """Where facts become durable."""

    async def record(self, fact: Fact) -> None:
        """Return when the fact will reach Decklog whatever happens. Raises Unavailable when the disk is full."""


class Router(Protocol):
    """Foghorn, as far as viewers and streams are concerned."""

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
