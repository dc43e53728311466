"""What an engine keeps in its data directory between runs: its loopback port and its secret."""

import os
import socket
from pathlib import Path

from frameworks.kit.clock import random_text


def loopback_port(path: Path) -> int:
    """The port written in `path` while it is free, else a free one, which is then remembered there."""
    if path.exists():
        port = int(path.read_text())
        if _free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    path.write_text(f"{port}\n")
    return port


def secret(path: Path) -> str:
    """The secret written in `path` (mode 0600); made at the first call."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(random_text(40))
    return path.read_text().strip()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
