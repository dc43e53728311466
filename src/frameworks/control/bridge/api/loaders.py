"""Batches and remembers look-ups for the length of one request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import foghorn_v1_pb2 as foghorn
from frameworks.contracts.pb import periscope_v1_pb2 as periscope
from frameworks.control.bridge.peers import Peers
from frameworks.kit.rpc import Forwarded

V = TypeVar("V")
MAX_BATCH = 500


class Batch(Generic[V]):
    """Collects the keys asked for within one turn of the loop, fetches them at once, and remembers each."""

    def __init__(self, fetch: Callable[[Sequence[str]], Awaitable[Mapping[str, V]]]) -> None:
        self._fetch = fetch
        self._known: dict[str, asyncio.Future[V | None]] = {}
        self._waiting: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, key: str) -> V | None:
        """The value of `key`; None when there is none. Raises what the fetch raised."""
        if key not in self._known:
            loop = asyncio.get_running_loop()
            self._known[key] = loop.create_future()
            if not self._waiting:
                loop.call_soon(self._start)
            self._waiting.append(key)
        return await asyncio.shield(self._known[key])

    def _start(self) -> None:
        keys, self._waiting = self._waiting, []
        for at in range(0, len(keys), MAX_BATCH):
            task = asyncio.get_running_loop().create_task(self._run(keys[at : at + MAX_BATCH]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, keys: Sequence[str]) -> None:
        futures = [self._known[key] for key in keys]
        try:
            found = await self._fetch(keys)
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed to every caller that waits, never swallowed
            for future in futures:
                future.set_exception(error)
                future.exception()
        else:
            for key, future in zip(keys, futures, strict=True):
                future.set_result(found.get(key))


class Loaders:
    """The look-ups many fields share."""

    def __init__(self, peers: Peers, metadata: Forwarded) -> None:
        self._peers = peers
        self._metadata = metadata
        self.streams: Batch[commodore.Stream] = Batch(self._streams)
        self.statuses: Batch[periscope.StreamStatus] = Batch(self._statuses)
        self.node_views: Batch[foghorn.NodeView] = Batch(self._node_views)

    async def _streams(self, ids: Sequence[str]) -> Mapping[str, commodore.Stream]:
        request = commodore.GetStreamsRequest(ids=ids)
        answer = await self._peers.commodore.GetStreams(request, metadata=self._metadata)
        return {stream.id: stream for stream in answer.streams}

    async def _statuses(self, ids: Sequence[str]) -> Mapping[str, periscope.StreamStatus]:
        request = periscope.GetStreamStatusesRequest(stream_ids=ids)
        answer = await self._peers.periscope.GetStreamStatuses(request, metadata=self._metadata)
        return {status.stream_id: status for status in answer.statuses}

    async def _node_views(self, ids: Sequence[str]) -> Mapping[str, foghorn.NodeView]:
        # Asked as Bridge: only nodes that Quartermaster showed this caller are looked up here.
        answer = await self._peers.foghorn.ListNodes(foghorn.ListNodesRequest())
        return {view.node_id: view for view in answer.nodes if view.node_id in ids}
