"""Known streams and orders on disk, each one file replaced as a whole. Foghorn has no database: it outlives one."""

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from frameworks.kit import log as logs
from frameworks.kit.files import Disk, DiskRefused, Files
from frameworks.media.foghorn.service.known import KnownStream
from frameworks.media.foghorn.service.orders import Order

_log = logs.get("foghorn")
T = TypeVar("T")


class _ListFile(Generic[T]):
    """A `Memory` in one MessagePack file."""

    def __init__(self, kind: type[list[T]], path: Path, files: Files | None) -> None:
        self._kind = kind
        self._path = path
        self._files = files or Disk()
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> list[T]:
        """What was kept; an unreadable file is nothing, because Commodore can tell again."""
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=self._kind)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("memory.discarded", file=self._path.name, reason=str(error))
            return []

    def write(self, found: list[T]) -> None:
        """Replace the file; a disk that refuses costs only this memory."""
        try:
            self._files.replace(self._path, msgspec.msgpack.encode(found))
        except DiskRefused as refused:
            _log.warning("memory.not_kept", file=self._path.name, reason=refused.message)


class KnownFile(_ListFile[KnownStream]):
    """Streams Foghorn knows."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        super().__init__(list[KnownStream], path, files)


class OrdersFile(_ListFile[Order]):
    """Orders nodes may not have obeyed yet."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        super().__init__(list[Order], path, files)
