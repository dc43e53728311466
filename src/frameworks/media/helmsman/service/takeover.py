"""An encoder that is back: whether its older connection still brings media, asked of the node at once."""

from typing import Protocol

from frameworks.kit.clock import Clock

GAP_SECONDS = 1.5
"""Media that has not advanced for this long does not flow."""
LONGEST_SECONDS = 2.5
"""An encoder waits meanwhile, and its node gives Helmsman five seconds for the whole answer."""
LOOK_SECONDS = 0.25
PROOFS = 2
"""One advance may be what was on its way when the connection broke."""


class Playing(Protocol):
    """The node's API, as far as one stream's media is concerned."""

    async def last_ms(self, name: str) -> int | None:
        """The newest media time of a stream; None when the node has no such stream. Raises Unavailable."""


async def has_stopped(node: Playing, clock: Clock, name: str, *, last_ms: int, seen_at: float) -> bool:
    """Whether a stream's media stands still; `last_ms` was new at `seen_at`. Raises Unavailable."""
    found, began = await node.last_ms(name), clock.monotonic()
    newest, quiet_since = (last_ms, seen_at) if found == last_ms else (found, began)
    advances = 0
    while found is not None:
        now = clock.monotonic()
        if found != newest:
            advances, newest, quiet_since = advances + 1, found, now
        if now - quiet_since >= GAP_SECONDS:
            return True
        if advances >= PROOFS or now - began >= LONGEST_SECONDS:
            return False
        await clock.sleep(LOOK_SECONDS)
        found = await node.last_ms(name)
    return True
