"""What a running platform consists of: data directory, ports, the environment of its processes."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from frameworks.kit.errors import Precondition

SCHEMA = 1
"""Version of the data directory's layout; the stores inside have versions of their own."""

PUBLIC_PORTS = {"front": 18090, "rtmp": 1935, "rtmps": 1936, "media": 8080}
LOOPBACK_PORTS = {
    "bridge": 18000,
    "foghorn": 18008,
    "helmsman": 18007,
    "signalman": 18009,
    "mist_api": 4242,
    "mailbox": 18033,
    "mailbox_smtp": 18025,
    "app_admin": 18010,
    "mist_admin": 18020,
}


class DirectoryInUse(Precondition):
    """Another platform runs on this data directory."""

    code = "up.directory_in_use"


class DirectoryTooNew(Precondition):
    """The data directory was written by a newer release."""

    code = "up.directory_too_new"


class PortTaken(Precondition):
    """Something else listens where the platform would."""

    code = "up.port_taken"


@dataclass(frozen=True, slots=True)
class Layout:
    """One platform on one machine."""

    data: Path
    offset: int = 0
    listen: str = "127.0.0.1"
    host: str = "127.0.0.1"
    """How people reach it: the address printed and put into URLs."""
    demo: bool = True
    ports: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Path, *, offset: int = 0, listen: str = "127.0.0.1", demo: bool = True) -> "Layout":
        """The layout for a data directory; every port is shifted by `offset`."""
        ports = {name: port + offset for name, port in (PUBLIC_PORTS | LOOPBACK_PORTS).items()}
        host = _reachable(listen)
        return cls(data.resolve(), offset, listen, host, demo, ports)

    def url(self, name: str) -> str:
        """The URL of one of our HTTP listeners; HTTPS where its certificate is set."""
        prefix = {"front": "CONSOLE_", "media": "MIST_"}.get(name, "")
        scheme = "https" if prefix and os.environ.get(f"{prefix}TLS_CERTIFICATE") else "http"
        return f"{scheme}://{self._authority(name)}"

    def _authority(self, name: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.ports[name]}"

    @property
    def rtmp_url(self) -> str:
        """Where encoders push."""
        return f"rtmp://{self._authority('rtmp')}/live"

    def environment(self, *, database: str, eventlog: str, analytics: str) -> dict[str, str]:
        """The settings of every process of the platform; what is set outside wins."""
        loopback = "127.0.0.1"
        made = {
            "FRAMEWORKS_DATA_DIR": str(self.data),
            "FRAMEWORKS_DATABASE": database,
            "FRAMEWORKS_EVENTLOG": eventlog,
            "FRAMEWORKS_ANALYTICS": analytics,
            "FRAMEWORKS_CLUSTER": "default",
            "BRIDGE_PORT": str(self.ports["bridge"]),
            "BRIDGE_RTMP_PORT": str(self.ports["rtmp"]),
            "BRIDGE_EDGE_DOMAIN": self.host,
            "BRIDGE_FOGHORN_ADDRESS": self._authority("foghorn"),
            "FOGHORN_PORT": str(self.ports["foghorn"]),
            "HELMSMAN_PORT": str(self.ports["helmsman"]),
            "HELMSMAN_MIST_API": f"http://{loopback}:{self.ports['mist_api']}",
            "HELMSMAN_PUBLIC_URL": self.url("media"),
            "HELMSMAN_RTMP_URL": self.rtmp_url,
            "HELMSMAN_ENROLLMENT_TOKEN_FILE": str(self.enrollment_token),
            "SIGNALMAN_PORT": str(self.ports["signalman"]),
            "MIST_STATE": str(self.data / "mist" / "state.json"),
            "MIST_ADDRESS": self.listen,
            "MIST_RTMP_PORT": str(self.ports["rtmp"]),
            "MIST_RTMPS_PORT": str(self.ports["rtmps"]),
            "MIST_HTTP_PORT": str(self.ports["media"]),
            "MIST_API_PORT": str(self.ports["mist_api"]),
            "MIST_PUBLIC_URL": self.url("media"),
            "CONSOLE_LISTEN": self.listen,
            "CONSOLE_PORT": str(self.ports["front"]),
            "CONSOLE_PUBLIC_URL": self.url("front"),
            "CONSOLE_RTMP_URL": self.rtmp_url,
            "CONSOLE_BRIDGE_URL": f"http://{loopback}:{self.ports['bridge']}",
            "CONSOLE_FOGHORN_URL": f"http://{loopback}:{self.ports['foghorn']}",
            "CONSOLE_MAILBOX_URL": f"http://{loopback}:{self.ports['mailbox']}" if self.demo else "",
            "CONSOLE_MEDIA_ORIGINS": self.url("media"),
            "COMMODORE_PUBLIC_URL": self.url("front"),
            "COMMODORE_SMTP": f"smtp://{loopback}:{self.ports['mailbox_smtp']}",
            "MAILBOX_PORT": str(self.ports["mailbox"]),
            "MAILBOX_SMTP_PORT": str(self.ports["mailbox_smtp"]),
        }
        return made | dict(os.environ)

    @property
    def enrollment_token(self) -> Path:
        """Where Helmsman finds the node's single-use token."""
        return self.data / "enrollment-token"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the data directory for this process. Raises DirectoryInUse, DirectoryTooNew."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.data / "mist").mkdir(exist_ok=True, mode=0o700)
        with (self.data / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DirectoryInUse(
                    f"A platform already runs on {self.data} (`frameworks status --data-dir {self.data}` shows it). "
                    "Stop it first, or choose another directory with --data-dir."
                ) from error
            self._check_schema()
            self._remember_ports()
            yield

    def _check_schema(self) -> None:
        path = self.data / "schema"
        found = int(path.read_text()) if path.exists() else SCHEMA
        if found > SCHEMA:
            raise DirectoryTooNew(
                f"{self.data} has schema {found}, this release knows {SCHEMA}. Install the newer release again."
            )
        path.write_text(str(SCHEMA))

    def _remember_ports(self) -> None:
        (self.data / "layout.json").write_text(json.dumps({"ports": self.ports, "host": self.host}))

    def check_ports(self) -> None:
        """Every listener's port is free. Raises PortTaken naming it and what to do."""
        for name, port in self.ports.items():
            address = self.listen if name in PUBLIC_PORTS else "127.0.0.1"
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    raise PortTaken(
                        f"Port {port} ({name}) on {address} can not be used: {error.strerror}. "
                        "Stop what listens there, or shift all ports: frameworks up --port-offset 1000."
                    ) from error


def _reachable(listen: str) -> str:
    """The address people use for a listener; of one on every interface, that of the interface which leads out."""
    if listen not in ("0.0.0.0", "::"):
        return listen
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # chooses an interface; nothing is sent
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def saved_ports(data: Path) -> dict[str, int]:
    """The ports of the platform that last ran on a data directory; empty when none did."""
    path = data / "layout.json"
    ports: dict[str, int] = json.loads(path.read_text())["ports"] if path.exists() else {}
    return ports
