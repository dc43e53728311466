"""How the node speaks to Helmsman, as the hub needs it."""

from collections.abc import Sequence
from typing import Protocol

from frameworks.media.mist.protocols.trigger import Verdict


class Herald(Protocol):
    """How the node speaks to Helmsman."""

    async def ask(
        self, trigger: str, stream: str, lines: Sequence[str], *, pid: int | None = None
    ) -> Verdict | None:
        """Fire a synchronous trigger; None when no handler is configured for it."""

    def tell(self, trigger: str, stream: str, lines: Sequence[str], *, pid: int | None = None) -> None:
        """Queue an asynchronous trigger; never waits."""
