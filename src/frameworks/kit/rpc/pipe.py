"""A bounded hand-over of bytes from one task to another."""

import asyncio
from collections import deque


class Pipe:
    """One writer, one reader, at most `depth` items between them; the writer waits when it is full."""

    def __init__(self, depth: int = 16) -> None:
        self._items: deque[bytes] = deque()
        self._depth = depth
        self._closed = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    async def put(self, item: bytes) -> None:
        """Hand over `item`; dropped once the pipe is closed."""
        while len(self._items) >= self._depth and not self._closed:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        if not self._closed:
            self._items.append(item)
            _wake(self._reader)

    async def get(self) -> bytes | None:
        """The next item; None once the pipe is closed and empty."""
        while not self._items and not self._closed:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if not self._items:
            return None
        item = self._items.popleft()
        _wake(self._writer)
        return item

    def close(self, *, discard: bool = False) -> None:
        """No more items; those inside are still read, unless they are to be discarded."""
        self._closed = True
        if discard:
            self._items.clear()
        _wake(self._reader)
        _wake(self._writer)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
