"""Helmsman's own memory on disk: who publishes and watches, the node's key, the hash key. No database."""

from pathlib import Path

import msgspec

from frameworks.kit import log as logs
from frameworks.kit.clock import random_bytes
from frameworks.kit.files import Disk, DiskRefused, Files
from frameworks.media.helmsman.service.publishing import Publisher
from frameworks.media.helmsman.service.viewing import Session, Viewable

_log = logs.get("helmsman")


class Remembered(msgspec.Struct):
    """What survives a restart of Helmsman."""

    boot: str = ""
    publishers: dict[str, Publisher] = {}
    sessions: dict[str, Session] = {}
    streams: list[Viewable] = []


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

    def remember(self, state: Remembered) -> None:
        """Keep `state`, when it differs from what is kept."""
        content = msgspec.msgpack.encode(state)
        if content == self._last:
            return
        try:
            self._files.replace(self.directory / "state.bin", content)
            self._last = content
        except DiskRefused as refused:
            _log.warning("state.not_kept", reason=refused.message)

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
