"""MistServer's controller API: one JSON object of commands in, one object of answers out."""

from collections.abc import Callable
from typing import Any

from frameworks.kit.clock import Clock
from frameworks.kit.errors import Fault
from frameworks.kit.log import get
from frameworks.media.mist.api.machine import Machine
from frameworks.media.mist.api.reports import Reports
from frameworks.media.mist.api.storage import Storage
from frameworks.media.mist.hub.audience import Audience
from frameworks.media.mist.hub.doorway import Doorway
from frameworks.media.mist.hub.sayings import Sayings
from frameworks.media.mist.hub.streams import Hub
from frameworks.media.mist.protocols.trigger import TRIGGERS

log = get("mist")

MAX_NAMES = 10_000


def _names(value: object) -> list[str]:
    """A name, a list of names, or an object whose keys are names."""
    if isinstance(value, str):
        return [value]
    return [str(name) for name in value][:MAX_NAMES] if isinstance(value, list | dict) else []


class Controller:
    """Runs the commands of a caller that is already authorised."""

    def __init__(
        self,
        clock: Clock,
        hub: Hub,
        audience: Audience,
        doorway: Doorway,
        storage: Storage,
        reports: Reports,
        sayings: Sayings,
        *,
        instance: str,
        version: str,
    ) -> None:
        self._clock = clock
        self._hub = hub
        self._audience = audience
        self._doorway = doorway
        self._storage = storage
        self._reports = reports
        self._sayings = sayings
        self._instance = instance
        self._version = version
        self._commands: dict[str, Callable[[Any], dict[str, Any]]] = {
            "config": self._config,
            "config_backup": lambda value: {"config_backup": storage.backup()},
            "bandwidth": self._bandwidth,
            "streams": lambda value: {"streams": storage.list_streams()},
            "addstream": self._add_streams,
            "deletestream": self._delete_streams,
            "active_streams": lambda value: {"active_streams": reports.active_streams(value)},
            "clients": lambda value: {"clients": reports.clients(value)},
            "totals": self._totals,
            "cmcd": self._cmcd,
            "stop_sessions": self._stop_sessions,
            "stop_sessid": self._stop_sessid,
            "invalidate_sessions": self._invalidate_sessions,
            "nuke_stream": self._nuke_stream,
            "version": lambda value: {"version": self._about()},
            "capabilities": lambda value: {"capabilities": self._capabilities()},
            "push_list": lambda value: {"push_list": None},
            "push_auto_list": lambda value: {"push_auto_list": None},
            "save": self._save,
        }

    def answer(self, commands: dict[str, Any]) -> dict[str, Any]:
        """Run the commands this node knows, in order; others are passed over, as MistServer does."""
        reply: dict[str, Any] = {"LTS": 1, "authorize": {"local": True, "status": "OK"}}
        for name, value in commands.items():
            command = self._commands.get(name)
            if command is None:
                continue
            try:
                reply |= command(value)
            except Fault as fault:
                log.warning("command.refused", command=name, code=fault.code)
                reply["error"] = fault.message
        return reply

    def _config(self, value: object) -> dict[str, Any]:
        try:
            if isinstance(value, dict):
                self._storage.apply(value)
        finally:
            now = int(self._clock.now().timestamp())
            current = self._storage.config() | {"iid": self._instance, "time": now, "version": self._version}
        return {"config": current}

    def _save(self, value: object) -> dict[str, Any]:
        self._storage.save()
        log.info("config.saved")
        return {}

    def _bandwidth(self, value: object) -> dict[str, Any]:
        if isinstance(value, dict):
            self._storage.bandwidth = {key: value[key] for key in ("limit", "exceptions") if key in value}
        return {"bandwidth": self._storage.bandwidth}

    def _add_streams(self, value: object) -> dict[str, Any]:
        if isinstance(value, dict):
            self._storage.add_streams(value)
        added = {name.lower() for name in _names(value)}
        listed = {name: stream for name, stream in self._storage.list_streams().items() if name in added}
        return {"streams": {**listed, "incomplete list": 1}}

    def _delete_streams(self, value: object) -> dict[str, Any]:
        self._storage.delete_streams(_names(value))
        return {"streams": {"incomplete list": 1}}

    def _totals(self, value: object) -> dict[str, Any]:
        totals = self._reports.totals()
        now = int(self._clock.now().timestamp())
        row = [len(self._audience.sessions()), totals.sent, totals.received]
        return {
            "totals": {"fields": ["clients", "upbytes", "downbytes"], "start": now, "end": now, "data": [row]}
        }

    def _cmcd(self, value: object) -> dict[str, Any]:
        """What players told after a number, of this instance; what its asker has, is not told again."""
        asked = value if isinstance(value, dict) else {}
        after = asked.get("after") if asked.get("iid") == self._instance else 0
        found = self._sayings.after(after if isinstance(after, int) else 0)
        return {"cmcd": {"iid": self._instance, "data": [saying.row for saying in found]}}

    def _stop_sessions(self, value: object) -> dict[str, Any]:
        for wanted in _names(value):
            names = set(self._hub.matching(wanted))
            self._hub.stop(names)
            for session in self._audience.sessions():
                if session.stream in names:
                    self._audience.end(session)
        return {}

    def _stop_sessid(self, value: object) -> dict[str, Any]:
        for identity in _names(value):
            if (session := self._audience.find(identity)) is not None:
                self._doorway.refuse(session)
        return {}

    def _invalidate_sessions(self, value: object) -> dict[str, Any]:
        wanted = _names(value)
        self._doorway.invalidate(
            lambda stream: any(
                stream == name or (name.endswith("+") and stream.startswith(name)) for name in wanted
            )
        )
        return {}

    def _nuke_stream(self, value: object) -> dict[str, Any]:
        for name in _names(value):
            self._hub.nuke(name)
        return {}

    def _about(self) -> dict[str, Any]:
        return {"release": "frameworks", "version": self._version, "iid": self._instance}

    def _capabilities(self) -> dict[str, Any]:
        machine = self._reports.machine
        return {
            "connectors": {name: {"name": name} for name in ("RTMP", "HLS", "CMAF", "HTTP")},
            "inputs": {"Buffer": {"name": "Buffer"}},
            "processes": {},
            "triggers": {
                name: {"response": sort.value, "actions": sorted(action.value for action in actions)}
                for name, (sort, actions) in TRIGGERS.items()
            },
            "cpu": [{"cores": machine.cores}],
            "cpu_use": machine.cpu_per_mille,
            "mem": dict(zip(("total", "used"), (kib // 1024 for kib in Machine.memory()), strict=True)),
        }
