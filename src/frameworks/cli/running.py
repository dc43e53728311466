"""Where the engines of a running platform are: by the environment, else by what a data directory remembers."""

import os
from pathlib import Path

from frameworks.kit.errors import Precondition


class NotFoundHere(Precondition):
    """No engine is named, and the data directory knows of none."""

    code = "cli.no_engine"


def eventlog(data: Path) -> str:
    """The event log's URL."""
    if url := os.environ.get("FRAMEWORKS_EVENTLOG"):
        return url
    token, port = _remembered(data / "nats", "token", "FRAMEWORKS_EVENTLOG")
    return f"nats://{token}@127.0.0.1:{port}"


def analytics(data: Path) -> str:
    """The analytics engine's URL."""
    if url := os.environ.get("FRAMEWORKS_ANALYTICS"):
        return url
    password, port = _remembered(data / "clickhouse", "password", "FRAMEWORKS_ANALYTICS")
    return f"clickhouse://default:{password}@127.0.0.1:{port}"


def _remembered(home: Path, secret: str, setting: str) -> tuple[str, str]:
    try:
        return (home / secret).read_text().strip(), (home / "port").read_text().strip()
    except OSError as error:
        raise NotFoundHere(
            f"No platform has run on {home.parent}, and {setting} is not set: name the directory with --data-dir."
        ) from error
