"""Known streams on disk: one file, replaced as a whole. Foghorn has no database, so that it outlives one."""

from pathlib import Path

import msgspec

from frameworks.kit import log as logs
from frameworks.kit.files import Disk, DiskRefused, Files
from frameworks.media.foghorn.service.known import KnownStream

_log = logs.get("foghorn")


class KnownFile:
    """A `Memory` in one MessagePack file."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self._path = path
        self._files = files or Disk()
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> list[KnownStream]:
        """What was kept; an unreadable file is nothing, because Commodore can tell again."""
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=list[KnownStream])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("known_streams.discarded", reason=str(error))
            return []

    def write(self, streams: list[KnownStream]) -> None:
        """Replace the file; a disk that refuses costs only this memory."""
        try:
            self._files.replace(self._path, msgspec.msgpack.encode(streams))
        except DiskRefused as refused:
            _log.warning("known_streams.not_kept", reason=refused.message)
