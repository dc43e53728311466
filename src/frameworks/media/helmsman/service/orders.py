"""What Foghorn orders: publishers that may not go on are stopped, viewers are asked about again."""

from typing import Protocol

from frameworks.contracts.ids import InternalName, runtime_name
from frameworks.media.helmsman.service.publishers import Publisher
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.viewing import Viewing


class Sessions(Protocol):
    """The node's API, as far as viewers are concerned."""

    async def invalidate(self, name: str) -> None:
        """Ask USER_NEW again for a stream's sessions. Raises Unavailable."""


class Orders:
    """Obeys; an order obeyed twice does nothing the second time."""

    def __init__(self, node: Sessions, publishing: Publishing, viewing: Viewing) -> None:
        self._node = node
        self._publishing = publishing
        self._viewing = viewing

    async def stop(self, name: str, *, epoch: int, key_id: str, reason: str) -> None:
        """End the publisher if the order means it: admitted up to `epoch`, with that key. Raises Unavailable."""
        publisher = self._publishing.publishers.get(name)
        if publisher is None or not _means(publisher, epoch, key_id):
            await self.ask_again(name)
            return
        self._viewing.doubt(name)
        await self._publishing.cut(publisher, reason)

    async def ask_again(self, name: str) -> None:
        """Judge the stream's viewers by what Commodore says now. Raises Unavailable."""
        self._viewing.doubt(name)
        await self._node.invalidate(runtime_name(InternalName(name)))


def _means(publisher: Publisher, epoch: int, key_id: str) -> bool:
    admitted = publisher.admitted
    return (not epoch or admitted.epoch <= epoch) and key_id in ("", admitted.key_id)
