"""Helmsman's own memory on disk: who publishes and watches, the node's key, the hash key. No database."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

import msgspec

from frameworks.kit import log as logs
from frameworks.kit.clock import random_bytes
from frameworks.kit.files import Disk, DiskRefused, Files
from frameworks.kit.wal import Position
from frameworks.media.helmsman.service.publishers import Publisher, PublisherNoted
from frameworks.media.helmsman.service.viewing import Session, SessionNoted, Viewable

_log = logs.get("helmsman")


class Remembered(msgspec.Struct):
    """What survives a restart of Helmsman."""

    boot: str = ""
    publishers: dict[str, Publisher] = {}
    sessions: dict[str, Session] = {}
    streams: list[Viewable] = []

    def learn(self, note: bytes) -> None:
        """What one event changed after this was kept; telling it again changes nothing."""
        match _NOTES.decode(note):
            case SessionNoted(name, None):
                self.sessions.pop(name, None)
            case SessionNoted(name, session, stream):
                self.sessions[name] = cast(Session, session)
                self.streams += [stream] if stream is not None else []
            case PublisherNoted(name, None):
                self.publishers.pop(name, None)
            case PublisherNoted(name, publisher):
                self.publishers[name] = cast(Publisher, publisher)


_NOTES: msgspec.msgpack.Decoder[SessionNoted | PublisherNoted] = msgspec.msgpack.Decoder(
    SessionNoted | PublisherNoted
)


class NodeFiles:
    """The directory of one node."""

    def __init__(
        self, directory: Path, *, token_file: Path | None = None, files: Files | None = None
    ) -> None:
        self.directory = directory
        self._files = files or Disk()
        self._last = b""
        self._token_file = token_file
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def remembered(self) -> Remembered:
        """What the last process knew; an unreadable file is nothing."""
        try:
            return msgspec.msgpack.decode((self.directory / "state.bin").read_bytes(), type=Remembered)
        except FileNotFoundError:
            return Remembered()
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("state.discarded", reason=str(error))
            return Remembered()

    async def remember(self, state: Remembered) -> bool:
        """Keep `state` as it is now, when it differs from what is kept; whether it is kept then."""
        content = msgspec.msgpack.encode(state)
        if content == self._last:
            return True
        try:
            await asyncio.to_thread(self._files.replace, self.directory / "state.bin", content)
            self._last = content
        except DiskRefused as refused:
            _log.warning("state.not_kept", reason=refused.message)
            return False
        return True

    def secret(self, name: str) -> bytes:
        """32 random bytes made once and kept (0600)."""
        path = self.directory / f"{name}.key"
        if not path.exists():
            self._files.replace(path, random_bytes(32))
        return path.read_bytes()

    def read(self, name: str) -> str | None:
        """A small text file, None when there is none."""
        path = self.directory / name
        return path.read_text() if path.exists() else None

    def write(self, name: str, text: str) -> None:
        """Replace a small text file (0600)."""
        self._files.replace(self.directory / name, text.encode())

    def token(self) -> str:
        """The enrolment token someone left for us; empty when there is none."""
        path = self._token_file
        return path.read_text().strip() if path is not None and path.exists() else ""

    def spend_token(self) -> None:
        """Remove the token: it was good for one enrolment."""
        if self._token_file is not None:
            self._token_file.unlink(missing_ok=True)


class Journal(Protocol):
    """The node's write-ahead log, as far as its notes go."""

    def notes(self) -> Iterator[bytes]:
        """The notes no snapshot holds, oldest first."""

    def end(self) -> Position:
        """How far the log is durable."""

    async def snapshot_holds(self, position: Position) -> None:
        """The notes up to `position` are in a snapshot. Raises DiskRefused."""


class Memory:
    """A snapshot now and then, and the notes since: what Helmsman has answered for, it knows after a restart."""

    def __init__(self, files: NodeFiles, journal: Journal) -> None:
        self._files = files
        self._journal = journal
        self._before = journal.end()

    def recall(self) -> Remembered:
        """What the last process knew."""
        kept = self._files.remembered()
        for note in self._journal.notes():
            kept.learn(note)
        return kept

    async def keep(self, state: Remembered) -> None:
        """Take a snapshot. Raises DiskRefused.

        It surely holds what was durable when the one before was taken: what is durable by now may still be on its
        way into `state`.
        """
        holds, self._before = self._before, self._journal.end()
        if await self._files.remember(state):
            await self._journal.snapshot_holds(holds)
