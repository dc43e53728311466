"""The file system as a port: what durable code asks of it, so that a full or failing disk can be played in a test."""

import os
from pathlib import Path
from typing import Protocol

from frameworks.kit.errors import Unavailable


class DiskRefused(Unavailable):
    """The disk took no more: full, over quota, or read-only. Nothing acknowledged is affected."""

    code = "disk.refused"


class Files(Protocol):
    """Append, make durable, replace; every failure of the disk is a `DiskRefused`."""

    def append(self, path: Path, content: bytes) -> None:
        """Add `content` at the end of `path` and make it durable before returning; all of it or none of it."""

    def replace(self, path: Path, content: bytes) -> None:
        """Put `content` at `path` atomically and durably."""


class Disk:
    """The real file system."""

    def append(self, path: Path, content: bytes) -> None:
        """Append and fsync; what was written of a failed append is cut off again."""
        new = not path.exists()
        try:
            with path.open("ab", buffering=0) as file:
                start = file.tell()
                try:
                    _write_all(file.fileno(), content)
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(start)
                    raise
            if new:
                _sync_directory(path.parent)
        except OSError as error:
            raise DiskRefused(
                f"Can not write {path}: {error.strerror}. Free some space or move the data directory."
            ) from error

    def replace(self, path: Path, content: bytes) -> None:
        """Write beside, fsync, rename, fsync the directory."""
        scratch = path.with_name(path.name + ".new")
        try:
            with scratch.open("wb", buffering=0) as file:
                os.fchmod(file.fileno(), 0o600)
                _write_all(file.fileno(), content)
                os.fsync(file.fileno())
            scratch.replace(path)
            _sync_directory(path.parent)
        except OSError as error:
            raise DiskRefused(
                f"Can not write {path}: {error.strerror}. Free some space or move the data directory."
            ) from error


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
