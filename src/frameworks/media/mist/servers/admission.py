"""Who may publish on this node: the key is given to Helmsman, its answer opens the stream."""

import itertools
import re
from collections.abc import Sequence
from typing import Protocol

from frameworks.kit import trace
from frameworks.kit.errors import Refusal
from frameworks.media.mist.domain import Frame, Track
from frameworks.media.mist.hub.herald import Herald
from frameworks.media.mist.hub.lease import Lease, Publisher
from frameworks.media.mist.hub.streams import Hub, StreamConfig
from frameworks.media.mist.protocols.trigger import Action, Verdict
from frameworks.media.mist.servers.publishing import Connection, Denied, Ending, Ingest

STREAM_NAME = re.compile(r"[a-z0-9_.-]{1,64}(\+[A-Za-z0-9_.~-]{1,128})?")
PUSH = "push://"


class Configured(Protocol):
    """The streams `addstream` configured."""

    def stream_config(self, name: str) -> StreamConfig | None:
        """The configuration of a stream: its own, or that of the base before its `+`."""


class _Publisher:
    """Hands one publisher's media to its lease; a track that can not be carried disconnects it."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def tracks(self, tracks: Sequence[Track]) -> None:
        """The stream's tracks from here on."""
        try:
            self._lease.tracks(tracks)
        except Refusal as refusal:
            self._lease.publisher.kick(refusal.message)

    def frame(self, frame: Frame) -> None:
        """The next frame."""
        self._lease.frame(frame)

    def closed(self, reason: Ending) -> None:
        """The publisher is gone."""
        self._lease.closed(reason.machine, reason.human)


class Admission:
    """The gate of every ingest server: without a PUSH_REWRITE handler nobody publishes."""

    def __init__(self, hub: Hub, herald: Herald, configured: Configured) -> None:
        self._hub = hub
        self._herald = herald
        self._configured = configured
        self._connections = itertools.count(1000)
        self._admitted: dict[str, int] = {}

    async def admit(self, push_url: str, host: str, key: str) -> str | Denied:
        """The runtime name of an admitted key, or why it is denied."""
        connection = next(self._connections)
        verdict = await self._herald.ask("PUSH_REWRITE", key, [push_url, host, key], pid=connection)
        if verdict is None:
            return Denied("This node admits no publishers yet.")
        if verdict.action is Action.DENY:
            return Denied(verdict.reason or "The stream key was not accepted.")
        name = key if verdict.action is Action.KEEP else verdict.value
        if not STREAM_NAME.fullmatch(name):
            return Denied("The stream key was not accepted.")
        denied = await self._refuse_source(name, host, connection)
        if denied is None:
            self._admitted = {name: connection}
        return denied or name

    async def _refuse_source(self, name: str, host: str, connection: int) -> Denied | None:
        verdict = await self._herald.ask("STREAM_SOURCE", name, [name], pid=connection)
        if verdict is not None and verdict.action is Action.OFFLINE:
            return Denied(verdict.reason or "The stream is offline.")
        source = self._source(name, verdict)
        if not source.startswith(PUSH):
            return Denied("This node does not take that stream in.")
        allowed = source.removeprefix(PUSH).partition("@")[0]
        if allowed and allowed != host:
            return Denied("Publishing is not allowed from this address.")
        return None

    def _source(self, name: str, verdict: Verdict | None) -> str:
        if verdict is not None and verdict.action is Action.VALUE:
            return verdict.value
        config = self._configured.stream_config(name)
        return config.source if config else ""

    def attach(self, runtime_name: str, connection: Connection) -> Ingest:
        """Open the stream to the publisher just admitted; called right after `admit`, nothing between."""
        pid = self._admitted.pop(runtime_name, 0) or next(self._connections)
        admitted_in = trace.current.get() or ""
        publisher = Publisher(connection.host, connection.protocol, pid, connection.kick, admitted_in)
        lease = self._hub.open(runtime_name, publisher, self._configured.stream_config(runtime_name))
        return _Publisher(lease)
