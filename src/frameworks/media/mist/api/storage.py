"""What the API configured: triggers, streams, names; kept in one JSON file when it is told to save."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from frameworks.kit.errors import Refusal
from frameworks.kit.files import Files
from frameworks.kit.log import get
from frameworks.media.mist.hub.streams import StreamConfig
from frameworks.media.mist.protocols.trigger import Handler, handlers_of

log = get("mist")

MAX_STREAMS = 1_000
KEPT = ("debug", "protocols", "trustedproxy", "controller", "accesslog", "defaultStream", "tknMode")
MODES = (
    "sessionViewerMode",
    "sessionInputMode",
    "sessionOutputMode",
    "sessionUnspecifiedMode",
    "sessionStreamInfoMode",
)
EMPTY: dict[str, Any] = {
    "controller": {},
    "protocols": [],
    "sessionViewerMode": 14,
    "tknMode": 15,
    "trustedproxy": [],
}


class BadConfig(Refusal):
    """A configuration that is not taken."""

    code: ClassVar = "mist.bad_config"


class Storage:
    """The node's configuration; the API writes it, admission and triggers read it."""

    def __init__(self, files: Files, path: Path | None = None) -> None:
        self.handlers: Mapping[str, Sequence[Handler]] = {}
        self.streams: dict[str, StreamConfig] = {}
        self.serverid = ""
        self.prometheus = ""
        self.location: dict[str, Any] = {}
        self.bandwidth: dict[str, Any] = {}
        self.kept: dict[str, Any] = dict(EMPTY)
        self._files = files
        self._path = path

    def load(self) -> None:
        """Take what was saved; a file that can not be read is left alone and the node starts unconfigured."""
        if self._path is None or not self._path.exists():
            return
        try:
            found = json.loads(self._path.read_bytes())
            self.apply(found["config"])
            self.add_streams(found["streams"])
            self.bandwidth = dict(found.get("bandwidth") or {})
        except (OSError, ValueError, KeyError, TypeError, Refusal) as error:
            log.error("config.unreadable", path=str(self._path), error=repr(error))

    def save(self) -> None:
        """Make the configuration outlive the process; raises DiskRefused."""
        if self._path is not None:
            self._files.replace(self._path, json.dumps(self.backup(), indent=1).encode())

    def backup(self) -> dict[str, Any]:
        """The whole configuration, as `config_backup` answers it."""
        return {"config": self.config(), "streams": self.list_streams(), "bandwidth": self.bandwidth}

    def config(self) -> dict[str, Any]:
        """The `config` object."""
        return self.kept | {
            "serverid": self.serverid,
            "prometheus": self.prometheus,
            "location": self.location,
            "triggers": {name: [h.as_json() for h in handlers] for name, handlers in self.handlers.items()},
        }

    def apply(self, partial: Mapping[str, Any]) -> None:
        """Take some of `config`; raises BadTriggers and keeps the old triggers when they are wrong."""
        for name in (*KEPT, *MODES):
            if name in partial:
                self.kept[name] = partial[name]
        self.serverid = str(partial.get("serverid", self.serverid))[:128]
        self.prometheus = str(partial.get("prometheus", self.prometheus) or "")[:128]
        if isinstance(partial.get("location"), Mapping):
            self.location = dict(partial["location"])
        if "triggers" in partial:
            self.handlers = handlers_of(partial["triggers"] or {})

    def add_streams(self, streams: Mapping[str, Any]) -> None:
        """Add or replace stream configurations; raises BadConfig."""
        fresh = {name.lower(): _stream(name.lower(), found) for name, found in streams.items()}
        if len(self.streams | fresh) > MAX_STREAMS:
            raise BadConfig("Too many streams are configured.")
        self.streams |= fresh

    def delete_streams(self, names: Sequence[str]) -> None:
        """Forget stream configurations; running instances go on."""
        for name in names:
            self.streams.pop(name.lower(), None)

    def list_streams(self) -> dict[str, Any]:
        """The `streams` object."""
        return {
            name: {**(stream.rest or {}), "name": name, "source": stream.source}
            for name, stream in self.streams.items()
        }

    def stream_config(self, name: str) -> StreamConfig | None:
        """The configuration of a stream: its own, or that of the base before its `+`."""
        return self.streams.get(name) or self.streams.get(name.partition("+")[0])


def _stream(name: str, found: object) -> StreamConfig:
    if not isinstance(found, Mapping):
        raise BadConfig(f"Stream {name[:64]} must be an object.")
    timeout = found.get("inputtimeout")
    seconds = float(timeout) if isinstance(timeout, int | float | str) and str(timeout).isdigit() else None
    resume = str(found.get("resume", "1")).lower() not in ("0", "false", "none", "")
    rest = {key: value for key, value in found.items() if key not in ("name", "source")}
    return StreamConfig(name, str(found.get("source", "")), resume, seconds, rest)
